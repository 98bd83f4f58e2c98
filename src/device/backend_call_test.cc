// Whoever looks at a process that has died could be told another call than the one it died in, or none.
#include "device/backend_call.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>

namespace godwit::device {
namespace {

std::atomic<std::uint32_t> mark{0};
std::string seen;

godwit_status prepare(godwit_device*, const godwit_program*, godwit_prepared**, godwit_error* error) {
  seen = call_text(mark.load());
  if (error != nullptr) std::memset(error->message, 'x', sizeof error->message);
  return GODWIT_FAILED;
}

godwit_backend table() {
  godwit_backend table{};
  table.prepare = prepare;
  table.event_wait = [](godwit_event*, std::int64_t, godwit_error*) { return GODWIT_FAILED; };
  table.queue_destroy = [](godwit_queue*) { seen = call_text(mark.load()); };
  return table;
}

TEST(BackendCall, IsMarkedWhileItLasts) {
  watch_calls(mark, 0);
  const godwit_backend backend = table();
  godwit_queue* none = nullptr;
  call(backend, &godwit_backend::queue_destroy, none);
  EXPECT_EQ(seen, "queue_destroy");
  EXPECT_EQ(call_text(mark.load()), "");
  const InCall load(InCall::load);
  call(backend, &godwit_backend::queue_destroy, none);
  EXPECT_EQ(call_text(mark.load()), "load");  // calls within calls
  EXPECT_EQ(call_text(~0u), "");
  EXPECT_EQ(call_text(offsetof(godwit_backend, name)), "");
}

TEST(BackendCall, AnErrorHasAnEndAndAWord) {
  const godwit_backend backend = table();
  godwit_error error{};
  godwit_device* device = nullptr;
  const godwit_program* program = nullptr;
  godwit_prepared** prepared = nullptr;
  EXPECT_EQ(call(backend, &godwit_backend::prepare, device, program, prepared, &error), GODWIT_FAILED);
  EXPECT_EQ(std::strlen(error.message), sizeof error.message - 1);
  EXPECT_EQ(error.status, GODWIT_FAILED);
  error = {};
  godwit_event* event = nullptr;
  (void)call(backend, &godwit_backend::event_wait, event, std::int64_t{-1}, &error);
  EXPECT_STREQ(error.message, "event_wait answered with status 7");
}

TEST(BackendCall, WhoeverClosesADescriptorOrReturnsTwiceEnds) {
  EXPECT_EXIT(
      {
        watch_calls(mark, 4000);  // not open
        const InCall in(InCall::load);
      },
      testing::ExitedWithCode(1), "");
  EXPECT_EQ(call_text(InCall::load | 1u << 16), "load, which closed descriptors that are not its own");
}

}  // namespace
}  // namespace godwit::device
