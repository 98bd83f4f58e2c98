#include "train/settings.h"

#include <bit>

#include "train/rl_settings.h"

namespace godwit::train {

std::vector<ConfigKey> config_keys() {
  using T = ConfigType;
  return {
      {.section = "model",
       .key = "init",
       .type = T::text,
       .description = "Start from this model (a Hugging Face directory, RUN, RUN@STEP, RUN@best) instead of random weights."},
      {.section = "model", .key = "family", .type = T::text, .fallback = "deepseek_v3", .description = "Architecture of a fresh model."},
      {.section = "model",
       .key = "preset",
       .type = T::text,
       .description = "A ready-made size; any key of config.json beside it overrides."},

      {.section = "tokenizer",
       .key = "path",
       .type = T::text,
       .may_change = true,
       .description = "Directory of a tokenizer.json; known to a run by its digest."},
      {.section = "tokenizer",
       .key = "kind",
       .type = T::text,
       .choices = {"bytes", "characters"},
       .description = "`bytes`: 256 byte tokens and DeepSeek's special tokens; `characters`: 57 single characters and the same, 64 ids in "
                      "all, for small models on tasks."},
      {.section = "tokenizer", .key = "digest", .type = T::text, .description = "Written by the run: SHA-256 of tokenizer.json."},

      {.section = "optimizer",
       .key = "kind",
       .type = T::text,
       .fallback = "adamw",
       .choices = {"adamw"},
       .description = "AdamW with decoupled weight decay."},
      {.section = "optimizer",
       .key = "lr",
       .type = T::real,
       .fallback = 1e-3,
       .minimum = 0,
       .maximum = 100,
       .description = "Highest learning rate."},
      {.section = "optimizer",
       .key = "lr_min",
       .type = T::real,
       .fallback = 0.0,
       .minimum = 0,
       .maximum = 100,
       .description = "Rate at the end of `cosine` and `wsd`."},
      {.section = "optimizer",
       .key = "betas",
       .type = T::reals,
       .fallback = Json::array({0.9, 0.95}),
       .minimum = 0,
       .maximum = 1,
       .description = "Decay of the two moments."},
      {.section = "optimizer",
       .key = "eps",
       .type = T::real,
       .fallback = 1e-8,
       .minimum = 0,
       .maximum = 1,
       .description = "Added to the root of the second moment."},
      {.section = "optimizer",
       .key = "weight_decay",
       .type = T::real,
       .fallback = 0.1,
       .minimum = 0,
       .maximum = 100,
       .description = "Decoupled: the weight is multiplied by 1 − lr · weight_decay."},
      {.section = "optimizer",
       .key = "weight_decay_on",
       .type = T::text,
       .fallback = "matrices",
       .choices = {"matrices", "all"},
       .description = "Which weights decay."},
      {.section = "optimizer",
       .key = "clip",
       .type = T::real,
       .fallback = 1.0,
       .minimum = 0,
       .maximum = 1e30,
       .description = "Largest global norm of the gradient; 0: no clipping."},
      {.section = "optimizer",
       .key = "schedule",
       .type = T::text,
       .fallback = "constant",
       .choices = {"constant", "cosine", "wsd"},
       .description = "Course of the learning rate after the warm-up."},
      {.section = "optimizer",
       .key = "warmup",
       .type = T::integer,
       .fallback = 0,
       .minimum = 0,
       .maximum = 1e15,
       .description = "Steps of linear rise at the start."},
      {.section = "optimizer",
       .key = "decay",
       .type = T::integer,
       .fallback = 0,
       .minimum = 0,
       .maximum = 1e15,
       .description = "`wsd`: steps of the final fall."},
      {.section = "optimizer",
       .key = "schedule_steps",
       .type = T::integer,
       .minimum = 1,
       .maximum = 1e15,
       .description = "Length the schedule is made for; by default `steps` at the start, and kept when a run is made longer."},
      {.section = "optimizer",
       .key = "router_bias_speed",
       .type = T::real,
       .fallback = 0.0,
       .minimum = 0,
       .maximum = 10,
       .description = "Step of the router biases that even out expert load; 0: still."},
      {.section = "optimizer",
       .key = "balance_loss",
       .type = T::real,
       .fallback = 0.0,
       .minimum = 0,
       .maximum = 1e6,
       .description = "Weight of the sequence-wise balance loss."},
      {.section = "optimizer",
       .key = "mtp_loss",
       .type = T::real,
       .fallback = 0.3,
       .minimum = 0,
       .maximum = 1e6,
       .description = "Weight of the multi-token prediction loss, for models that have the layer; 0: the layer is not trained."},

      {.section = "run",
       .key = "steps",
       .type = T::integer,
       .required = true,
       .may_change = true,
       .minimum = 0,
       .maximum = 1e15,
       .description = "Optimizer steps in all."},
      {.section = "run",
       .key = "seed",
       .type = T::integer,
       .fallback = 0,
       .minimum = 0,
       .maximum = 9.2e18,
       .description = "Of initial weights and data order."},
      {.section = "run",
       .key = "dtype",
       .type = T::text,
       .fallback = "f32",
       .choices = {"f32", "bf16"},
       .description = "Operands of matrix products; weights, moments, gradients and the residual stream are f32 always."},
      {.section = "run",
       .key = "arithmetic",
       .type = T::text,
       .fallback = "exact",
       .choices = {"exact"},
       .description = "Profile: `exact` has the bits of docs/arithmetic.md on every backend."},
      {.section = "run",
       .key = "checkpoint_every",
       .type = T::integer,
       .fallback = 100,
       .may_change = true,
       .minimum = 0,
       .maximum = 1e15,
       .description = "Steps between checkpoints; 0: only at the end or when stopped."},
      {.section = "run",
       .key = "evaluate_every",
       .type = T::integer,
       .fallback = 100,
       .may_change = true,
       .minimum = 0,
       .maximum = 1e15,
       .description = "Steps between evaluations of the validation part, and one at the end; 0: never."},
      {.section = "run",
       .key = "keep_last",
       .type = T::integer,
       .fallback = 2,
       .may_change = true,
       .minimum = 1,
       .maximum = 1e9,
       .description = "Newest checkpoints kept."},
      {.section = "run",
       .key = "keep_every",
       .type = T::integer,
       .fallback = 0,
       .may_change = true,
       .minimum = 0,
       .maximum = 1e15,
       .description = "Checkpoints whose step this divides are kept for good; 0: none."},
      {.section = "run",
       .key = "recompute",
       .type = T::boolean,
       .fallback = false,
       .may_change = true,
       .description =
           "Make cheap forward results again in the backward part instead of keeping them: less memory, a little slower, same bits."},

      {.section = "guard",
       .key = "verify",
       .type = T::text,
       .fallback = "inline",
       .may_change = true,
       .choices = {"off", "inline", "dual"},
       .description =
           "How results are judged before they become state: `inline` checks them while they are made, `dual` makes every proposal on "
           "two devices as well and compares the bits."},
      {.section = "guard",
       .key = "replay",
       .type = T::integer,
       .fallback = 32,
       .may_change = true,
       .minimum = 0,
       .maximum = 1e9,
       .description = "With `inline`, one proposal in so many is made on a second device as well and compared by bits; 0: none."},
      {.section = "guard",
       .key = "admit",
       .type = T::text,
       .fallback = "qualified",
       .may_change = true,
       .choices = {"qualified", "any"},
       .description =
           "Which devices of backends loaded at run time may compute: `qualified` by `godwit qualify` for this run's programs, with the "
           "driver they have now; or `any`."},
      {.section = "guard",
       .key = "spare",
       .type = T::texts,
       .fallback = Json::array(),
       .may_change = true,
       .description =
           "Backends (`BACKEND` or `BACKEND:DEVICE`), tried in turn, to which workers are moved once no device of theirs can be had "
           "or believed in; without, the trusted CPU goes on alone."},
  };
}

namespace {

Result<void> read_batch(const Config& config, RunSettings& run) {
  run.batch = config.integer("data", "batch");
  run.micro_batch = config.has("data", "micro_batch") ? std::min(config.integer("data", "micro_batch"), run.batch) : run.batch;
  if (run.micro_batch != run.batch && !std::has_single_bit(static_cast<std::uint64_t>(run.micro_batch))) {
    return input_error("{}: micro_batch = {} must be a power of two (sums over samples are aligned binary trees) or batch = {}",
                       config.origin("data", "micro_batch"), run.micro_batch, run.batch);
  }
  return {};
}

}  // namespace

Result<Settings> read_settings(const Config& config) {
  Settings s;
  const std::string o = "optimizer";
  const std::vector<double> betas = config.reals(o, "betas");
  if (betas.size() != 2) return input_error("{}: betas has {} numbers, AdamW takes 2", config.origin(o, "betas"), betas.size());
  for (const double beta : betas) {
    if (beta >= 1) return input_error("{}: betas must be below 1, not {}", config.origin(o, "betas"), beta);
  }
  s.optimizer.beta1 = betas[0];
  s.optimizer.beta2 = betas[1];
  s.optimizer.eps = config.real(o, "eps");
  s.optimizer.weight_decay = config.real(o, "weight_decay");
  s.optimizer.decay_matrices_only = config.text(o, "weight_decay_on") == "matrices";
  s.optimizer.clip = config.real(o, "clip");
  s.optimizer.router_bias_speed = config.real(o, "router_bias_speed");
  s.optimizer.balance_loss = config.real(o, "balance_loss");
  s.optimizer.mtp_loss = config.real(o, "mtp_loss");

  s.run.steps = config.integer("run", "steps");
  s.run.seed = static_cast<std::uint64_t>(config.integer("run", "seed"));
  s.run.dtype = config.text("run", "dtype") == "bf16" ? program::Dtype::bf16 : program::Dtype::f32;
  s.run.checkpoint_every = config.integer("run", "checkpoint_every");
  s.run.evaluate_every = config.integer("run", "evaluate_every");
  s.run.keep_last = config.integer("run", "keep_last");
  s.run.keep_every = config.integer("run", "keep_every");
  s.run.recompute = config.boolean("run", "recompute");
  s.run.verify = config.text("guard", "verify");
  const std::int64_t replay = config.integer("guard", "replay");
  s.run.admits_any = config.text("guard", "admit") == "any";
  s.run.replay_share = replay == 0 ? 0 : 1.0 / static_cast<double>(replay);
  if (trains_by_roll_outs(config)) {
    s.run.batch = config.integer("rl", "prompts");
    s.run.micro_batch = 1;
  } else {
    TRY(read_batch(config, s.run));
  }

  Schedule& schedule = s.optimizer.schedule;
  schedule.kind = config.text(o, "schedule");
  schedule.lr = config.real(o, "lr");
  schedule.lr_min = config.real(o, "lr_min");
  schedule.warmup = config.integer(o, "warmup");
  schedule.decay = config.integer(o, "decay");
  schedule.steps = config.has(o, "schedule_steps") ? config.integer(o, "schedule_steps") : s.run.steps;
  if (schedule.lr_min > schedule.lr) {
    return input_error("{}: lr_min = {} is above lr = {}", config.origin(o, "lr_min"), schedule.lr_min, schedule.lr);
  }
  if (schedule.kind == "wsd" && schedule.warmup + schedule.decay > schedule.steps) {
    return input_error("{}: warmup = {} and decay = {} do not fit into schedule_steps = {}", config.origin(o, "decay"), schedule.warmup,
                       schedule.decay, schedule.steps);
  }
  return s;
}

}  // namespace godwit::train
