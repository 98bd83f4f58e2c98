#include "train/rl_settings.h"

namespace godwit::train {

std::vector<ConfigKey> rl_config_keys() {
  using T = ConfigType;
  const std::string section = "rl";
  return {
      {.section = section,
       .key = "task",
       .type = T::text,
       .may_change = true,
       .description =
           "Where prompts come from: a task (`godwit tasks list`), or a `.jsonl` file with `question` and `answer`, known to a run "
           "by content. The model then writes its own samples: `godwit rl`."},
      {.section = section, .key = "options", .type = T::table, .description = "The task's options."},
      {.section = section,
       .key = "prompts",
       .type = T::integer,
       .fallback = 16,
       .minimum = 1,
       .maximum = 1 << 16,
       .description = "Prompts per step."},
      {.section = section,
       .key = "group",
       .type = T::integer,
       .fallback = 8,
       .minimum = 2,
       .maximum = 1 << 12,
       .description = "Completions to each prompt, which are held against one another."},
      {.section = section,
       .key = "max_tokens",
       .type = T::integer,
       .fallback = 256,
       .minimum = 1,
       .maximum = 1 << 20,
       .description = "Tokens of a completion, its end token among them."},
      {.section = section,
       .key = "rewards",
       .type = T::table,
       .description = "What a completion is rewarded for, and with which weight; by default `{ answer = 1.0 }`."},
      {.section = section,
       .key = "command",
       .type = T::texts,
       .may_change = true,
       .description =
           "The program that the reward `command` asks, with its arguments: a line of JSON for each completion comes in, a line with "
           "its score goes out (docs/reinforcement.md)."},
      {.section = section,
       .key = "command_timeout",
       .type = T::real,
       .fallback = 60.0,
       .may_change = true,
       .minimum = 0.01,
       .maximum = 1e6,
       .description = "Seconds a step that it may take; what it has not scored by then counts 0."},
      {.section = section,
       .key = "command_memory",
       .type = T::integer,
       .fallback = 4096,
       .may_change = true,
       .minimum = 0,
       .maximum = 1 << 24,
       .description = "MiB of address space for each of its processes; 0: no limit."},
      {.section = section,
       .key = "advantage",
       .type = T::text,
       .fallback = "mean",
       .choices = {"mean", "standard"},
       .description = "A reward less its group's mean; `standard`: also divided by the group's standard deviation."},
      {.section = section,
       .key = "normalise",
       .type = T::text,
       .fallback = "tokens",
       .choices = {"tokens", "sequence", "constant"},
       .description = "What the sum over tokens is divided by: all completion tokens of the step (DAPO), each completion's length (GRPO), "
                      "`max_tokens` (Dr.GRPO)."},
      {.section = section,
       .key = "epochs",
       .type = T::integer,
       .fallback = 1,
       .minimum = 1,
       .maximum = 1000,
       .description = "Steps that learn from the same completions; the ratio of probabilities, new over old, is 1 in the first."},
      {.section = section,
       .key = "ratio",
       .type = T::text,
       .fallback = "token",
       .choices = {"token", "sequence"},
       .description = "Whose ratio it is: each token's, or the geometric mean over a completion (GSPO)."},
      {.section = section,
       .key = "clip",
       .type = T::reals,
       .minimum = 0,
       .maximum = 1e6,
       .description = "[low, high]: beyond 1 − low and 1 + high a ratio teaches nothing more (GRPO [0.2, 0.2], DAPO [0.2, 0.28], GSPO "
                      "[3e-4, 4e-4]); by default no clipping."},
      {.section = section,
       .key = "kl",
       .type = T::real,
       .fallback = 0.0,
       .minimum = 0,
       .maximum = 1e6,
       .description = "Weight of the divergence from the reference model; 0: none."},
      {.section = section,
       .key = "kl_kind",
       .type = T::text,
       .fallback = "k3",
       .choices = {"k3", "unbiased"},
       .description = "Its estimate: k3, or k3 times the ratio, whose gradient is unbiased off policy."},
      {.section = section,
       .key = "reference_every",
       .type = T::integer,
       .fallback = 0,
       .minimum = 0,
       .maximum = 1e15,
       .description = "Steps after which the reference becomes the model as it is; 0: it stays the model of the beginning."},
      {.section = section,
       .key = "resample",
       .type = T::integer,
       .fallback = 0,
       .minimum = 0,
       .maximum = 1000,
       .description = "Other prompts that are tried in place of one whose completions are all rewarded alike (DAPO's dynamic sampling)."},
      {.section = section,
       .key = "samples_every",
       .type = T::integer,
       .fallback = 10,
       .may_change = true,
       .minimum = 0,
       .maximum = 1e15,
       .description = "Of the first step, and of every so many, some completions are kept in RUN/samples.jsonl; 0: of none."},
      {.section = section,
       .key = "temperature",
       .type = T::real,
       .fallback = 1.0,
       .minimum = 0,
       .maximum = 1e6,
       .description = "Of roll-outs: 1. At another one completions would be drawn from other probabilities than those that are learned "
                      "(docs/reinforcement.md)."},
      {.section = section,
       .key = "mask_cut",
       .type = T::boolean,
       .fallback = false,
       .description = "Completions that ran into max_tokens teach nothing."},
  };
}

bool trains_by_roll_outs(const Config& config) {
  return config.given("rl", "task");
}

Result<void> check_rl_has_task(const Config& config) {
  if (trains_by_roll_outs(config)) return {};
  const Json said = config.section("rl");
  for (const ConfigKey& key : rl_config_keys()) {
    const Json* value = said.find(key.key);
    if (value != nullptr && !value->is_null() && !(*value == key.fallback)) {
      return input_error("{}: [rl] without task says nothing; give [rl] task, and start it with godwit rl",
                         config.origin(key.section, key.key));
    }
  }
  return {};
}

Result<RlSettings> read_rl_settings(const Config& config) {
  RlSettings s;
  s.task = config.text("rl", "task");
  if (config.has("rl", "options")) s.options = config.value("rl", "options");
  s.prompts = config.integer("rl", "prompts");
  s.group = config.integer("rl", "group");
  s.max_tokens = config.integer("rl", "max_tokens");
  if (config.has("rl", "rewards")) {
    for (const auto& item : config.value("rl", "rewards").items()) {
      if (!item.value.is_number()) {
        return input_error("{}: the weight of the reward {} is {}, which is no number", config.origin("rl", "rewards"), item.key,
                           write_json(item.value));
      }
      s.rewards.emplace_back(item.key, item.value.get<double>());
    }
  } else {
    s.rewards = {{"answer", 1.0}};
  }
  if (s.rewards.empty()) return input_error("{}: there is no reward; the least is {{ answer = 1.0 }}", config.origin("rl", "rewards"));
  if (config.has("rl", "command")) s.command = config.texts("rl", "command");
  s.command_timeout = config.real("rl", "command_timeout");
  s.command_memory = config.integer("rl", "command_memory");
  s.advantage = config.text("rl", "advantage") == "standard" ? Advantage::standard : Advantage::mean;
  s.epochs = config.integer("rl", "epochs");
  s.ratio = config.text("rl", "ratio") == "sequence" ? Ratio::sequence : Ratio::token;
  if (config.has("rl", "clip")) {
    const std::vector<double> clip = config.reals("rl", "clip");
    if (clip.size() != 2)
      return input_error("{}: clip has {} numbers; it takes two, [low, high]", config.origin("rl", "clip"), clip.size());
    s.clip_low = clip[0];
    s.clip_high = clip[1];
  }
  s.kl = config.real("rl", "kl");
  s.kl_kind = config.text("rl", "kl_kind") == "unbiased" ? KlKind::unbiased : KlKind::k3;
  s.reference_every = config.integer("rl", "reference_every");
  s.resample = config.integer("rl", "resample");
  s.mask_cut = config.boolean("rl", "mask_cut");
  s.samples_every = config.integer("rl", "samples_every");
  if (const double temperature = config.real("rl", "temperature"); temperature != 1) {
    return input_error(
        "{}: roll-outs at temperature {} would be drawn from other probabilities than training computes: temperature = 1 is the only "
        "one",
        config.origin("rl", "temperature"), temperature);
  }
  if (s.ratio == Ratio::sequence && s.normalise != Normalise::sequence && config.text("rl", "normalise") == "tokens" &&
      config.given("rl", "normalise")) {
    return input_error("{}: a ratio of whole sequences is a mean over each: normalise = \"sequence\" or \"constant\"",
                       config.origin("rl", "normalise"));
  }
  const std::string normalise = config.text("rl", "normalise");
  s.normalise = normalise == "sequence" ? Normalise::sequence : normalise == "constant" ? Normalise::constant : Normalise::tokens;
  return s;
}

}  // namespace godwit::train
