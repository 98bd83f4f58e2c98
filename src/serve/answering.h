// One request for answers under way: what the engine says of its choices, written to its client as it asked for it.
//
// The head is sent when the engine has taken the request, so that what can still be refused has a status of its own. While nothing can be
// told, a stream gets comments and another answer blanks, so that nobody in between thinks the connection dead. A client that goes takes
// its requests with it.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "serve/answers.h"
#include "serve/engine_process.h"
#include "serve/figures.h"
#include "serve/http.h"

namespace godwit::serve {

class Answering final : public Asker, public std::enable_shared_from_this<Answering> {
 public:
  static constexpr double keep_alive_s = 5;
  static constexpr double queue_s_max = 600;  // DeepSeek's: no token by then, and the request is given up

  struct Setting {
    std::shared_ptr<Exchange> exchange;
    std::vector<std::pair<std::string, std::string>> headers;  // of every response
    Generation generation;
    std::int64_t prompt_tokens = 0;
    std::unique_ptr<AnswerForm> form;
    double arrived = 0;  // monotonic
  };
  // `done` is called once, when nothing of it is under way any more. Model, engine and figures must outlive it.
  Answering(Setting setting, const ServedModel& model, EngineProcess& engine, Figures& figures, std::function<void(Answering&)> done);

  void start(std::vector<EngineRequest> requests);
  void tick(double now);
  // Ends it with an error, in whatever form the client can still be told.
  void fail(const ApiError& error, const char* outcome);

  void accepted(std::uint64_t ticket) override;
  void refused(std::uint64_t ticket, const std::string& message) override;
  void event(const infer::ServedEvent& event) override;
  void lost(std::uint64_t ticket, const std::string& why) override;

 private:
  void open();
  void write(std::string_view bytes, double now);
  // An event's piece of a stream, or what is kept of it for the whole.
  void tell(std::size_t index, const infer::ServedEvent& event, double now);
  void finish();
  void close(const char* outcome);
  [[nodiscard]] Usage usage() const;

  Setting setting_;
  const ServedModel& model_;
  EngineProcess& engine_;
  Figures& figures_;
  std::function<void(Answering&)> done_;
  std::map<std::uint64_t, std::size_t> tickets_;  // of what is under way → choice
  std::vector<Choice> choices_;
  std::vector<double> last_token_;  // by choice; 0: none yet
  bool opened_ = false, accepted_ = false, any_token_ = false, closed_ = false;
  double written_at_ = 0;
};

}  // namespace godwit::serve
