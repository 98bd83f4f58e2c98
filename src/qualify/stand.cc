#include "qualify/stand.h"

#include <fmt/format.h>
#include <poll.h>
#include <sys/mman.h>

#include <algorithm>
#include <new>
#include <utility>

#include "base/clock.h"
#include "guard/messages.h"

namespace godwit::qualify {

namespace {

constexpr int look_every_ms = 50;
constexpr double look_apart_max_s = 0.25;  // a longer time between two looks was nobody's: the machine slept, or this process was stopped

}  // namespace

Result<std::unique_ptr<Stand>> Stand::begin(std::span<const Trial> trials, const StandOptions& options) {
  std::unique_ptr<Stand> stand(new Stand(trials, options));
  std::int64_t bytes = GODWIT_ALIGNMENT;
  for (const Trial& trial : trials) bytes = std::max(bytes, trial.result_bytes());
  stand->region_bytes_ = bytes;
  TRY_ASSIGN(stand->regions_, guard::SharedMemory::create("results of " + options.name, 2 * bytes));
  TRY(stand->regions_.map(false));
  void* cell = ::mmap(nullptr, sizeof(SubjectCell), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (cell == MAP_FAILED) return world_error("no memory to watch {} by", options.name);
  stand->cell_ = new (cell) SubjectCell;
  TRY(stand->fork());
  return stand;
}

Stand::~Stand() {
  child_.reset();
  if (cell_ != nullptr) ::munmap(cell_, sizeof(SubjectCell));
}

Result<void> Stand::fork() {
  TRY_ASSIGN(auto ends, guard::Link::create());
  cell_->call.store(Call::none);
  cell_->trial.store(-1);
  const auto body = [&]() -> int {
    ends.first.close();
    const Result<std::byte*> memory = regions_.map(true);
    if (!memory.ok()) return 1;
    regions_.forget();
    const std::span<std::byte> regions(*memory, static_cast<std::size_t>(2 * region_bytes_));
    return subject_process(trials_, options_.subject, std::move(ends.second), *cell_, regions);
  };
  TRY_ASSIGN(guard::Child child, guard::Child::fork(options_.name, body));
  child_ = std::move(child);
  link_ = std::move(ends.first);
  return {};
}

Error Stand::give_up(std::string what) {
  trouble_ = Trouble{std::move(what), cell_->call.load(), cell_->trial.load()};
  child_.reset();
  link_.close();
  const std::string of = trouble_->trial < 0 ? "" : " of " + trials_[static_cast<std::size_t>(trouble_->trial)].text;
  return world_error("{} {} in {}{}", options_.name, trouble_->what, call_name(trouble_->call), of);
}

Result<void> Stand::give(const Json& order) {
  trouble_.reset();
  if (!child_) TRY(fork());
  return link_.send(guard::encode_frame({++order_, 0, order}));
}

Result<Json> Stand::take() {
  std::uint64_t beats = cell_->beats.load();
  double silent_s = 0, looked_at = monotonic_seconds();
  while (true) {
    pollfd ready[2] = {{link_.descriptor(), POLLIN, 0}, {child_->descriptor(), POLLIN, 0}};
    (void)::poll(ready, 2, look_every_ms);
    const auto received = link_.receive(false);
    if (received.ok() && *received) {
      TRY_ASSIGN(guard::Frame frame, guard::decode_frame(**received));
      if (frame.number != order_) continue;
      if (const auto error = guard::error_from(frame.content)) return *error;
      return std::move(frame.content);
    }
    if (const auto ending = child_->ending()) return give_up(ending->text());
    if (options_.interrupted()) return Error{ErrorKind::stopped, "stopped on request"};
    const double now = monotonic_seconds();
    silent_s += std::min(now - std::exchange(looked_at, now), look_apart_max_s);
    if (const std::uint64_t seen = cell_->beats.load(); seen != beats) {
      beats = seen;
      silent_s = 0;
    }
    if (silent_s > options_.patience_s && cell_->call.load() != Call::none)
      return give_up(fmt::format("did not return within {:g} s", options_.patience_s));
  }
}

std::span<const std::byte> Stand::result(std::size_t region, const Trial& trial, std::size_t which) const {
  const std::int64_t at = static_cast<std::int64_t>(region) * region_bytes_ + trial.offset(which);
  return {regions_.data() + at, static_cast<std::size_t>(trial.program.tensor(trial.results[which]).type.bytes())};
}

}  // namespace godwit::qualify
