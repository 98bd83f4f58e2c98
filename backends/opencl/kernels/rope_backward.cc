#include "families/rotation.h"

namespace godwit::opencl {

extern const Kernel rope_backward;
const Kernel rope_backward{"rope_backward", [](const Call& call, Plan& plan) { plan_rotation(call, plan, Turn::back); }};

}  // namespace godwit::opencl
