#include "qualify/trial.h"

#include <algorithm>
#include <map>
#include <memory>
#include <span>

#include "base/random.h"
#include "device/device.h"
#include "train/batch.h"

namespace godwit::qualify {

using program::Brought;
using program::Dtype;
using program::OpCase;
using program::Program;
using program::Role;
using program::TensorId;
using program::Values;

namespace {

std::vector<std::byte> copy_of(std::span<const std::byte> bytes) {
  return {bytes.begin(), bytes.end()};
}

Trial trial_of(const OpCase& one) {
  Trial trial;
  trial.op = one.node().op->name;
  trial.text = one.text();
  trial.program = one.program();
  trial.results = one.node().outputs;
  for (const std::string_view name : one.node().op->outputs) trial.result_names.emplace_back(name);
  trial.cost = one.cost();
  trial.bf16 = std::ranges::any_of(trial.program.types(one.node().inputs), [](const auto& type) { return type.dtype == Dtype::bf16; });
  trial.uses = 1;
  trial.bring = [shared = std::make_shared<const OpCase>(one)](Values values, std::uint64_t seed) { return shared->fill(values, seed); };
  return trial;
}

// Samples of random tokens that fill a pass.
std::vector<data::Sample> random_samples(const train::TrainingTask& task, std::uint64_t seed) {
  const train::Programs& programs = task.programs();
  const RandomStream random(seed, Purpose::test, 3);
  const std::int64_t predictions = programs.rows() / programs.micro_batch();
  std::vector<data::Sample> samples(static_cast<std::size_t>(programs.micro_batch()));
  std::uint64_t next = 0;
  for (data::Sample& sample : samples) {
    // Of two lengths: an even pass, and one with rows of padding.
    const std::int64_t length = seed % 2 == 0 && &sample != samples.data() ? std::max<std::int64_t>(1, predictions * 3 / 4) : predictions;
    for (std::int64_t t = 0; t <= length; ++t) {
      sample.ids.push_back(static_cast<std::int32_t>(random.u32(next++) % static_cast<std::uint32_t>(programs.model().vocab_size())));
    }
    sample.labelled.assign(static_cast<std::size_t>(length), 1);
  }
  return samples;
}

// Everything a pass is brought, by name.
std::map<std::string, std::vector<std::byte>, std::less<>> pass_inputs(const train::TrainingTask& task, const Program& program,
                                                                       std::uint64_t seed) {
  const train::Programs& programs = task.programs();
  const std::vector<data::Sample> samples = random_samples(task, seed);
  const train::LossWeights weights = programs.weights(train::count_labels(samples), std::ssize(samples));
  const train::Inputs in = train::make_inputs(samples, programs.rows(), programs.micro_batch(), weights.next, weights.mtp);
  std::map<std::string, std::vector<std::byte>, std::less<>> all;
  const auto give = [&](const char* name, const auto& values) { all[name] = copy_of(std::as_bytes(std::span(values))); };
  give("ids", in.ids);
  give("positions", in.positions);
  give("samples", in.samples);
  give("labels", in.labels);
  give("weights", in.weights);
  give("mtp.ids", in.mtp_ids);
  give("mtp.labels", in.mtp_labels);
  give("mtp.weights", in.mtp_weights);
  give("balance.weight", std::vector<float>{weights.balance});
  for (const model::Constant& constant : programs.model().constants(program)) give(constant.name.c_str(), constant.values);
  const auto& parameters = programs.model().parameters();
  for (std::size_t p = 0; p < parameters.size(); ++p) {
    if (program.find(parameters[p].name) != TensorId::none)
      give(parameters[p].name.c_str(), model::initial_values(programs.model(), p, seed));
  }
  return all;
}

Trial whole_trial(const train::TrainingTask& task, const Program& program) {
  Trial trial;
  trial.op = program.name;
  trial.text = "the whole program " + program.name;
  trial.whole = true;
  trial.program = program;
  for (std::size_t t = 0; t < program.tensors.size(); ++t) {
    if (program.tensors[t].role != Role::output) continue;
    trial.results.push_back(static_cast<TensorId>(t));
    trial.result_names.push_back(program.tensors[t].name);
  }
  trial.cost = program.cost();
  trial.bf16 = task.programs().settings().run.dtype == Dtype::bf16;
  trial.bring = [&task, shared = std::make_shared<const Program>(program)](Values, std::uint64_t seed) {
    auto inputs = pass_inputs(task, *shared, seed);
    std::vector<Brought> brought;
    for (std::size_t t = 0; t < shared->tensors.size(); ++t) {
      const auto found = inputs.find(shared->tensors[t].name);
      if (found != inputs.end()) brought.push_back({static_cast<TensorId>(t), std::move(found->second)});
    }
    return brought;
  };
  return trial;
}

}  // namespace

std::int64_t Trial::offset(std::size_t result) const {
  std::int64_t at = 0;
  for (std::size_t k = 0; k < result; ++k) at += device::aligned(program.tensor(results[k]).type.bytes());
  return at;
}

std::int64_t Trial::result_bytes() const {
  return offset(results.size());
}

std::vector<Trial> op_trials(const std::vector<Program>& programs) {
  std::vector<Trial> trials;
  std::map<std::string, std::size_t> known;
  for (const Program& program : programs) {
    for (std::size_t node = 0; node < program.nodes.size(); ++node) {
      const OpCase one = OpCase::alone(program, node);
      const auto [place, is_new] = known.try_emplace(one.key(), trials.size());
      if (is_new) {
        trials.push_back(trial_of(one));
      } else {
        ++trials[place->second].uses;
      }
    }
  }
  return trials;
}

std::vector<Trial> whole_trials(const train::TrainingTask& task) {
  std::vector<Trial> trials = {whole_trial(task, task.programs().training)};
  if (!task.programs().evaluation.nodes.empty()) trials.push_back(whole_trial(task, task.programs().evaluation));
  return trials;
}

std::vector<Trial> yardsticks() {
  std::vector<Trial> trials;
  const auto add = [&](std::string_view op, std::vector<program::TensorType> inputs) {
    trials.push_back(trial_of(OpCase::of(*program::find_op(op), {std::move(inputs), {}}, OpCase::Weight::input, false)));
  };
  for (const Dtype dtype : {Dtype::f32, Dtype::bf16}) add("linear", {{dtype, {2048, 2048}}, {dtype, {2048, 2048}}, {Dtype::i32, {2}}});
  add("add", {{Dtype::f32, {8192, 4096}}, {Dtype::f32, {8192, 4096}}});
  return trials;
}

}  // namespace godwit::qualify
