// The server's side of the engine's process: starts it, watches it, hands it requests, and when it dies, hangs or fails starts another that
// goes on where it was: every request is given again with the ids already told, so what follows is what would have followed, bit for bit.
//
// After `failures_max` failures without a token between them whatever is under way is given up, and starting is tried again with pauses.
// Everything happens on the loop's thread; nothing waits.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "guard/child.h"
#include "guard/watchdog.h"
#include "serve/api_error.h"
#include "serve/engine_messages.h"
#include "serve/frames.h"
#include "serve/loop.h"

namespace godwit::serve {

// Who asked. No call follows a finish, a refusal, lost() or the request's cancel().
class Asker {
 public:
  virtual ~Asker() = default;
  // The engine has taken it; said again after the engine was begun anew.
  virtual void accepted(std::uint64_t ticket) = 0;
  virtual void refused(std::uint64_t ticket, const std::string& message) = 0;
  virtual void event(const infer::ServedEvent& event) = 0;
  virtual void lost(std::uint64_t ticket, const std::string& why) = 0;
};

class EngineProcess {
 public:
  static constexpr int failures_max = 3;

  struct Calls {
    // It can answer; said again of every new process.
    std::function<void(const Ready&)> ready;
    // After every step, before the events are told.
    std::function<void(const Stepped&)> stepped;
    // It never became ready and says why, or failed too often before it was: there is no point in going on.
    std::function<void(const Error&)> hopeless;
  };

  // `arguments` of this program's own file; "--link N" is added.
  EngineProcess(Loop& loop, std::vector<std::string> arguments, Calls calls);
  ~EngineProcess();
  void start();

  // Tickets are never used twice.
  [[nodiscard]] std::uint64_t submit(EngineRequest request, std::shared_ptr<Asker> asker);
  void cancel(std::uint64_t ticket);

  [[nodiscard]] bool ready() const { return ready_; }
  // It fails again and again: whatever were asked now would be given up.
  [[nodiscard]] bool down() const { return !ready_ && failures_in_a_row_ >= failures_max; }
  // Under way, queued in the engine or not.
  [[nodiscard]] std::size_t live() const { return live_.size(); }
  [[nodiscard]] std::uint64_t failures() const { return failures_in_all_; }
  // Of the process that runs; 0: none does.
  [[nodiscard]] int pid() const { return child_ ? child_->pid() : 0; }

 private:
  struct Live {
    EngineRequest request;
    std::shared_ptr<Asker> asker;
  };

  void launch();
  [[nodiscard]] Result<void> fork();
  void read();
  void take(Report report);
  void take_events(const Stepped& stepped);
  void send(const std::string& bytes);
  void flush();
  void look();
  // The process is given up; what comes next waits for its end.
  void lose(std::string why);
  void ended();
  void give_up_requests(const std::string& why);

  Loop& loop_;
  std::vector<std::string> arguments_;
  Calls calls_;
  std::optional<guard::Child> child_;
  int link_ = -1;
  std::unique_ptr<Watch> link_watch_, child_watch_;
  FrameReader reader_;
  std::string unsent_;
  bool writing_ = false;
  bool ready_ = false, was_ready_ = false;
  std::optional<Failed> told_;  // why the process says it failed
  std::string lost_why_;
  std::uint64_t beats_ = 0;
  std::optional<guard::Watchdog> watchdog_;
  guard::Gaps gaps_;
  Timer look_timer_, start_timer_;
  std::map<std::uint64_t, Live> live_;
  std::uint64_t next_ticket_ = 1;
  int failures_in_a_row_ = 0;
  std::uint64_t failures_in_all_ = 0;
};

}  // namespace godwit::serve
