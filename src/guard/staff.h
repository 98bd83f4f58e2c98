// The processes of a run and the memory they share: who is there, who works, who has gone. Decides nothing about steps; tells the
// supervisor what happened, and gives a seat a new process when its own is gone.
//
// Beside each worker's seat there is room for a candidate, who may take it: a process of its own, elsewhere perhaps, with proposals of its
// own.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "guard/child.h"
#include "guard/fault.h"
#include "guard/link.h"
#include "guard/memory.h"
#include "guard/pulse.h"
#include "guard/task.h"
#include "guard/watchdog.h"

namespace godwit::guard {

// A seat, and who sits on it; or who is to take it.
struct Post {
  Role role = Role::worker;
  int number = -1;  // of a worker
  int slots = -1;   // of a worker: which of the memory's
  Place place;      // of a worker
  bool trusted = false;
  bool candidate = false;
  int threads = 1;
  bool wanted = false;  // somebody should sit here

  enum class State : std::uint8_t { absent, starting, idle, busy };
  State state = State::absent;
  std::string device;                      // as the process named it
  std::optional<DeviceIdentity> identity;  // of a device whose backend is loaded at run time
  std::string coverage;                    // what of its programs' ops the device does itself; empty: all
  std::vector<std::string> unconfined;     // what the kernel did not give to confine it
  std::string trouble;                     // why it could not begin, the last time
  ErrorKind trouble_kind = ErrorKind::world;
  int killed_in_a_row = 0;  // from outside, without an order carried out in between
  double ended_at = 0;      // the last process
  int failures = 0;         // in a row: processes that ended without having carried out an order

  std::optional<Child> child;
  Link link;
  PulseCell* cell = nullptr;
  Watchdog watchdog;
  std::uint64_t epoch = 0;
  std::uint64_t order = 0;  // number of the last one
  std::string frame;        // its bytes
  double ordered_at = 0;
  double resend_at = 0;
  int resends = 0;
  bool late = false;    // it had sent its answer long before it came
  std::string hung;     // why it was given up
  double silent_s = 0;  // and how long it had said nothing by then
  double spawn_at = 0;
  double cpu_s = 0;       // of the present process, as last seen
  double cpu_gone_s = 0;  // of those before

  [[nodiscard]] double cpu_all_s() const { return cpu_gone_s + cpu_s; }
  [[nodiscard]] std::string name() const;
};

struct Event {
  enum class Kind : std::uint8_t {
    ready,     // it can take orders
    answered,  // its order is carried out, or refused with an error: `content`
    ended,     // it is gone: `why`; `outside`: by no doing of its own
  };
  Kind kind = Kind::ready;
  Post* post = nullptr;
  bool outside = false;
  double silent_s = 0;  // ended because it hung: how long it had
  std::string why;
  Json content;
};

struct StaffOptions {
  int workers = 1;
  std::vector<Place> places;  // by worker
  int parts = 1;              // slots of each worker
  int threads = 1;            // in all
  int states = 3;
  std::shared_ptr<Faults> faults;
};

class Staff {
 public:
  Staff(Task& task, const StaffOptions& options);
  // Memory for all. Nothing is forked yet.
  [[nodiscard]] Result<void> create();
  ~Staff();

  [[nodiscard]] Post& keeper() { return posts_[0]; }
  // Who holds a seat, by number; behind the workers the trusted one.
  [[nodiscard]] Post& worker(int number) { return posts_[post_of(number, false)]; }
  [[nodiscard]] const Post& worker(int number) const { return posts_[post_of(number, false)]; }
  [[nodiscard]] Post& trusted() { return posts_.back(); }
  // Who is to take that seat.
  [[nodiscard]] Post& candidate(int number) { return posts_[post_of(number, true)]; }
  [[nodiscard]] const Post& candidate(int number) const { return posts_[post_of(number, true)]; }
  // Brings a candidate up there.
  void invite(int number, const Place& place);
  // The candidate, which is idle, holds the seat from here on. Whoever held it is dismissed; what it proposed is gone.
  void seat(int number);
  // CPU time of all who held the seat, or wanted to.
  [[nodiscard]] double cpu_s(int number) const;
  // The area for samples that candidates are given.
  [[nodiscard]] std::size_t candidates_area() const { return static_cast<std::size_t>(options_.workers) + 2; }
  // For reading, in this process.
  [[nodiscard]] std::byte* state(std::size_t index) const { return states_[index].data(); }
  // It is not needed now: its memory goes back to the system.
  void discard_state(std::size_t index) { states_[index].discard(); }

  // Gives an idle post an order; its answer, or its end, comes as an event.
  void order(Post& post, Json content);
  // Gives its present process up: it ends, as hung for that reason.
  void give_up(Post& post, std::string why);
  // Nobody should sit here any more.
  void dismiss(Post& post);

  // Waits up to `milliseconds` for something to happen, looks after everyone, and tells what did happen. `also`: descriptors whose becoming
  // readable ends the wait too.
  [[nodiscard]] std::vector<Event> attend(int milliseconds, std::span<const int> also = {});

  [[nodiscard]] std::uint64_t resends() const { return resends_; }
  // A process of its own for `body`, with what this process has mapped.
  [[nodiscard]] Result<Child> fork_helper(const std::string& name, const std::function<int()>& body);
  // The step that is being made: where link faults strike.
  void set_step(std::uint64_t step) { step_ = step; }

 private:
  [[nodiscard]] Result<void> spawn(Post& post);
  [[nodiscard]] Result<Memory> map_for(const Post& post);
  [[nodiscard]] std::size_t post_of(int number, bool candidate) const;
  void close_others();
  void receive(Post& post, std::vector<Event>& events);
  void take(Post& post, const std::string& bytes, std::vector<Event>& events);
  void send(Post& post);
  void end(Post& post, const Ending& ending, std::vector<Event>& events);
  void look(double now);

  Task& task_;
  StaffOptions options_;
  Sizes sizes_;
  std::vector<SharedMemory> states_, areas_, slots_;
  PulseCell* cells_ = nullptr;
  std::vector<Post> posts_;
  std::vector<int> chair_;  // by worker: which of its two posts holds the seat
  Gaps keeper_gaps_;
  std::map<std::string, Gaps> gaps_;  // of workers, by backend
  double looked_at_ = 0;
  std::uint64_t resends_ = 0;
  std::uint64_t step_ = 0;
  struct Delayed {
    double due;
    Post* post;
    std::uint64_t epoch;
    std::string bytes;
  };
  std::vector<Delayed> delayed_;
};

}  // namespace godwit::guard
