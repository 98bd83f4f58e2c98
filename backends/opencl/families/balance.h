// What the balance loss and its gradient have in common: how often each expert was chosen in each sample.
#pragma once

#include "kernel.h"

namespace godwit::opencl {

// Defines count_choices(experts, samples, counts [S, E], long count, int expert_count, int top_k), for elements(count = S·E).
extern const char* const balance_text;
Argument plan_counts(const Call& call, Plan& plan);

}  // namespace godwit::opencl
