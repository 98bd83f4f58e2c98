// A training step in one process, on one device: gradient and optimizer over one state.
#pragma once

#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "train/gradient.h"
#include "train/optimizer.h"
#include "train/programs.h"
#include "train/rolled_proposal.h"

namespace godwit::train {

class Engine {
 public:
  // Programs are made and planned here; nothing large is allocated before prepare().
  Engine(const model::Model& model, const Settings& settings, std::int64_t predictions_max, bool evaluates)
      : programs_(model, settings, predictions_max, evaluates), proposer_(programs_), optimizer_(programs_) {}
  [[nodiscard]] const Programs& programs() const { return programs_; }
  // The prepared programs, for whoever reads their ops' times.
  [[nodiscard]] std::vector<const device::Executable*> executables() const;
  // What the backend holds for them beside the arena.
  [[nodiscard]] Result<std::int64_t> held_bytes() const;

  // Allocates everything and prepares the programs on `device`; `state` must outlive the engine.
  [[nodiscard]] Result<void> prepare(device::Device& device, State& state);
  // State was changed from outside (loaded, initialised).
  [[nodiscard]] Result<void> state_changed() { return proposer_.use(0); }

  // Computes the gradient of a step's samples. `interrupted` is asked between passes; true gives the step up with ErrorKind::stopped.
  [[nodiscard]] Result<Proposal> propose(std::span<const data::Sample> samples, const std::function<bool()>& interrupted);
  // The same where the model writes the samples: what its step's records say comes along.
  struct Rolled {
    Proposal proposal;
    RollOuts::Step step;
  };
  [[nodiscard]] Result<Rolled> propose_rolled(const RollOuts& roll_outs, RollOut& roll_out, std::span<const data::Sample> prompts,
                                              std::span<const ScoredGroup> scored, std::uint64_t step,
                                              const std::function<bool()>& interrupted);
  // Norm of the proposed gradient, `mean` times what was proposed; NaN or infinite if it must not be applied.
  [[nodiscard]] Result<float> gradient_norm(float mean = 1) { return optimizer_.norm(root(), mean); }
  // The proposed gradient of a parameter, for tests and probes.
  [[nodiscard]] Result<std::vector<float>> read_gradient(const std::string& parameter) const;
  // Applies the proposed gradient to the state (weights, moments, router biases). Does not touch the scalars.
  [[nodiscard]] Result<Applied> apply();

  struct Evaluation {
    double loss = 0;  // mean negative log-probability, nats per token
    std::int64_t predictions = 0;
  };
  [[nodiscard]] Result<Evaluation> evaluate(const data::Dataset& dataset, const std::function<bool()>& interrupted);

  [[nodiscard]] Proposer& proposer() { return proposer_; }

 private:
  [[nodiscard]] NodeAt root() const { return {&root_, 0}; }

  Programs programs_;
  Proposer proposer_;
  Optimizer optimizer_;
  device::Buffer root_;
};

}  // namespace godwit::train
