#include "guard/staff.h"

#include <fmt/format.h>
#include <poll.h>
#include <sys/mman.h>

#include <algorithm>
#include <new>

#include "base/clock.h"
#include "base/log.h"
#include "device/backend_call.h"
#include "guard/messages.h"
#include "guard/processes.h"

namespace godwit::guard {

namespace {

constexpr double look_every_s = 0.04;
constexpr double resend_after_s = 0.1;  // an order that nobody took up, an answer that was sent and never came
constexpr int resends_max = 3;

// A process that ends at once, again and again, is begun again ever later.
double pause_before(int failures) {
  return failures <= 1 ? 0 : std::min(2.0, 0.02 * (1 << std::min(failures, 8)));
}

}  // namespace

std::string Post::name() const {
  if (role == Role::keeper) return "keeper";
  if (candidate) return fmt::format("candidate for worker {} on {}", number, place.text());
  return trusted ? fmt::format("worker {} (trusted)", number) : fmt::format("worker {}", number);
}

Staff::Staff(Task& task, const StaffOptions& options) : task_(task), options_(options), sizes_(task.sizes()) {
  if (!options_.faults) options_.faults = std::make_shared<Faults>();
  CHECK(options.places.size() == static_cast<std::size_t>(options.workers), "{} places for {} workers", options.places.size(),
        options.workers);
  posts_.resize(2 * static_cast<std::size_t>(options.workers) + 2);
  chair_.assign(static_cast<std::size_t>(options.workers), 0);
  const int each = std::max(1, options.threads / std::max(1, options.workers));
  for (std::size_t i = 0; i < posts_.size(); ++i) {
    posts_[i].role = i == 0 ? Role::keeper : Role::worker;
    posts_[i].threads = i == 0 ? options.threads : each;
    if (i == 0) continue;
    posts_[i].slots = static_cast<int>(i) - 1;
    posts_[i].number = posts_[i].slots / 2;
    posts_[i].trusted = i + 1 == posts_.size();
    if (!posts_[i].trusted) posts_[i].place = options.places[static_cast<std::size_t>(posts_[i].number)];
  }
}

std::size_t Staff::post_of(int number, bool candidate) const {
  const auto first = 1 + 2 * static_cast<std::size_t>(number);
  if (number == options_.workers) return first;  // the trusted one
  return first + static_cast<std::size_t>(chair_[static_cast<std::size_t>(number)] ^ (candidate ? 1 : 0));
}

void Staff::invite(int number, const Place& place) {
  Post& post = candidate(number);
  CHECK(!post.wanted, "worker {} has a candidate", number);
  post.place = place;
  post.candidate = post.wanted = true;
  post.trouble.clear();
  post.failures = post.killed_in_a_row = 0;
  post.spawn_at = 0;
}

void Staff::seat(int number) {
  Post& old = worker(number);
  Post& taking = candidate(number);
  CHECK(taking.state == Post::State::idle, "{} takes a seat before it can", taking.name());
  chair_[static_cast<std::size_t>(number)] ^= 1;
  taking.candidate = false;
  dismiss(old);
}

double Staff::cpu_s(int number) const {
  const Post& holder = worker(number);
  return holder.cpu_all_s() + (holder.trusted ? 0 : candidate(number).cpu_all_s());
}

Staff::~Staff() {
  for (Post& post : posts_) post.child.reset();
  if (cells_ != nullptr) munmap(cells_, posts_.size() * sizeof(PulseCell));
}

Result<void> Staff::create() {
  const auto make = [](std::vector<SharedMemory>& list, const std::string& name, std::int64_t bytes) -> Result<void> {
    TRY_ASSIGN(SharedMemory memory, SharedMemory::create(name, bytes));
    list.push_back(std::move(memory));
    return {};
  };
  for (int i = 0; i < options_.states; ++i) {
    TRY(make(states_, fmt::format("state {}", i), sizes_.state_bytes));
    TRY(states_.back().map(false));
  }
  for (std::size_t i = 0; i <= candidates_area(); ++i)
    TRY(make(areas_, i == 0 ? "samples" : fmt::format("samples {}", i - 1), sizes_.area_bytes));
  for (std::size_t i = 1; i < posts_.size(); ++i) TRY(make(slots_, fmt::format("proposals {}", i - 1), sizes_.slot_bytes * options_.parts));
  void* cells = mmap(nullptr, posts_.size() * sizeof(PulseCell), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (cells == MAP_FAILED) return world_error("no memory for the pulses of {} processes", posts_.size());
  cells_ = static_cast<PulseCell*>(cells);
  for (std::size_t i = 0; i < posts_.size(); ++i) posts_[i].cell = new (cells_ + i) PulseCell;
  return {};
}

// In the child: all it may use, and nothing else.
Result<Memory> Staff::map_for(const Post& post) {
  const bool keeper = post.role == Role::keeper;
  Memory memory;
  for (SharedMemory& state : states_) {
    TRY_ASSIGN(std::byte * data, state.map(keeper));
    memory.states.push_back(data);
  }
  for (SharedMemory& area : areas_) {
    TRY_ASSIGN(std::byte * data, area.map(keeper));
    memory.areas.push_back(data);
  }
  memory.slots.resize(slots_.size());
  for (std::size_t w = 0; w < slots_.size(); ++w) {
    const bool own = static_cast<int>(w) == post.slots;
    if (!keeper && !own) continue;
    TRY_ASSIGN(std::byte * data, slots_[w].map(own));
    for (int part = 0; part < options_.parts; ++part) memory.slots[w].push_back(data + sizes_.slot_bytes * part);
  }
  for (auto* list : {&states_, &areas_, &slots_}) {
    for (SharedMemory& shared : *list) shared.forget();
  }
  return memory;
}

void Staff::close_others() {
  for (Post& post : posts_) post.link.close();
}

Result<void> Staff::spawn(Post& post) {
  TRY_ASSIGN(auto ends, Link::create());
  Link theirs = std::move(ends.second);
  ++post.epoch;
  post.cell->phase.store(static_cast<std::uint32_t>(Phase::starting));
  post.cell->taken.store(0);
  post.cell->answered.store(0);
  post.cell->wanted.store(0);
  post.cell->call.store(0);
  const Seat seat{post.number, post.slots, post.place, post.trusted, post.candidate, post.threads, post.epoch};
  const auto body = [&]() -> int {
    close_others();
    ends.first.close();
    close_inherited_files();
    const Result<Memory> memory = map_for(post);
    if (!memory.ok()) {
      (void)theirs.send(encode_frame({1, seat.epoch, Json{{"error", memory.error().message}}}));
      return 1;
    }
    if (post.role == Role::keeper) return keeper_process(task_, *memory, seat, std::move(theirs), *post.cell, *options_.faults);
    return worker_process(task_, *memory, seat, std::move(theirs), *post.cell, *options_.faults);
  };
  TRY_ASSIGN(Child child, Child::fork(post.role == Role::keeper ? "godwit keeper" : fmt::format("godwit work {}", post.number), body));
  post.child = std::move(child);
  post.link = std::move(ends.first);
  post.state = Post::State::starting;
  post.watchdog = Watchdog();
  post.order = 1;
  post.frame = encode_frame({1, post.epoch, Json::object()});  // asks again whether it is ready
  post.resend_at = monotonic_seconds() + resend_after_s;
  post.ordered_at = monotonic_seconds();
  post.resends = 0;
  post.late = false;
  post.hung.clear();
  post.silent_s = 0;
  return {};
}

Result<Child> Staff::fork_helper(const std::string& name, const std::function<int()>& body) {
  return Child::fork(name, [&] {
    close_others();
    close_inherited_files();
    return body();
  });
}

void Staff::order(Post& post, Json content) {
  CHECK(post.state == Post::State::idle, "{} is given an order while it has another", post.name());
  ++post.order;
  post.frame = encode_frame({post.order, post.epoch, std::move(content)});
  post.state = Post::State::busy;
  post.ordered_at = monotonic_seconds();
  post.resend_at = post.ordered_at + resend_after_s;
  post.resends = 0;
  post.late = false;
  send(post);
}

void Staff::send(Post& post) {
  if (const auto sent = post.link.send(post.frame); !sent.ok()) log_warning("{}: {}", post.name(), sent.error().message);
}

void Staff::give_up(Post& post, std::string why) {
  if (!post.child || !post.hung.empty()) return;
  post.hung = std::move(why);
  post.child->kill();
}

void Staff::dismiss(Post& post) {
  post.wanted = false;
  if (post.child) give_up(post, "it is not needed any more");
}

void Staff::take(Post& post, const std::string& bytes, std::vector<Event>& events) {
  auto frame = decode_frame(bytes);
  if (!frame.ok()) {
    log_warning("{}: {}; it is asked for again", post.name(), frame.error().message);
    post.resend_at = 0;
    return;
  }
  if (frame->epoch != post.epoch || frame->number != post.order) return;  // of a process that is gone, or said twice
  if (post.state != Post::State::starting && post.state != Post::State::busy) return;
  Event event;
  event.kind = post.state == Post::State::starting ? Event::Kind::ready : Event::Kind::answered;
  event.post = &post;
  if (event.kind == Event::Kind::ready) {
    if (frame->content.contains("error")) {
      post.trouble = frame->content.value("error", std::string());
      post.trouble_kind = static_cast<ErrorKind>(frame->content.value("kind", static_cast<int>(ErrorKind::world)));
      return;  // it ends now
    }
    post.trouble.clear();
    post.device = frame->content.value("device", std::string());
    post.coverage = frame->content.value("coverage", std::string());
    const Json* identity = frame->content.find("identity");
    post.identity = identity == nullptr ? std::nullopt : std::optional(identity_from(*identity));
    post.unconfined.clear();
    if (const Json* missing = frame->content.find("unconfined")) {
      for (const Json& each : *missing) post.unconfined.push_back(each.is_string() ? each.string() : "");
    }
  } else {
    post.failures = post.killed_in_a_row = 0;
  }
  post.state = Post::State::idle;
  event.content = std::move(frame->content);
  events.push_back(std::move(event));
}

void Staff::receive(Post& post, std::vector<Event>& events) {
  while (true) {
    auto received = post.link.receive(false);
    if (!received.ok() || !received->has_value()) return;  // its end comes by its own way
    std::string bytes = std::move(**received);
    bool lost = false;
    if (options_.faults->any()) {
      for (const Fault* fault :
           options_.faults->pass({Role::supervisor, post.number, step_, Phase::sending, {}, post.trusted, post.candidate})) {
        switch (fault->act) {
          case Act::lose_frame:
            lost = true;
            break;
          case Act::repeat_frame:
            delayed_.push_back({0, &post, post.epoch, bytes});
            break;
          case Act::delay_frame:
            delayed_.push_back({monotonic_seconds() + fault->seconds, &post, post.epoch, bytes});
            lost = true;
            break;
          case Act::flip_frame:
            bytes[bytes.size() / 2] = static_cast<char>(bytes[bytes.size() / 2] ^ 8);
            break;
          case Act::reset_link:
            lost = true;
            give_up(post, "its link was reset");
            break;
          default:
            break;
        }
      }
    }
    if (!lost) take(post, bytes, events);
  }
}

void Staff::end(Post& post, const Ending& ending, std::vector<Event>& events) {
  Event event;
  event.kind = Event::Kind::ended;
  event.post = &post;
  event.outside = ending.kind == Ending::Kind::killed && post.hung.empty();
  event.silent_s = post.silent_s;
  event.why = !post.hung.empty() ? post.hung : !post.trouble.empty() && post.state == Post::State::starting ? post.trouble : ending.text();
  if (const std::string call = device::call_text(post.cell->call.load()); !call.empty())
    event.why += fmt::format(", in its backend's {}", call);
  if (post.hung == "its link was reset") event.outside = true;
  post.cpu_gone_s += post.cpu_s;
  post.cpu_s = 0;
  post.child.reset();
  post.link.close();
  post.state = Post::State::absent;
  if (post.role == Role::worker && &post != &worker(post.number)) slots_[static_cast<std::size_t>(post.slots)].discard();
  // Whoever is killed from outside may begin again at once; only a little later if that happens all the time.
  post.ended_at = monotonic_seconds();
  if (event.outside) {
    post.spawn_at = monotonic_seconds() + (post.killed_in_a_row++ == 0 ? 0 : 0.05);
  } else {
    ++post.failures;
    post.spawn_at = monotonic_seconds() + pause_before(post.failures);
  }
  events.push_back(std::move(event));
}

void Staff::look(double now) {
  if (now - looked_at_ < look_every_s) return;
  looked_at_ = now;
  for (Post& post : posts_) {
    if (!post.child || !post.hung.empty()) continue;
    Look seen;
    if (!post.child->look(seen)) continue;
    post.cpu_s = seen.cpu_s;
    const auto phase = static_cast<Phase>(post.cell->phase.load(std::memory_order_relaxed));
    const std::uint64_t beats = post.cell->beats.load(std::memory_order_relaxed);
    if (const auto hung =
            post.watchdog.look(beats, phase, seen, now, post.role == Role::keeper ? keeper_gaps_ : gaps_[post.place.backend])) {
      post.silent_s = post.watchdog.silent_s();
      give_up(post, *hung);
      continue;
    }
    if ((post.state != Post::State::busy && post.state != Post::State::starting) || now < post.resend_at) continue;
    // It does not work on the order, or has done: somewhere a frame was lost.
    const bool untaken = post.state == Post::State::busy && post.cell->taken.load() < post.order && phase == Phase::idle && !seen.stopped;
    const bool unheard = post.cell->answered.load() >= post.order;
    if (!untaken && !unheard && post.resend_at > 0) continue;
    if (++post.resends > resends_max) {
      give_up(post, fmt::format("{} frames in a row were lost or spoilt on its link", post.resends));
      continue;
    }
    ++resends_;
    post.late = post.late || unheard;
    post.resend_at = now + resend_after_s * (1 << post.resends);
    send(post);
  }
}

std::vector<Event> Staff::attend(int milliseconds, std::span<const int> also) {
  std::vector<Event> events;
  options_.faults->attend();
  const double now = monotonic_seconds();
  for (Post& post : posts_) {
    if (!post.wanted || post.child || now < post.spawn_at) continue;
    if (const auto spawned = spawn(post); !spawned.ok()) {
      log_warning("{}: {}", post.name(), spawned.error().message);
      post.spawn_at = now + 0.5;
    }
  }
  std::vector<pollfd> waits;
  for (Post& post : posts_) {
    if (!post.child) continue;
    waits.push_back({post.link.descriptor(), POLLIN, 0});
    waits.push_back({post.child->descriptor(), POLLIN, 0});
  }
  for (const int descriptor : also) waits.push_back({descriptor, POLLIN, 0});
  poll(waits.data(), waits.size(), std::min(milliseconds, delayed_.empty() ? static_cast<int>(look_every_s * 1000) : 1));
  for (Post& post : posts_) {
    if (!post.child) continue;
    receive(post, events);  // also what a process said before it ended
    if (const auto ending = post.child->ending()) end(post, *ending, events);
  }
  std::vector<Delayed> due;
  std::erase_if(delayed_, [&](const Delayed& each) {
    if (each.due > now) return false;
    due.push_back(each);
    return true;
  });
  for (const Delayed& each : due) {
    if (each.post->epoch == each.epoch) take(*each.post, each.bytes, events);
  }
  look(monotonic_seconds());
  return events;
}

}  // namespace godwit::guard
