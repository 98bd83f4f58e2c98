// The memory plan: lifetimes in op order, then placement of the largest tensors first at the lowest offset that is free for their whole
// life.
#include <algorithm>
#include <limits>

#include "program/program.h"

namespace godwit::program {

namespace {

constexpr std::int64_t alignment = 512;

std::int64_t aligned(std::int64_t bytes) {
  return (bytes + alignment - 1) / alignment * alignment;
}
std::size_t at(TensorId id) {
  return static_cast<std::size_t>(id);
}

// A stretch of memory with a life: one temporary, or several that take over from one another in place.
struct Block {
  std::int64_t bytes = 0;
  std::size_t begin = std::numeric_limits<std::size_t>::max();
  std::size_t end = 0;
  std::int64_t offset = 0;
};

}  // namespace

MemoryPlan plan_memory(const Program& program) {
  MemoryPlan plan;
  plan.offsets.assign(program.tensors.size(), -1);

  std::vector<std::size_t> last_use(program.tensors.size(), 0);
  for (std::size_t i = 0; i < program.nodes.size(); ++i) {
    for (const TensorId id : program.nodes[i].inputs) last_use[at(id)] = i;
    for (const TensorId id : program.nodes[i].outputs) last_use[at(id)] = std::max(last_use[at(id)], i);
  }

  constexpr int no_block = -1;
  std::vector<Block> blocks;
  std::vector<int> block_of(program.tensors.size(), no_block);
  for (std::size_t i = 0; i < program.nodes.size(); ++i) {
    const Node& node = program.nodes[i];
    for (std::size_t k = 0; k < node.outputs.size(); ++k) {
      const TensorId id = node.outputs[k];
      const Tensor& tensor = program.tensor(id);
      if (tensor.role != Role::temporary) continue;
      // In place: the output takes over the memory of an input that dies here.
      int block = no_block;
      for (const auto& [output, input] : node.op->in_place) {
        if (node.op->outputs[k] != output) continue;
        for (std::size_t j = 0; j < node.op->inputs.size(); ++j) {
          const TensorId source = node.inputs[j];
          const bool other_use = std::count(node.inputs.begin(), node.inputs.end(), source) > 1;
          const bool taken = std::any_of(
              node.outputs.begin(), node.outputs.begin() + static_cast<std::ptrdiff_t>(k),
              [&](TensorId earlier) { return block_of[at(earlier)] != no_block && block_of[at(earlier)] == block_of[at(source)]; });
          if (node.op->inputs[j] == input && program.tensor(source).role == Role::temporary && last_use[at(source)] == i && !other_use &&
              !taken && program.tensor(source).type.bytes() == tensor.type.bytes()) {
            block = block_of[at(source)];
          }
        }
      }
      if (block == no_block) {
        blocks.push_back({aligned(std::max<std::int64_t>(tensor.type.bytes(), 1)), i, i, 0});
        block = static_cast<int>(blocks.size()) - 1;
      }
      block_of[at(id)] = block;
      blocks[static_cast<std::size_t>(block)].end = std::max(blocks[static_cast<std::size_t>(block)].end, last_use[at(id)]);
    }
  }

  std::vector<std::size_t> order(blocks.size());
  for (std::size_t i = 0; i < order.size(); ++i) order[i] = i;
  std::stable_sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) { return blocks[a].bytes > blocks[b].bytes; });
  std::vector<std::size_t> placed;  // by offset
  for (const std::size_t index : order) {
    Block& block = blocks[index];
    std::int64_t offset = 0;
    for (const std::size_t other_index : placed) {
      const Block& other = blocks[other_index];
      if (other.end < block.begin || block.end < other.begin) continue;
      if (offset + block.bytes <= other.offset) break;
      offset = std::max(offset, other.offset + other.bytes);
    }
    block.offset = offset;
    plan.arena_bytes = std::max(plan.arena_bytes, offset + block.bytes);
    placed.insert(
        std::upper_bound(placed.begin(), placed.end(), offset, [&](std::int64_t value, std::size_t i) { return value < blocks[i].offset; }),
        index);
  }

  for (std::size_t i = 0; i < program.tensors.size(); ++i) {
    const Tensor& tensor = program.tensors[i];
    if (tensor.role == Role::temporary) {
      if (block_of[i] != no_block) plan.offsets[i] = blocks[static_cast<std::size_t>(block_of[i])].offset;
    } else if (tensor.role == Role::derived) {
      plan.offsets[i] = plan.persistent_bytes;
      plan.persistent_bytes += aligned(tensor.type.bytes());
    } else {
      plan.bound_bytes += aligned(tensor.type.bytes());
    }
  }
  return plan;
}

}  // namespace godwit::program
