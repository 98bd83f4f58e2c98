// rope and its gradient: the same rows, turned one way or the other.
#pragma once

#include "kernel.h"

namespace godwit::opencl {

enum class Turn : std::int32_t { forward, back };
void plan_rotation(const Call& call, Plan& plan, Turn turn);

}  // namespace godwit::opencl
