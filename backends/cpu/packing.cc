#include "packing.h"

#include <algorithm>
#include <cstring>

namespace godwit::cpu {

namespace {

constexpr std::size_t weight_input = 1;  // Kernel::pack

// Which tensors change with a refresh alone.
std::vector<bool> steady_tensors(const godwit_program& program) {
  std::vector<bool> steady;
  for (std::int32_t t = 0; t < program.tensor_count; ++t) {
    const godwit_role role = program.tensors[t].role;
    steady.push_back(role == GODWIT_DERIVED || role == GODWIT_STATE || role == GODWIT_CONSTANT);
  }
  for (std::int32_t i = program.refresh_count; i < program.op_count; ++i) {
    const godwit_op& op = program.ops[i];
    for (std::int32_t k = 0; k < op.output_count; ++k) steady[static_cast<std::size_t>(op.outputs[k])] = false;
  }
  return steady;
}

// The refresh op that rounds f32 to this tensor, if there is one that a packing can do itself.
struct Rounding {
  std::int32_t op = -1;
  bool blocks = false;  // to blocks of 8 bits
};
Rounding rounding_of(const godwit_program& program, std::int32_t tensor, const Kernel& kernel) {
  for (std::int32_t i = 0; i < program.refresh_count; ++i) {
    const godwit_op& op = program.ops[i];
    if (op.outputs[0] != tensor || program.tensors[op.inputs[0]].dtype != GODWIT_F32) continue;
    if (std::strcmp(op.name, "mxint8") == 0 && kernel.takes_blocks) return {i, true};
    if (std::strcmp(op.name, "cast") == 0 && program.tensors[tensor].dtype == GODWIT_BF16) return {i, false};
  }
  return {};
}

// What two packings must have in common to be one: the memory, its shape, the layout, and what the kernel is told.
std::string key_of(const Packing& packing, const Step& step, const void* source) {
  std::string key = std::to_string(reinterpret_cast<std::uintptr_t>(source)) + ' ' + step.kernel->layout;
  const View& weight = step.views[weight_input];
  key += ' ' + std::to_string(packing.source_view.dtype) + std::to_string(weight.dtype) + (step.weight_blocks ? " blocks" : "");
  for (int axis = 0; axis < weight.rank; ++axis) key += ' ' + std::to_string(weight.shape[axis]);
  for (const godwit_attribute& attribute : step.attributes) {
    key +=
        std::string(" ") + attribute.name + '=' + (attribute.is_real ? std::to_string(attribute.real) : std::to_string(attribute.integer));
  }
  return key;
}

}  // namespace

std::shared_ptr<Mapping> PackedWeights::get(const std::string& key, std::int64_t bytes) {
  std::erase_if(layouts_, [](const auto& entry) { return entry.second.expired(); });
  std::weak_ptr<Mapping>& known = layouts_[key];
  if (auto shared = known.lock()) return shared;
  Mapping memory;
  if (const auto found = spare_->find(bytes); found != spare_->end()) {
    memory = std::move(found->second);
    spare_->erase(found);
  } else {
    memory = Mapping(bytes);
    if (memory.data() == nullptr) return nullptr;
  }
  const auto give_back = [spare = spare_, bytes](Mapping* mapping) {
    spare->emplace(bytes, std::move(*mapping));
    delete mapping;
  };
  std::shared_ptr<Mapping> made(new Mapping(std::move(memory)), give_back);
  known = made;
  return made;
}

std::vector<Packing> plan_packings(const godwit_program& program, std::span<Step> steps) {
  const std::vector<bool> steady = steady_tensors(program);
  std::vector<std::int32_t> uses(steady.size(), 0);
  for (std::int32_t i = 0; i < program.op_count; ++i) {
    for (std::int32_t k = 0; k < program.ops[i].input_count; ++k) ++uses[static_cast<std::size_t>(program.ops[i].inputs[k])];
  }
  std::vector<Packing> packings;
  for (std::size_t i = static_cast<std::size_t>(program.refresh_count); i < steps.size(); ++i) {
    Step& step = steps[i];
    if (step.kernel->pack == nullptr) continue;
    const std::int32_t weight = step.tensors[weight_input];
    if (!steady[static_cast<std::size_t>(weight)]) continue;
    const Rounding rounding = rounding_of(program, weight, *step.kernel);
    auto packing = std::ranges::find_if(packings, [&](const Packing& known) {
      return known.weight == weight && std::strcmp(steps[known.steps[0]].kernel->layout, step.kernel->layout) == 0;
    });
    if (packing == packings.end()) {
      Packing fresh;
      fresh.weight = weight;
      fresh.source = rounding.op < 0 ? weight : program.ops[rounding.op].inputs[0];
      fresh.source_view = view_of(program.tensors[fresh.source]);
      Call call;
      call.in = std::span(step.views).first(step.input_count);
      call.out = std::span(step.views).subspan(step.input_count);
      call.attributes = step.attributes;
      call.verify = step.verify;
      call.weight_blocks = rounding.blocks;
      fresh.bytes = step.kernel->packed_bytes(call);
      if (fresh.bytes == 0) continue;
      packing = packings.insert(packings.end(), std::move(fresh));
    }
    packing->steps.push_back(i);
    step.weight_packed = true;
    step.weight_blocks = rounding.blocks;
    if (rounding.op >= 0 && --uses[static_cast<std::size_t>(weight)] == 0) steps[static_cast<std::size_t>(rounding.op)].unneeded = true;
  }
  return packings;
}

bool pack(Packing& packing, std::span<Step> steps, PackedWeights& weights, void* source, Pool& pool, const Inspection* inspection) {
  const Step& first = steps[packing.steps[0]];
  if (std::string key = key_of(packing, first, source); key != packing.key) {
    packing.memory.reset();  // to be had again
    packing.memory = weights.get(key, packing.bytes);
    packing.key = packing.memory == nullptr ? std::string() : std::move(key);
    for (const std::size_t step : packing.steps) steps[step].packed = packing.memory == nullptr ? nullptr : packing.memory->data();
    if (packing.memory == nullptr) return false;
  }
  std::vector<View> inputs(first.views.begin(), first.views.begin() + static_cast<std::ptrdiff_t>(first.input_count));
  inputs[weight_input] = packing.source_view;
  inputs[weight_input].data = source;
  Call call = first.call(pool, nullptr);
  call.in = inputs;
  call.inspection = inspection;
  first.kernel->pack(call, packing.memory->data());
  return true;
}

}  // namespace godwit::cpu
