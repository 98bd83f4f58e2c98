#include "infer/engine.h"

#include <algorithm>
#include <cmath>
#include <deque>

#include "base/clock.h"
#include "base/machine.h"
#include "infer/engine_programs.h"
#include "infer/pages.h"
#include "infer/reuse.h"
#include "infer/schedule.h"
#include "infer/served_answer.h"

namespace godwit::infer {

namespace {

// Positions of a page: few enough that little of a stream's last page is wasted, and that beginnings are found nearly whole; a multiple of
// what attention's kernel packs at once.
constexpr std::int64_t page_size = 64;

std::int64_t pages_for(std::int64_t positions) {
  return (positions + page_size - 1) / page_size;
}

// One request, waiting or being answered. It may wait again: a stream whose pages are needed by older ones gives them back, and its ids so
// far are read anew like a prompt.
struct Stream {
  Stream(std::uint64_t its_ticket, std::uint64_t its_age, ServedRequest&& its_request, const text::Tokenizer* tokenizer)
      : ticket(its_ticket), age(its_age), request(std::move(its_request)), answer(request, tokenizer), ids(request.request.prompt) {
    ids.insert(ids.end(), request.given.begin(), request.given.end());
  }
  [[nodiscard]] std::int64_t length() const { return static_cast<std::int64_t>(ids.size()); }
  [[nodiscard]] std::int64_t missing() const { return length() - done; }
  // Whether ids of the prompt are still to be told, and whether by the logits behind this position.
  [[nodiscard]] bool tells() const { return request.tell_prompt_from && *request.tell_prompt_from < std::ssize(request.request.prompt); }
  [[nodiscard]] bool tells(std::int64_t position) const {
    return tells() && position + 1 >= *request.tell_prompt_from && position + 1 < std::ssize(request.request.prompt);
  }
  // Ids behind the pages others may find, but for the last one, which is computed whatever is known: its logits are wanted.
  [[nodiscard]] std::span<const std::int32_t> lacking() const {
    if (tells()) return {};
    return std::span(ids).first(ids.size() - 1).subspan(std::min(ids.size() - 1, static_cast<std::size_t>(kept * page_size)));
  }

  std::uint64_t ticket;
  std::uint64_t age;  // in the order of coming
  ServedRequest request;
  ServedAnswer answer;
  std::vector<std::int32_t> ids;      // prompt and answer so far
  std::int64_t done = 0;              // ids whose latents are in the cache
  std::vector<std::int32_t> pages;    // of positions 0 …
  std::int64_t kept = 0;              // pages, the first ones, that others may find
  Pages::Chain chain = 0;             // their end
  std::vector<std::int32_t> guesses;  // of the ids behind these
  bool again = false;                 // was taken up before: what it finds now is not counted
  std::int64_t cached = 0;            // ids of the prompt that were found
  double submitted_at = monotonic_seconds();
  double queued_s = 0;
  std::size_t slot = 0;
};

class ContinuousEngine final : public Engine {
 public:
  ContinuousEngine(const model::Model& model, const EngineOptions& options, std::int64_t pages, std::optional<text::Tokenizer> tokenizer,
                   std::unique_ptr<EnginePrograms> programs)
      : model_(model),
        options_(options),
        tokenizer_(std::move(tokenizer)),
        programs_(std::move(programs)),
        pages_(pages, page_size),
        blocks_(pages_for(options.context)),
        slots_(static_cast<std::size_t>(options.streams), false) {}

  Result<void> submit(std::uint64_t ticket, ServedRequest request) override {
    TRY(check(request, model_, options_.context, tokenizer_, fmt::format("request {}", ticket)));
    const auto most = static_cast<std::int64_t>(request.request.prompt.size()) + request.request.max_tokens;
    if (pages_for(most) > pages_.count()) {
      return input_error(
          "request {}: {} prompt tokens and {} new ones do not fit the cache of {} positions; ask for fewer or shorten the prompt", ticket,
          request.request.prompt.size(), request.request.max_tokens, pages_.count() * page_size);
    }
    waiting_.push_back(std::make_unique<Stream>(ticket, next_age_++, std::move(request), tokenizer_ ? &*tokenizer_ : nullptr));
    return {};
  }

  void cancel(std::uint64_t ticket) override {
    const auto of_ticket = [&](const std::unique_ptr<Stream>& stream) { return stream->ticket == ticket; };
    std::erase_if(waiting_, of_ticket);
    const auto running = std::ranges::find_if(running_, of_ticket);
    if (running == running_.end()) return;
    leave(**running);
    running_.erase(running);
  }

  bool idle() const override { return waiting_.empty() && running_.empty(); }

  Result<std::vector<ServedEvent>> step() override {
    admit();
    TRY(find_rows());
    const std::vector<std::int64_t> rows = reserve(choose_rows());
    Batch batch;
    for (std::size_t i = 0; i < running_.size(); ++i) add_rows(batch, *running_[i], rows[i]);
    if (batch.rows.empty()) return std::vector<ServedEvent>();
    TRY_ASSIGN(const Logits logits, programs_->run(batch, table()));
    ++facts_.steps;

    std::vector<ServedEvent> events;
    std::vector<Computed> computed;
    std::int32_t row = 0;
    std::size_t wanted = 0;
    for (std::size_t i = 0; i < running_.size(); ++i) {
      Stream& stream = *running_[i];
      const std::int64_t before = stream.done;
      TRY(tell(stream, rows[i], logits, wanted, events));
      if (rows[i] < stream.missing()) {
        stream.done += rows[i];
      } else {
        TRY(take(stream, logits, wanted, events));
      }
      keep_pages(stream, page_size);
      computed.push_back({&stream, before, row});
      row += static_cast<std::int32_t>(rows[i]);
    }
    if (options_.guesses > 0) TRY(guess(computed));
    for (const ServedEvent& event : events) {
      if (event.finish) cancel(event.ticket);
    }
    return events;
  }

  EngineFacts facts() const override {
    EngineFacts facts = facts_;
    facts.waiting = static_cast<std::int64_t>(waiting_.size());
    facts.running = static_cast<std::int64_t>(running_.size());
    facts.pages = pages_.count();
    facts.pages_used = pages_.used();
    facts.pages_kept = pages_.kept();
    return facts;
  }

  std::vector<const device::Executable*> executables() const override { return programs_->executables(); }

 private:
  using StreamPointer = std::unique_ptr<Stream>;

  // Takes up waiting requests while there are slots, and pages for all they have so far and one more for everybody: who is taken up should
  // not at once be put back.
  void admit() {
    while (!waiting_.empty() && static_cast<std::int64_t>(running_.size()) < options_.streams) {
      std::vector<std::uint64_t> waiting, running;
      for (const StreamPointer& stream : waiting_) waiting.push_back(stream->request.owner);
      for (const StreamPointer& stream : running_) running.push_back(stream->request.owner);
      const auto next = waiting_.begin() + static_cast<std::ptrdiff_t>(next_waiting(waiting, running));
      Stream& stream = **next;
      const std::int64_t found = find_pages(stream);
      const std::int64_t needed = pages_for(stream.length()) - stream.kept;
      if (!running_.empty() && needed + static_cast<std::int64_t>(running_.size()) > pages_.available()) {
        give_pages_back(stream);
        return;
      }
      if (!stream.again) {
        facts_.prompt_tokens += stream.request.request.prompt.size();
        stream.queued_s = monotonic_seconds() - stream.submitted_at;
      }
      count_found(stream, found);
      stream.slot = static_cast<std::size_t>(std::ranges::find(slots_, false) - slots_.begin());
      slots_[stream.slot] = true;
      running_.push_back(std::move(*next));
      waiting_.erase(next);
      std::ranges::sort(running_, {}, [](const StreamPointer& s) { return s->age; });
    }
  }

  // Known pages of ids the stream lacks, in place of what it has of them; how many rows that saves.
  std::int64_t find_pages(Stream& stream) {
    const Pages::Found found = pages_.find(stream.request.owner, stream.chain, stream.lacking());
    if (found.pages.empty()) return 0;
    pages_.give_back(std::span(stream.pages).subspan(static_cast<std::size_t>(stream.kept)));
    stream.pages.resize(static_cast<std::size_t>(stream.kept));
    stream.pages.insert(stream.pages.end(), found.pages.begin(), found.pages.end());
    stream.kept = std::ssize(stream.pages);
    stream.chain = found.end;
    return stream.kept * page_size - std::exchange(stream.done, stream.kept * page_size);
  }

  // The longest beginning of the stream's next page that stands in a known page or another stream's, copied; how many rows that saves.
  [[nodiscard]] Result<std::int64_t> copy_rows(std::size_t index) {
    Stream& stream = *running_[index];
    const std::int64_t begin = stream.kept * page_size, have = stream.done - begin;
    const std::optional<Pages::Alike> known = pages_.find_alike(stream.request.owner, stream.chain, stream.lacking());
    const std::optional<Rows> others = rows_of_another(progress(), index, page_size);
    std::int32_t from = 0;
    std::int64_t rows = have;
    if (known && known->rows > rows) {
      from = known->page;
      rows = known->rows;
    }
    if (others && others->end > rows) {
      from = running_[others->stream]->pages[static_cast<std::size_t>(stream.kept)];
      rows = others->end;
    }
    if (rows > have && std::ssize(stream.pages) == stream.kept) {
      if (const auto page = pages_.take()) {
        stream.pages.push_back(*page);
      } else {
        rows = have;
      }
    }
    if (rows > have) TRY(programs_->copy_rows(from, stream.pages.back(), have, rows - have));
    if (known) pages_.give_back(std::span(&known->page, 1));
    stream.done = begin + rows;
    return rows - have;
  }

  // What streams that still read need not compute, because it is known by now or stands in another's page.
  [[nodiscard]] Result<void> find_rows() {
    for (std::size_t i = 0; i < running_.size(); ++i) {
      Stream& stream = *running_[i];
      if (stream.missing() == 1) continue;
      count_found(stream, find_pages(stream));
      TRY_ASSIGN(const std::int64_t copied, copy_rows(i));
      count_found(stream, copied);
    }
    return {};
  }

  void count_found(Stream& stream, std::int64_t rows) {
    if (stream.again) return;
    const std::int64_t more = std::min(rows, std::ssize(stream.request.request.prompt) - stream.cached);
    stream.cached += more;
    facts_.cached_tokens += static_cast<std::uint64_t>(more);
  }

  [[nodiscard]] std::vector<Progress> progress() const {
    std::vector<Progress> all;
    for (const StreamPointer& stream : running_) {
      const std::int64_t begin = stream->kept * page_size;
      all.push_back({stream->tells() ? 0 : stream->request.owner, stream->chain,
                     std::span(stream->ids).subspan(static_cast<std::size_t>(begin)), stream->done - begin});
    }
    return all;
  }

  [[nodiscard]] std::vector<std::int64_t> choose_rows() const {
    const std::vector<Progress> all = progress();
    std::vector<Pending> pending;
    for (std::size_t i = 0; i < running_.size(); ++i) {
      const Stream& stream = *running_[i];
      const std::int64_t missing = stream.missing() > 1 && reads_for(all, i) ? 0 : stream.missing();
      pending.push_back({missing, static_cast<std::int64_t>(stream.guesses.size()), stream.request.owner});
    }
    return schedule(pending, options_.rows);
  }

  // Gives the streams pages for their rows, the oldest first; where there are none left the youngest stream goes back to waiting. The
  // oldest always has enough: submit() saw to it. Pages come as they are needed, because answers mostly end long before max_tokens.
  [[nodiscard]] std::vector<std::int64_t> reserve(std::vector<std::int64_t> rows) {
    for (std::size_t i = 0; i < running_.size(); ++i) {
      Stream& stream = *running_[i];
      const auto enough = static_cast<std::size_t>(rows[i] == 0 ? 0 : pages_for(stream.done + rows[i]));
      while (i < running_.size() && stream.pages.size() < enough) {
        if (const auto page = pages_.take()) {
          stream.pages.push_back(*page);
          continue;
        }
        put_back_youngest();
        rows.pop_back();
      }
    }
    return rows;
  }

  void put_back_youngest() {
    StreamPointer stream = std::move(running_.back());
    running_.pop_back();
    leave(*stream);
    stream->again = true;
    waiting_.push_front(std::move(stream));
  }

  // Gives back what the stream has in the cache.
  void leave(Stream& stream) {
    give_pages_back(stream);
    stream.guesses.clear();
    slots_[stream.slot] = false;
  }
  void give_pages_back(Stream& stream) {
    keep_pages(stream, 1);
    pages_.give_back(stream.pages);
    stream.pages.clear();
    stream.done = stream.kept = 0;
    stream.chain = 0;
  }

  static Batch::Row row_of(const Stream& stream, std::int32_t id, std::int64_t position, std::int32_t source = 0) {
    return {.id = id,
            .position = static_cast<std::int32_t>(position),
            .slot = static_cast<std::int32_t>(stream.slot),
            .page = stream.pages[static_cast<std::size_t>(position / page_size)],
            .offset = static_cast<std::int32_t>(position % page_size),
            .source = source};
  }

  // The stream's next rows, and behind its last id the guesses; logits are wanted from the last id's on.
  static void add_rows(Batch& batch, const Stream& stream, std::int64_t rows) {
    for (std::int64_t i = stream.done; i < stream.done + rows; ++i) {
      if (i + 1 >= stream.length() || stream.tells(i)) batch.wanted.push_back(static_cast<std::int32_t>(batch.rows.size()));
      const std::int32_t id =
          i < stream.length() ? stream.ids[static_cast<std::size_t>(i)] : stream.guesses[static_cast<std::size_t>(i - stream.length())];
      batch.rows.push_back(row_of(stream, id, i));
    }
  }

  [[nodiscard]] std::vector<std::int32_t> table() const {
    std::vector<std::int32_t> table(static_cast<std::size_t>(options_.streams * blocks_), -1);
    for (const StreamPointer& stream : running_) {
      std::ranges::copy(stream->pages, table.begin() + static_cast<std::ptrdiff_t>(stream->slot) * blocks_);
    }
    return table;
  }

  // Ids of the prompt whose logits the stream's next `rows` have given, from row `row` of the logits on, which becomes the next one's.
  [[nodiscard]] Result<void> tell(Stream& stream, std::int64_t rows, const Logits& logits, std::size_t& row,
                                  std::vector<ServedEvent>& events) {
    for (std::int64_t i = stream.done; i < stream.done + rows && stream.tells(); ++i) {
      if (!stream.tells(i)) continue;
      TRY(check_finite(stream, logits.lse[row]));
      events.push_back(stream.answer.tell(stream.ids[static_cast<std::size_t>(i + 1)], logits.row(row), logits.lse[row]));
      events.back().ticket = stream.ticket;
      ++row;
      stream.request.tell_prompt_from = i + 2;
    }
    return {};
  }
  static Result<void> check_finite(const Stream& stream, float lse) {
    if (std::isfinite(lse)) return {};
    return world_error("request {}: the logits behind {} tokens are not finite (log_sum_exp {}); the weights are damaged or diverged",
                       stream.ticket, stream.length(), lse);
  }

  // The token behind the stream's last id, and behind every guess that came true; `row` is the first of its rows of logits and becomes the
  // next stream's. Rows behind a wrong guess are as if they had never been: they are written again before anybody looks at them.
  [[nodiscard]] Result<void> take(Stream& stream, const Logits& logits, std::size_t& row, std::vector<ServedEvent>& events) {
    const std::size_t first = row;
    const std::vector<std::int32_t> guesses = std::exchange(stream.guesses, {});
    row += 1 + guesses.size();
    facts_.guessed += guesses.size();
    for (std::size_t i = 0; i <= guesses.size(); ++i) {
      stream.done = stream.length();
      TRY_ASSIGN(ServedEvent event, take(stream, logits.row(first + i), logits.lse[first + i]));
      events.push_back(std::move(event));
      if (i == guesses.size() || guesses[i] != events.back().id) break;
      ++facts_.guessed_right;
      if (events.back().finish) break;
    }
    return {};
  }
  [[nodiscard]] Result<ServedEvent> take(Stream& stream, std::span<const float> logits, float lse) {
    TRY(check_finite(stream, lse));
    ServedEvent event = stream.answer.take(logits, lse);
    event.ticket = stream.ticket;
    event.cached = stream.cached;
    event.queued_s = stream.queued_s;
    stream.ids.push_back(event.id);
    ++facts_.answer_tokens;
    return event;
  }

  // A stream whose positions from `from` on are new in the cache, computed from row `row` of the run on.
  struct Computed {
    Stream* stream;
    std::int64_t from;
    std::int32_t row;
  };

  // Has the MTP layer read what was computed, and guess behind the streams that are answered. It knows the ids in the same order as the
  // model, one further ahead, so that its own latents fill the same pages.
  [[nodiscard]] Result<void> guess(const std::vector<Computed>& computed) {
    Batch batch;
    std::vector<Stream*> guessing;
    for (const auto& [stream, from, row] : computed) {
      for (std::int64_t i = from; i < stream->done; ++i) {
        batch.rows.push_back(row_of(*stream, stream->ids[static_cast<std::size_t>(i + 1)], i, row + static_cast<std::int32_t>(i - from)));
      }
      if (stream->done == from || stream->missing() > 1 || stream->answer.left() < 2) continue;
      batch.wanted.push_back(static_cast<std::int32_t>(batch.rows.size()) - 1);
      guessing.push_back(stream);
    }
    for (std::int64_t ahead = 0; !batch.rows.empty(); ++ahead) {
      TRY_ASSIGN(const Logits logits, programs_->guess(batch, table()));
      Batch next;
      std::vector<Stream*> next_guessing;
      for (std::size_t i = 0; i < guessing.size(); ++i) {
        Stream& stream = *guessing[i];
        if (!std::isfinite(logits.lse[i])) continue;
        stream.guesses.push_back(stream.answer.guess(logits.row(i), ahead));
        // A guess is a row of the next run: of no more than the answer may have, and for the next guess on a page that is there.
        const std::int64_t position = stream.done + ahead;
        if (ahead + 1 >= options_.guesses || ahead + 2 >= stream.answer.left()) continue;
        if (position / page_size >= static_cast<std::int64_t>(stream.pages.size())) continue;
        next.wanted.push_back(static_cast<std::int32_t>(next.rows.size()));
        next.rows.push_back(row_of(stream, stream.guesses.back(), position, programs_->guessed_rows() + batch.wanted[i]));
        next_guessing.push_back(&stream);
      }
      batch = std::move(next);
      guessing = std::move(next_guessing);
    }
    return {};
  }

  // Pages with that many rows or more may be found by others from now on.
  void keep_pages(Stream& stream, std::int64_t rows_least) {
    for (; stream.kept * page_size + rows_least <= stream.done; ++stream.kept) {
      const std::int64_t begin = stream.kept * page_size, rows = std::min(page_size, stream.done - begin);
      std::int32_t& page = stream.pages[static_cast<std::size_t>(stream.kept)];
      const Pages::Kept kept =
          pages_.keep(stream.request.owner, stream.chain,
                      std::span(stream.ids).subspan(static_cast<std::size_t>(begin), static_cast<std::size_t>(rows)), page);
      page = kept.page;
      stream.chain = kept.end;
    }
  }

  const model::Model& model_;
  EngineOptions options_;
  std::optional<text::Tokenizer> tokenizer_;
  std::unique_ptr<EnginePrograms> programs_;
  Pages pages_;
  std::int64_t blocks_;
  std::vector<bool> slots_;             // taken
  std::deque<StreamPointer> waiting_;   // those put back first, then in the order of coming
  std::vector<StreamPointer> running_;  // the oldest first
  std::uint64_t next_age_ = 0;
  EngineFacts facts_;
};

}  // namespace

Result<std::unique_ptr<Engine>> Engine::create(device::Device& device, const model::Model& model, const Weights& weights,
                                               const EngineOptions& options, std::optional<text::Tokenizer> tokenizer) {
  EngineOptions chosen = options;
  if (chosen.context == 0) chosen.context = model.context();
  CHECK(chosen.streams > 0 && chosen.rows > 0 && chosen.context > 0 && chosen.context <= model.context(),
        "{} streams, {} rows, context {} of {}", chosen.streams, chosen.rows, chosen.context, model.context());
  if (chosen.guesses > 0) {
    if (!model.has_mtp()) return input_error("guesses: the model has no MTP layer to guess with");
    const auto missing = [&](const model::Parameter& p) { return p.mtp && !weights.hold(p.name); };
    if (std::ranges::any_of(model.parameters(), missing)) return input_error("guesses: the weights were loaded without the MTP layer");
  }
  model::Serving serving{.rows = chosen.rows + chosen.streams * (1 + chosen.guesses),
                         .streams = chosen.streams,
                         .blocks = pages_for(chosen.context),
                         .pages = 0,
                         .page = page_size,
                         .dtype = chosen.dtype,
                         .weights = chosen.weights};
  const std::int64_t page_bytes = EnginePrograms::page_bytes(model, serving, chosen.guesses > 0);
  serving.pages = chosen.streams * serving.blocks;
  if (chosen.cache_bytes > 0) {
    serving.pages = chosen.cache_bytes / page_bytes;
    if (serving.pages == 0)
      return input_error("a cache of {} bytes holds no page: one of {} positions takes {}", chosen.cache_bytes, page_size, page_bytes);
  } else if (const auto free = static_cast<std::int64_t>(machine().memory_available); free > 0) {
    // What the memory leaves, but for a part that programs and everything else still need; a context at least, or it is refused.
    serving.pages = std::min(serving.pages, std::max(serving.blocks, free / 4 * 3 / page_bytes));
  }
  TRY_ASSIGN(std::unique_ptr<EnginePrograms> programs, EnginePrograms::create(device, model, weights, serving, chosen.guesses > 0));
  if (chosen.prepare_all) TRY(programs->prepare_all(chosen.streams * (1 + chosen.guesses)));
  return std::unique_ptr<Engine>(
      std::make_unique<ContinuousEngine>(model, chosen, serving.pages, std::move(tokenizer), std::move(programs)));
}

Result<std::vector<Answer>> answer_all(Engine& engine, std::span<const ServedRequest> requests,
                                       const std::function<Result<void>(const ServedEvent&)>& on_event) {
  CHECK(engine.idle(), "other requests are being answered");
  for (std::size_t i = 0; i < requests.size(); ++i) TRY(engine.submit(i, requests[i]));
  std::vector<Answer> answers(requests.size());
  while (!engine.idle()) {
    TRY_ASSIGN(const std::vector<ServedEvent> events, engine.step());
    for (const ServedEvent& event : events) {
      if (on_event) TRY(on_event(event));
      if (event.prompt) continue;
      Answer& answer = answers[event.ticket];
      answer.ids.push_back(event.id);
      answer.logprobs.push_back(event.logprob);
      answer.text += event.text;
      if (event.finish) answer.finish = *event.finish;
    }
  }
  return answers;
}

}  // namespace godwit::infer
