#include "serve/loop.h"

#include <boost/asio/io_context.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/signal_set.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/thread_pool.hpp>
#include <csignal>

namespace godwit::serve {

namespace asio = boost::asio;

struct Loop::Parts {
  asio::io_context context{1};  // one thread
  asio::executor_work_guard<asio::io_context::executor_type> guard = asio::make_work_guard(context);
  asio::signal_set signals{context};
  asio::thread_pool workers{1};
};

Loop::Loop() : parts_(std::make_unique<Parts>()) {}

Loop::~Loop() {
  parts_->workers.stop();
  parts_->workers.join();
}

void Loop::run() {
  parts_->context.run();
  // Whoever the work is for may be gone next.
  parts_->workers.stop();
  parts_->workers.join();
}

void Loop::stop() {
  parts_->context.stop();
}

void Loop::post(std::function<void()> task) {
  asio::post(parts_->context, std::move(task));
}

void Loop::work(std::function<void()> task) {
  asio::post(parts_->workers, std::move(task));
}

void Loop::on_signal(std::function<void()> task) {
  parts_->signals.add(SIGTERM);
  parts_->signals.add(SIGINT);
  parts_->signals.async_wait([this, task = std::move(task)](const boost::system::error_code& error, int) {
    if (error) return;
    task();
    // Whoever signals a second time does not want to wait.
    parts_->signals.clear();
  });
}

asio::io_context& Loop::context() {
  return parts_->context;
}

struct Timer::Parts {
  explicit Parts(asio::io_context& context) : timer(context) {}
  asio::steady_timer timer;
  std::uint64_t started = 0;
};

Timer::Timer(Loop& loop) : parts_(std::make_shared<Parts>(loop.context())) {}

Timer::~Timer() {
  stop();
}

void Timer::start(double seconds, std::function<void()> task) {
  const std::uint64_t number = ++parts_->started;
  parts_->timer.expires_after(std::chrono::duration_cast<std::chrono::steady_clock::duration>(std::chrono::duration<double>(seconds)));
  // A timer that has run out and waits for its turn can no longer be cancelled: the number can.
  parts_->timer.async_wait([parts = parts_, number, task = std::move(task)](const boost::system::error_code& error) {
    if (!error && parts->started == number) task();
  });
}

void Timer::stop() {
  ++parts_->started;
  parts_->timer.cancel();
}

struct Watch::Parts {
  Parts(asio::io_context& context, int number) : descriptor(context, number) {}
  ~Parts() { descriptor.release(); }
  asio::posix::stream_descriptor descriptor;
  bool ended = false;
};

Watch::Watch(Loop& loop, int descriptor) : parts_(std::make_shared<Parts>(loop.context(), descriptor)) {}

Watch::~Watch() {
  parts_->ended = true;
  // Before the owner closes it, whoever still holds the parts.
  parts_->descriptor.release();
}

void Watch::readable(std::function<void()> task) {
  parts_->descriptor.async_wait(asio::posix::stream_descriptor::wait_read,
                                [parts = parts_, task = std::move(task)](const boost::system::error_code& error) {
                                  if (!error && !parts->ended) task();
                                });
}

void Watch::writable(std::function<void()> task) {
  parts_->descriptor.async_wait(asio::posix::stream_descriptor::wait_write,
                                [parts = parts_, task = std::move(task)](const boost::system::error_code& error) {
                                  if (!error && !parts->ended) task();
                                });
}

}  // namespace godwit::serve
