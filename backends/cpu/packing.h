// The weights a program multiplies by, in the layouts of the kernels that do (Kernel::pack): made anew in every refresh.
//
// Programs of one device share a layout of the same memory: decode programs of several sizes hold one copy of the weights.
#pragma once

#include <map>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "memory.h"
#include "step.h"

namespace godwit::cpu {

// Of a device: the layouts in use, by what each is made of.
class PackedWeights {
 public:
  // The layout of that name, shared with whoever holds it; null where there is no memory for it. Its content is undefined until packed.
  [[nodiscard]] std::shared_ptr<Mapping> get(const std::string& key, std::int64_t bytes);
  // Gives memory back that nobody holds. Until then it serves the next layout of its size: state that moves from buffer to buffer would
  // otherwise cost new pages at every step.
  void trim() { spare_->clear(); }

 private:
  std::map<std::string, std::weak_ptr<Mapping>> layouts_;
  std::shared_ptr<std::multimap<std::int64_t, Mapping>> spare_ = std::make_shared<std::multimap<std::int64_t, Mapping>>();  // by bytes
};

// One weight of a program in one layout.
struct Packing {
  std::int32_t weight = 0;         // the tensor the kernels name
  std::int32_t source = 0;         // the one it is packed from: itself, or the state it is a rounded copy of
  View source_view;                // without data
  std::vector<std::size_t> steps;  // that multiply by it
  std::int64_t bytes = 0;
  std::string key;
  std::shared_ptr<Mapping> memory;  // null before the first refresh
};

// Finds the weights that are multiplied by and that only a refresh changes, and marks their steps. Where a weight is a rounded copy of a
// state it is packed from the state itself; a copy that nobody else reads is marked as unneeded.
[[nodiscard]] std::vector<Packing> plan_packings(const godwit_program& program, std::span<Step> steps);

// Packs the weight, which now lies at `source`; false where there is no memory for it. `inspection`: of a device that checks results.
[[nodiscard]] bool pack(Packing& packing, std::span<Step> steps, PackedWeights& weights, void* source, Pool& pool,
                        const Inspection* inspection = nullptr);

}  // namespace godwit::cpu
