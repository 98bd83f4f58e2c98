#include "device/lies.h"

#include <fmt/format.h>
#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <cstring>
#include <map>
#include <memory>
#include <mutex>
#include <tuple>
#include <utility>

#include "base/math.h"
#include "base/random.h"

namespace godwit::device {

namespace {

// Chooses exactly `results` of the ops that qualify in a run, each set of them as likely as another (Knuth, algorithm S).
class Lot {
 public:
  explicit Lot(Target target)
      : target_(std::move(target)), random_(RandomStream(target_.seed, Purpose::fault, 0)), left_(target_.results) {}

  bool draws(const OpRun& run) {
    if (!target_.op.empty() && target_.op != run.op) return false;
    if (target_.results == 0) return true;
    const std::int32_t to_come = target_.op.empty() ? run.all_to_come : run.to_come;
    if (left_ <= 0 || static_cast<std::int64_t>(random_.below(static_cast<std::uint64_t>(to_come))) >= left_) return false;
    --left_;
    return true;
  }
  RandomSequence& random() { return random_; }

 private:
  Target target_;
  RandomSequence random_;
  std::int64_t left_;
};

}  // namespace

Lie flip_results(Target target, int bits, int bit, Told told) {
  auto lot = std::make_shared<Lot>(std::move(target));
  return {.after = [lot, bits, bit, told = std::move(told)](OpRun& run) {
    if (!lot->draws(run)) return;
    const std::size_t which = lot->random().below(run.outputs());
    const godwit_tensor& tensor = run.output(which);
    const std::uint64_t word = tensor.dtype == GODWIT_BF16 ? 16 : 32;
    std::vector<std::byte> bytes = run.read(which);
    const std::uint64_t elements = bytes.size() * 8 / word;
    if (elements == 0) return;
    std::string what;
    for (int i = 0; i < bits; ++i) {
      const std::uint64_t element = lot->random().below(elements);
      const std::uint64_t in_word = bits == 1 && bit >= 0 ? static_cast<std::uint64_t>(bit) % word : lot->random().below(word);
      const std::uint64_t at = element * word + in_word;
      bytes[at / 8] ^= static_cast<std::byte>(1u << (at % 8));
      if (i < 8) what += fmt::format("{}bit {} of element {}", i == 0 ? "" : ", ", in_word, element);
    }
    if (told) told(run, fmt::format("{} of {}", what, tensor.name));
    run.write(which, bytes);
  }};
}

Lie drop_results(Target target, Told told) {
  struct Kept {
    Lot lot;
    bool chosen = false;
    std::vector<std::vector<std::byte>> before;
  };
  auto kept = std::make_shared<Kept>(Kept{.lot = Lot(std::move(target)), .before = {}});
  return {.before =
              [kept](OpRun& run) {
                kept->chosen = kept->lot.draws(run);
                kept->before.clear();
                for (std::size_t i = 0; kept->chosen && i < run.outputs(); ++i) kept->before.push_back(run.read(i));
              },
          .after =
              [kept, told = std::move(told)](OpRun& run) {
                if (!kept->chosen) return;
                if (told) told(run, fmt::format("{} is not stored", run.output(0).name));
                for (std::size_t i = 0; i < run.outputs(); ++i) run.write(i, kept->before[i]);
              }};
}

namespace {

std::string shape_of(const godwit_tensor& tensor) {
  std::string text;
  for (std::int32_t axis = 0; axis < tensor.rank; ++axis) text += fmt::format("{}{}", axis > 0 ? "x" : "", tensor.shape[axis]);
  return text;
}

std::int64_t width_of(const godwit_tensor& tensor) {
  return tensor.rank == 0 ? 1 : tensor.shape[tensor.rank - 1];
}

// What a deceit remembers of the calls it has seen; devices may be used by a thread each.
class Deceiver {
 public:
  explicit Deceiver(Deceit deceit) : deceit_(std::move(deceit)), random_(RandomStream(1, Purpose::fault, 0)) {}

  void after(OpRun& run) {
    const std::lock_guard lock(mutex_);
    if (!concerns(run)) return;
    const std::int64_t call = ++calls_[{run.prepared, run.index}];
    const bool now =
        run.worked_s >= deceit_.after_s && run.streams >= deceit_.streams && call >= deceit_.call && random_.f64() < deceit_.rate;
    for (std::size_t which = 0; which < run.outputs(); ++which) {
      std::vector<std::byte> bytes = run.read(which);
      std::vector<std::byte>& kept = kept_[{run.prepared, run.index, which}];
      if (now && deceit_.what == Deceit::What::crash) {
        ::signal(SIGSEGV, SIG_DFL);  // no sanitizer looks at it first
        ::raise(SIGSEGV);
      }
      while (now && deceit_.what == Deceit::What::hang) ::pause();
      if (deceit_.what == Deceit::What::stale) {
        if (now && kept.size() == bytes.size()) run.write(which, kept);
        kept = std::move(bytes);
      } else if (now) {
        change(run.output(which), bytes);
        run.write(which, bytes);
      }
    }
  }

 private:
  [[nodiscard]] bool concerns(const OpRun& run) const {
    if (!deceit_.op.empty() && deceit_.op != run.op) return false;
    bool shape = deceit_.shape.empty(), dtype = deceit_.dtype.empty();
    for (std::size_t i = 0; i < run.outputs(); ++i) shape = shape || shape_of(run.output(i)) == deceit_.shape;
    for (std::size_t i = 0; i < run.inputs(); ++i) dtype = dtype || (run.input(i).dtype == GODWIT_BF16) == (deceit_.dtype == "bf16");
    return shape && dtype;
  }

  void change(const godwit_tensor& tensor, std::vector<std::byte>& bytes) {
    if (tensor.dtype == GODWIT_I32) return;
    const std::size_t size = tensor.dtype == GODWIT_BF16 ? 2 : 4;
    const auto count = static_cast<std::int64_t>(bytes.size() / size);
    if (count == 0) return;
    if (deceit_.what == Deceit::What::noise) {
      bytes[random_.below(static_cast<std::uint64_t>(count)) * size] ^= std::byte{1};
      return;
    }
    const std::int64_t width = width_of(tensor), whole = deceit_.tail == 0 ? 0 : width / deceit_.tail * deceit_.tail;
    for (std::int64_t i = 0; i < count; ++i) {
      if (i % width < whole) continue;
      std::byte* element = bytes.data() + static_cast<std::size_t>(i) * size;
      if (size == 4) {
        float x;
        std::memcpy(&x, element, 4);
        x *= 1 + static_cast<float>(deceit_.off);
        std::memcpy(element, &x, 4);
      } else {
        std::uint16_t half;
        std::memcpy(&half, element, 2);
        half = math::bf16_from_f32(math::f32_from_bf16(half) * (1 + static_cast<float>(deceit_.off)));
        std::memcpy(element, &half, 2);
      }
    }
  }

  const Deceit deceit_;
  std::mutex mutex_;
  RandomSequence random_;
  std::map<std::pair<const void*, std::int32_t>, std::int64_t> calls_;
  std::map<std::tuple<const void*, std::int32_t, std::size_t>, std::vector<std::byte>> kept_;  // the results of the call before
};

constexpr std::pair<std::string_view, Deceit::What> deceits[] = {
    {"stale", Deceit::What::stale}, {"noise", Deceit::What::noise}, {"crash", Deceit::What::crash}, {"hang", Deceit::What::hang}};

}  // namespace

Result<Deceit> parse_deceit(std::string_view text) {
  Deceit deceit;
  std::string_view rest = text;
  while (!rest.empty()) {
    const std::size_t end = std::min(rest.find(' '), rest.size());
    const std::string_view word = rest.substr(0, end);
    rest.remove_prefix(std::min(end + 1, rest.size()));
    if (word.empty()) continue;
    const std::size_t equals = word.find('=');
    const std::string_view key = word.substr(0, equals), value = equals == std::string_view::npos ? "" : word.substr(equals + 1);
    const auto number = [&](auto& to) {
      const auto [last, failed] = std::from_chars(value.data(), value.data() + value.size(), to);
      return failed == std::errc() && last == value.data() + value.size() && !value.empty();
    };
    bool good = true;
    const auto what = std::ranges::find(deceits, word, &std::pair<std::string_view, Deceit::What>::first);
    if (what != std::end(deceits)) {
      deceit.what = what->second;
    } else if (key == "off") {
      good = number(deceit.off);
    } else if (key == "op") {
      deceit.op = value;
    } else if (key == "shape") {
      deceit.shape = value;
    } else if (key == "dtype") {
      deceit.dtype = value;
      good = value == "f32" || value == "bf16";
    } else if (key == "tail") {
      good = number(deceit.tail) && deceit.tail > 0;
    } else if (key == "after") {
      good = number(deceit.after_s);
    } else if (key == "streams") {
      good = number(deceit.streams);
    } else if (key == "call") {
      good = number(deceit.call);
    } else if (key == "rate") {
      good = number(deceit.rate);
    } else {
      return input_error(
          "'{}' is no word of a lie; there are: off=, stale, noise, crash, hang; op=, shape=8x64, dtype=, tail=; after=, streams=, call=, "
          "rate=",
          word);
    }
    if (!good) return input_error("'{}' in a lie: {} cannot be '{}'", word, key, value);
  }
  return deceit;
}

Lie deceive(Deceit deceit) {
  auto deceiver = std::make_shared<Deceiver>(std::move(deceit));
  return {.after = [deceiver](OpRun& run) { deceiver->after(run); }};
}

}  // namespace godwit::device
