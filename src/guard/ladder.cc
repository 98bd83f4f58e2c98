#include "guard/ladder.h"

#include <fmt/format.h>

#include <algorithm>

namespace godwit::guard {

namespace {

bool bad(const Attempt& attempt) {
  return attempt.outcome == Outcome::doubtful || attempt.outcome == Outcome::broken;
}

// What happened to one part, without the deaths that say nothing.
class History {
 public:
  History(std::span<const Attempt> attempts, std::span<const Device> devices) : attempts_(attempts), devices_(devices) {}

  [[nodiscard]] int count(const auto& fits) const {
    int found = 0;
    for (const Attempt& attempt : attempts_) found += attempt.outcome != Outcome::killed && fits(attempt) ? 1 : 0;
    return found;
  }
  [[nodiscard]] const Attempt* last() const {
    for (auto attempt = attempts_.rbegin(); attempt != attempts_.rend(); ++attempt) {
      if (attempt->outcome != Outcome::killed) return &*attempt;
    }
    return nullptr;
  }
  // The first clean attempt of a trusted device, or of any.
  [[nodiscard]] const Attempt* clean(bool trusted_only) const {
    for (const Attempt& attempt : attempts_) {
      if (attempt.outcome == Outcome::clean && (attempt.trusted || !trusted_only)) return &attempt;
    }
    return nullptr;
  }
  [[nodiscard]] std::size_t index(const Attempt& attempt) const { return static_cast<std::size_t>(&attempt - attempts_.data()); }
  [[nodiscard]] bool usable(int worker) const {
    return std::ranges::any_of(devices_, [&](const Device& d) { return d.worker == worker && d.usable && !d.trusted; });
  }
  // Workers that a try ended on.
  [[nodiscard]] std::vector<int> tried() const {
    std::vector<int> workers;
    for (const Attempt& attempt : attempts_) {
      if (attempt.outcome != Outcome::killed && std::ranges::find(workers, attempt.worker) == workers.end())
        workers.push_back(attempt.worker);
    }
    return workers;
  }
  [[nodiscard]] bool another() const {  // usable, untried
    const std::vector<int> there = tried();
    return std::ranges::any_of(
        devices_, [&](const Device& d) { return d.usable && !d.trusted && std::ranges::find(there, d.worker) == there.end(); });
  }
  [[nodiscard]] bool any_usable() const {
    return std::ranges::any_of(devices_, [](const Device& d) { return d.usable && !d.trusted; });
  }
  [[nodiscard]] std::span<const Attempt> attempts() const { return attempts_; }

 private:
  std::span<const Attempt> attempts_;
  std::span<const Device> devices_;
};

Decision elsewhere(const History& history, std::string why) {
  Decision next;
  next.why = std::move(why);
  if (history.another()) {
    next.rung = Rung::run_elsewhere;
    next.not_there = history.tried();
  } else {
    next.rung = Rung::run_trusted;
  }
  return next;
}

// The proposal that stands, and whom it convicts: workers whose wrong results came twice, or whose clean answers twice were not these bits,
// and workers that broke twice where no other untrusted one broke (what breaks on several devices is the software).
Decision accept(const History& history, const Attempt& standing) {
  Decision next;
  next.rung = Rung::accept;
  next.attempt = history.index(standing);
  std::vector<int> broken;
  for (const int worker : history.tried()) {
    const bool trusted = history.count([&](const Attempt& a) { return a.worker == worker && a.trusted; }) > 0;
    if (trusted || worker == standing.worker) continue;
    const int broke = history.count([&](const Attempt& a) { return a.worker == worker && a.outcome == Outcome::broken; });
    const int wrong = history.count([&](const Attempt& a) {
      return a.worker == worker && (a.outcome == Outcome::doubtful || (a.outcome == Outcome::clean && !(a.checksum == standing.checksum)));
    });
    if (history.count([&](const Attempt& a) { return a.worker == worker && (a.outcome == Outcome::broken || (bad(a) && a.judged)); }) > 0)
      broken.push_back(worker);
    if (broke >= 2 || wrong >= 2) next.quarantine.push_back(worker);  // one of each is no error that came again
  }
  if (broken.size() > 1) std::erase_if(next.quarantine, [&](int worker) { return std::ranges::find(broken, worker) != broken.end(); });
  return next;
}

}  // namespace

std::string_view rung_name(Rung rung) {
  switch (rung) {
    case Rung::accept:
      return "accept";
    case Rung::run_anywhere:
      return "retry";
    case Rung::run_here:
      return "replay here";
    case Rung::run_elsewhere:
      return "replay elsewhere";
    case Rung::run_trusted:
      return "replay on the trusted CPU";
    case Rung::poison:
      return "leave the batch out";
  }
  return "";
}

Decision decide(std::span<const Attempt> attempts, std::span<const Device> devices, Proof proof) {
  const History history(attempts, devices);
  const Attempt* last = history.last();
  Decision next;
  if (last == nullptr) {
    next.rung = history.any_usable() ? Rung::run_anywhere : Rung::run_trusted;
    return next;
  }

  if (const Attempt* believed = history.clean(true)) {
    // Whose clean answer was another one gets a second chance: an error that does not come again was a passing one.
    for (const Attempt& attempt : attempts) {
      const bool contradicted = attempt.outcome == Outcome::clean && !attempt.trusted && !(attempt.checksum == believed->checksum);
      if (!contradicted || !history.usable(attempt.worker)) continue;
      if (history.count([&](const Attempt& a) { return a.worker == attempt.worker; }) > 1) continue;
      next.rung = Rung::run_here;
      next.here = attempt.worker;
      next.why = fmt::format("worker {} answered other bits than the trusted CPU", attempt.worker);
      return next;
    }
    return accept(history, *believed);
  }
  const int trusted_bad = history.count([](const Attempt& a) { return a.trusted; });
  if (trusted_bad == 1) {
    next.rung = Rung::run_trusted;
    next.why = last->why;
    return next;
  }
  if (trusted_bad >= 2) {
    // It is not the devices. Equal bits that only a check of ours dislikes are believed; what breaks the trusted CPU, or is no number, is
    // the samples' own.
    const Attempt* first = nullptr;
    for (const Attempt& attempt : attempts) {
      if (!attempt.trusted || attempt.outcome != Outcome::doubtful || attempt.judged) continue;
      if (first != nullptr && first->checksum == attempt.checksum) {
        next = accept(history, attempt);
        next.quarantine.clear();
        next.why = fmt::format("the trusted CPU gives the same bits twice, so the check is at fault: {}", attempt.why);
        return next;
      }
      first = &attempt;
    }
    next.rung = Rung::poison;
    next.why = last->why;
    return next;
  }

  const Attempt* clean = history.clean(false);
  if (clean != nullptr) {
    for (const Attempt& attempt : attempts) {
      if (attempt.outcome == Outcome::clean && !(attempt.checksum == clean->checksum)) {
        next.rung = Rung::run_trusted;
        next.why = fmt::format("workers {} and {} answered different bits", clean->worker, attempt.worker);
        return next;
      }
    }
    if (proof == Proof::none) return accept(history, *clean);
    const bool agreed = history.count([&](const Attempt& a) { return a.outcome == Outcome::clean && a.worker != clean->worker; }) > 0;
    if (agreed) return accept(history, *clean);
    return elsewhere(history, "");
  }

  const int bads = history.count(bad);
  const bool once = history.count([&](const Attempt& a) { return a.worker == last->worker; }) == 1;
  if (bads < 3 && once && bads == 1 && history.usable(last->worker)) {
    next.rung = Rung::run_here;
    next.here = last->worker;
    next.why = last->why;
    return next;
  }
  if (bads >= 3) {
    next.rung = Rung::run_trusted;
    next.why = last->why;
    return next;
  }
  return elsewhere(history, last->why);
}

}  // namespace godwit::guard
