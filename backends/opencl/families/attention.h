// Attention of one query row over keys 0 … count − 1, by rows: the text that attention, its gradient and its decode forms are made of.
#pragma once

#include <string>

#include "kernel.h"

namespace godwit::opencl {

// A kernel that sets up a row defines QUERY(i), KEY(j, i) and VALUE(j, c), operands of products, before this text, and then calls
// ATTEND(count, key_width, value_width, scale, stack, o, m_out, l_out): `stack` is the row's scratch of attend_floats() floats, o the place
// of the row's result. m_out and l_out are variables.
extern const char* const attend_text;
[[nodiscard]] std::int64_t attend_floats(std::int64_t keys_max, std::int64_t width);

}  // namespace godwit::opencl
