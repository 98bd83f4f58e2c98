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
       .description = "Where prompts come from: a task (`godwit tasks list`), or a `.jsonl` file with `question` and `answer`, known to a run "
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
  };
}

bool trains_by_roll_outs(const Config& config) {
  return config.given("rl", "task");
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
  s.advantage = config.text("rl", "advantage") == "standard" ? Advantage::standard : Advantage::mean;
  const std::string normalise = config.text("rl", "normalise");
  s.normalise = normalise == "sequence" ? Normalise::sequence : normalise == "constant" ? Normalise::constant : Normalise::tokens;
  return s;
}

}  // namespace godwit::train
