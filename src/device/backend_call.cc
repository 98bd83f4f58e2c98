#include "device/backend_call.h"

#include <fcntl.h>
#include <unistd.h>

#include <cstdio>
#include <iterator>

namespace godwit::device {

namespace {

constexpr std::uint32_t closed = 1u << 16;  // beside the call

std::atomic<std::uint32_t> unseen{0};
struct Watched {
  std::atomic<std::uint32_t>* mark = &unseen;
  pid_t process = 0;  // 0: nobody watches
  int descriptor = -1;
} watched;

struct Named {
  std::size_t mark;
  std::string_view name;
};
#define MEMBER(name) \
  { offsetof(godwit_backend, name), #name }
constexpr Named names[] = {{InCall::load, "load"},
                           MEMBER(device_count),
                           MEMBER(device_describe),
                           MEMBER(open),
                           MEMBER(close),
                           MEMBER(describe),
                           MEMBER(buffer_create),
                           MEMBER(buffer_wrap),
                           MEMBER(buffer_host),
                           MEMBER(buffer_destroy),
                           MEMBER(queue_create),
                           MEMBER(queue_destroy),
                           MEMBER(write),
                           MEMBER(read),
                           MEMBER(event_record),
                           MEMBER(event_wait),
                           MEMBER(event_ready),
                           MEMBER(event_destroy),
                           MEMBER(kernel_for),
                           MEMBER(prepare),
                           MEMBER(prepared_describe),
                           MEMBER(prepared_destroy),
                           MEMBER(run),
                           MEMBER(abort),
                           MEMBER(op_time),
                           MEMBER(verify_key),
                           MEMBER(findings),
                           MEMBER(checked),
                           MEMBER(watch),
                           MEMBER(spoil)};
#undef MEMBER
constexpr std::size_t table_functions = (sizeof(godwit_backend) - offsetof(godwit_backend, device_count)) / sizeof(void*);
static_assert(std::size(names) == table_functions + 1, "a function of the table has no name here");

}  // namespace

void watch_calls(std::atomic<std::uint32_t>& mark, int descriptor) {
  watched = {&mark, getpid(), descriptor};
}

std::string call_text(std::uint32_t mark) {
  for (const Named& named : names) {
    if (named.mark != (mark & ~closed)) continue;
    return std::string(named.name) + ((mark & closed) != 0 ? ", which closed descriptors that are not its own" : "");
  }
  return "";
}

void explain(std::uint32_t mark, godwit_status status, godwit_error& error) {
  error.status = status;
  error.message[sizeof error.message - 1] = '\0';
  if (error.message[0] == '\0')
    std::snprintf(error.message, sizeof error.message, "%s answered with status %d", call_text(mark).c_str(), static_cast<int>(status));
}

InCall::InCall(std::uint32_t mark) : before_(watched.mark->exchange(mark, std::memory_order_relaxed)) {}

InCall::~InCall() {
  if (watched.process != 0) {
    if (getpid() != watched.process) _exit(1);
    if (fcntl(watched.descriptor, F_GETFD) < 0) {
      watched.mark->fetch_or(closed);
      _exit(1);
    }
  }
  watched.mark->store(before_, std::memory_order_relaxed);
}

}  // namespace godwit::device
