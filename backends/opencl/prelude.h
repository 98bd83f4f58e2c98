// OpenCL C that stands before every kernel's text: bf16, elementary functions, sums in segments and trees, rows, with the bits of
// docs/arithmetic.md.
#pragma once

namespace godwit::opencl {

extern const char* const prelude;

}  // namespace godwit::opencl
