#include "device/lockstep.h"

#include <map>
#include <span>
#include <utility>

#include "device/backends.h"
#include "device/contract.h"
#include "program/difference.h"

namespace godwit::device {

struct Lockstep::Comparison {
  struct Prepared {
    std::string name;
    std::vector<ContractTensor> tensors;
    std::vector<ContractOp> ops;
    std::int32_t refresh_count = 0;
    // Tensors of ops that the device leaves out, having no need of their results: made by the references instead.
    std::map<std::int32_t, std::vector<std::byte>> left_out;
  };
  // The run under way.
  struct Run {
    Prepared* prepared = nullptr;
    std::byte* arena = nullptr;
    std::byte* persistent = nullptr;
    const godwit_binding* bindings = nullptr;
    std::int32_t next = 0;                         // the first op not seen yet
    std::int32_t open = -1;                        // the op that runs
    std::vector<std::vector<std::byte>> expected;  // its outputs
  };

  const godwit_backend* behind = nullptr;
  godwit_backend table{};
  std::function<void()> on_op;
  std::map<godwit_prepared*, Prepared> prepared;
  Run run;
  std::optional<OpDifference> difference;
  std::int64_t compared = 0;

  [[nodiscard]] std::byte* memory(std::int32_t tensor) const {
    const ContractTensor& place = run.prepared->tensors[static_cast<std::size_t>(tensor)];
    if (place.role == GODWIT_TEMPORARY) return run.arena + place.offset;
    if (place.role == GODWIT_DERIVED) return run.persistent + place.offset;
    const godwit_binding& binding = run.bindings[tensor];
    return static_cast<std::byte*>(behind->buffer_host(binding.buffer)) + binding.offset;
  }

  // The op's outputs by the reference, from what its inputs hold now.
  [[nodiscard]] std::vector<std::vector<std::byte>> make(const ContractOp& op) const {
    std::vector<const void*> inputs;
    std::vector<std::vector<std::byte>> made;
    std::vector<void*> outputs;
    for (const std::int32_t id : op.inputs) {
      const auto left_out = run.prepared->left_out.find(id);
      inputs.push_back(left_out == run.prepared->left_out.end() ? memory(id) : left_out->second.data());
    }
    for (std::size_t k = 0; k < op.outputs.size(); ++k) {
      const std::byte* now = memory(op.outputs[k]);
      made.emplace_back(now, now + op.output_types[k].bytes());  // ops that write a part keep the rest
    }
    for (auto& bytes : made) outputs.push_back(bytes.data());
    op.run(inputs, outputs);
    return made;
  }

  // What the ops before `op` left is complete, those that were passed over were left out.
  void reach(std::int32_t op) {
    close();
    for (; run.next < op; ++run.next) {
      const ContractOp& skipped = run.prepared->ops[static_cast<std::size_t>(run.next)];
      auto made = make(skipped);
      for (std::size_t k = 0; k < made.size(); ++k) run.prepared->left_out[skipped.outputs[k]] = std::move(made[k]);
    }
  }

  void begin_op(std::int32_t op) {
    if (on_op) on_op();
    if (difference || run.prepared == nullptr) return;
    reach(op);
    run.expected = make(run.prepared->ops[static_cast<std::size_t>(op)]);
    run.open = op;
    run.next = op + 1;
  }

  void close() {
    if (run.open < 0) return;
    const std::int32_t index = std::exchange(run.open, -1);
    const ContractOp& op = run.prepared->ops[static_cast<std::size_t>(index)];
    ++compared;
    for (std::size_t k = 0; k < op.outputs.size() && !difference; ++k) {
      const program::TensorType& type = op.output_types[k];
      const std::span computed(memory(op.outputs[k]), static_cast<std::size_t>(type.bytes()));
      const auto found = program::find_difference(type, run.expected[k], computed);
      if (!found) continue;
      difference = OpDifference{run.prepared->name,
                                index,
                                std::string(op.op->name),
                                run.prepared->tensors[static_cast<std::size_t>(op.outputs[k])].name,
                                type.shape.text(),
                                found->element,
                                found->elements,
                                found->expected,
                                found->computed};
    }
  }
};

Lockstep::Comparison* Lockstep::current = nullptr;

Result<std::unique_ptr<Lockstep>> Lockstep::open(const DeviceOptions& options, std::function<void()> on_op) {
  TRY_ASSIGN(const godwit_backend* behind, find_completed_backend(options.backend));
  return open(*behind, options, std::move(on_op));
}

Result<std::unique_ptr<Lockstep>> Lockstep::open(const godwit_backend& behind, const DeviceOptions& options, std::function<void()> on_op) {
  CHECK(current == nullptr, "one device runs in lockstep at a time");
  auto lockstep = std::unique_ptr<Lockstep>(new Lockstep);
  lockstep->comparison_ = std::make_unique<Comparison>();
  current = lockstep->comparison_.get();
  current->behind = &behind;
  current->on_op = std::move(on_op);
  godwit_backend& table = current->table;
  table = behind;
  table.prepare = [](godwit_device* device, const godwit_program* program, godwit_prepared** prepared, godwit_error* error) {
    const godwit_status status = current->behind->prepare(device, program, prepared, error);
    if (status != GODWIT_OK) return status;
    Comparison::Prepared& known = current->prepared[*prepared];
    known = {program->name, {}, {}, program->refresh_count, {}};
    for (std::int32_t i = 0; i < program->tensor_count; ++i) known.tensors.push_back(read_tensor(program->tensors[i]));
    for (std::int32_t i = 0; i < program->op_count; ++i) {
      auto op = read_op(*program, program->ops[i]);
      CHECK(op.has_value(), "program {} has an op {} that the device knows and the references do not", known.name, program->ops[i].name);
      known.ops.push_back(std::move(*op));
    }
    return status;
  };
  table.prepared_destroy = [](godwit_prepared* prepared) {
    current->prepared.erase(prepared);
    current->behind->prepared_destroy(prepared);
  };
  table.run = [](godwit_queue* queue, godwit_prepared* prepared, godwit_part part, godwit_buffer* arena, godwit_buffer* persistent,
                 const godwit_binding* bindings, godwit_error* error) {
    const auto host = [](godwit_buffer* buffer) {
      return buffer == nullptr ? nullptr : static_cast<std::byte*>(current->behind->buffer_host(buffer));
    };
    Comparison::Prepared& known = current->prepared.at(prepared);
    const bool refresh = part == GODWIT_PART_REFRESH;
    current->run = {&known, host(arena), host(persistent), bindings, refresh ? 0 : known.refresh_count, -1, {}};
    const godwit_status status = current->behind->run(queue, prepared, part, arena, persistent, bindings, error);
    if (status == GODWIT_OK && !current->difference)
      current->reach(refresh ? known.refresh_count : static_cast<std::int32_t>(known.ops.size()));
    current->run = {};
    return status;
  };
  DeviceOptions one_by_one = options;
  one_by_one.profile = true;  // then one op ends before the next begins, whatever the device
  TRY_ASSIGN(lockstep->device_, Device::open(table, one_by_one));
  if (!lockstep->device_->watch([](std::int32_t op) { current->begin_op(op); }))
    return world_error("device {} does not tell when an op begins", lockstep->device_->name());
  return lockstep;
}

Lockstep::~Lockstep() {
  device_.reset();
  current = nullptr;
}

const std::optional<OpDifference>& Lockstep::difference() const {
  return comparison_->difference;
}

std::int64_t Lockstep::compared() const {
  return comparison_->compared;
}

}  // namespace godwit::device
