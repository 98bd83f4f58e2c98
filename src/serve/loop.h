// The thread that does everything which waits: sockets, timers, the engine's process. Boost.Asio's, seen by loop.cc and http_server.cc
// alone, whose compile times are what they are.
//
// Everything here is the loop's thread's own, but for post(), which any thread may call.
#pragma once

#include <functional>
#include <memory>

namespace boost::asio {
class io_context;
}

namespace godwit::serve {

class Loop {
 public:
  Loop();
  ~Loop();
  Loop(const Loop&) = delete;
  Loop& operator=(const Loop&) = delete;

  // Until stop(), and until the work that had begun has ended.
  void run();
  void stop();
  // Runs it on the loop's thread, soon.
  void post(std::function<void()> task);
  // Runs it on another thread, one after the other; what it has to say to the loop it posts. Tasks that have not begun when the loop ends
  // are dropped.
  void work(std::function<void()> task);
  // SIGTERM and SIGINT.
  void on_signal(std::function<void()> task);

  [[nodiscard]] boost::asio::io_context& context();

  struct Parts;

 private:
  std::unique_ptr<Parts> parts_;
};

// Calls back once, unless it is started again or destroyed before.
class Timer {
 public:
  explicit Timer(Loop& loop);
  ~Timer();
  void start(double seconds, std::function<void()> task);
  void stop();

 private:
  struct Parts;
  std::shared_ptr<Parts> parts_;
};

// Says when a descriptor of somebody else's may be read or written. Destroy it before the descriptor is closed.
class Watch {
 public:
  Watch(Loop& loop, int descriptor);
  ~Watch();
  // Once each.
  void readable(std::function<void()> task);
  void writable(std::function<void()> task);

 private:
  struct Parts;
  std::shared_ptr<Parts> parts_;
};

}  // namespace godwit::serve
