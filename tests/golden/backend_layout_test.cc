// A member of godwit/backend.h could move, and every backend that was built before would read another. The layout is frozen: members are
// appended, with a higher minor version, and backend_layout.txt grows by their lines.
#include <gtest/gtest.h>

#include <cstddef>
#include <fstream>
#include <iterator>
#include <sstream>

#include "godwit/backend.h"

namespace {

#define MEMBER(type, member) text << #type "." #member " " << offsetof(type, member) << " " << sizeof(type::member) << "\n"

std::string layout() {
  std::ostringstream text;
  MEMBER(godwit_error, status);
  MEMBER(godwit_error, message);
  MEMBER(godwit_tensor, name);
  MEMBER(godwit_tensor, dtype);
  MEMBER(godwit_tensor, role);
  MEMBER(godwit_tensor, rank);
  MEMBER(godwit_tensor, shape);
  MEMBER(godwit_tensor, offset);
  MEMBER(godwit_attribute, name);
  MEMBER(godwit_attribute, is_real);
  MEMBER(godwit_attribute, integer);
  MEMBER(godwit_attribute, real);
  MEMBER(godwit_op, name);
  MEMBER(godwit_op, inputs);
  MEMBER(godwit_op, input_count);
  MEMBER(godwit_op, outputs);
  MEMBER(godwit_op, output_count);
  MEMBER(godwit_op, attributes);
  MEMBER(godwit_op, attribute_count);
  MEMBER(godwit_program, struct_size);
  MEMBER(godwit_program, name);
  MEMBER(godwit_program, profile);
  MEMBER(godwit_program, tensors);
  MEMBER(godwit_program, tensor_count);
  MEMBER(godwit_program, ops);
  MEMBER(godwit_program, op_count);
  MEMBER(godwit_program, refresh_count);
  MEMBER(godwit_program, arena_bytes);
  MEMBER(godwit_program, persistent_bytes);
  MEMBER(godwit_option, name);
  MEMBER(godwit_option, value);
  MEMBER(godwit_device_info, struct_size);
  MEMBER(godwit_device_info, name);
  MEMBER(godwit_device_info, driver);
  MEMBER(godwit_device_info, memory_bytes);
  MEMBER(godwit_device_info, profiles);
  MEMBER(godwit_prepared_info, struct_size);
  MEMBER(godwit_prepared_info, workspace_bytes);
  MEMBER(godwit_prepared_info, private_bytes);
  MEMBER(godwit_binding, buffer);
  MEMBER(godwit_binding, offset);
  MEMBER(godwit_finding, struct_size);
  MEMBER(godwit_finding, op);
  MEMBER(godwit_finding, tensor);
  MEMBER(godwit_finding, row);
  MEMBER(godwit_finding, difference);
  MEMBER(godwit_finding, bound);
  MEMBER(godwit_finding, prepared);
  MEMBER(godwit_spoil, struct_size);
  MEMBER(godwit_spoil, kind);
  MEMBER(godwit_spoil, op);
  MEMBER(godwit_spoil, op_index);
  MEMBER(godwit_spoil, rows);
  MEMBER(godwit_spoil, bit);
  MEMBER(godwit_spoil, rate);
  MEMBER(godwit_spoil, count);
  MEMBER(godwit_spoil, after_seconds);
  MEMBER(godwit_spoil, seed);
  MEMBER(godwit_spoilt, op);
  MEMBER(godwit_spoilt, row);
  MEMBER(godwit_spoilt, column);
  MEMBER(godwit_spoilt, before);
  MEMBER(godwit_spoilt, after);
  MEMBER(godwit_spoilt, row_rms);
  MEMBER(godwit_backend, struct_size);
  MEMBER(godwit_backend, major);
  MEMBER(godwit_backend, minor);
  MEMBER(godwit_backend, name);
  MEMBER(godwit_backend, device_count);
  MEMBER(godwit_backend, device_describe);
  MEMBER(godwit_backend, open);
  MEMBER(godwit_backend, close);
  MEMBER(godwit_backend, describe);
  MEMBER(godwit_backend, buffer_create);
  MEMBER(godwit_backend, buffer_wrap);
  MEMBER(godwit_backend, buffer_host);
  MEMBER(godwit_backend, buffer_destroy);
  MEMBER(godwit_backend, queue_create);
  MEMBER(godwit_backend, queue_destroy);
  MEMBER(godwit_backend, write);
  MEMBER(godwit_backend, read);
  MEMBER(godwit_backend, event_record);
  MEMBER(godwit_backend, event_wait);
  MEMBER(godwit_backend, event_ready);
  MEMBER(godwit_backend, event_destroy);
  MEMBER(godwit_backend, kernel_for);
  MEMBER(godwit_backend, prepare);
  MEMBER(godwit_backend, prepared_describe);
  MEMBER(godwit_backend, prepared_destroy);
  MEMBER(godwit_backend, run);
  MEMBER(godwit_backend, abort);
  MEMBER(godwit_backend, op_time);
  MEMBER(godwit_backend, verify_key);
  MEMBER(godwit_backend, findings);
  MEMBER(godwit_backend, checked);
  MEMBER(godwit_backend, watch);
  MEMBER(godwit_backend, spoil);
  return text.str();
}

TEST(BackendLayout, IsWhatItWas) {
  std::ifstream file(GODWIT_SOURCE_DIR "/tests/golden/backend_layout.txt");
  const std::string golden((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>());
  EXPECT_EQ(layout(), golden);
}

// A table that ends with a member nobody listed above would be half frozen.
TEST(BackendLayout, ListsTheTableToItsEnd) {
  EXPECT_EQ(sizeof(godwit_backend), offsetof(godwit_backend, spoil) + sizeof(void*));
}

}  // namespace
