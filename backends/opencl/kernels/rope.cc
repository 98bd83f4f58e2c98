#include "families/rotation.h"

namespace godwit::opencl {

extern const Kernel rope;
const Kernel rope{"rope", [](const Call& call, Plan& plan) { plan_rotation(call, plan, Turn::forward); }};

}  // namespace godwit::opencl
