#include "guard/story_acts.h"

#include <algorithm>
#include <array>
#include <cerrno>

#include "program/op.h"

namespace godwit::guard {
namespace {

// The top bit of an f32's exponent: what is below 2 becomes huge, what is not becomes almost nothing.
constexpr int high_bit = 30;
const std::array second = {"seconds", "second"};

// "worker 1"
bool numbered(Sentence& s, Parts& parts) {
  const auto number = s.word("worker") ? s.count(0, "a worker's number") : std::nullopt;
  if (number) parts.fault.at.worker = static_cast<int>(std::min<std::uint64_t>(*number, 1 << 20));
  return number.has_value();
}

bool candidate(Sentence& s, Parts& parts) {
  const std::size_t before = s.position();
  parts.role = Role::worker;
  if (s.words({"a", "candidate"}) || (s.words({"the", "candidate", "of"}) && numbered(s, parts))) return parts.fault.at.candidate = true;
  s.go_back(before);
  return false;
}

bool worker(Sentence& s, Parts& parts) {
  const std::size_t before = s.position();
  parts.role = Role::worker;
  if (s.words({"a", "worker"})) return true;
  if (s.words({"every", "worker"})) return parts.fault.each_worker = true;
  if (candidate(s, parts) || numbered(s, parts)) return true;
  s.go_back(before);
  return false;
}

bool process(Sentence& s, Parts& parts) {
  if (s.words({"the", "keeper"})) {
    parts.role = Role::keeper;
    return true;
  }
  if (s.words({"the", "supervisor"})) {
    parts.role = Role::supervisor;
    return true;
  }
  if (s.words({"the", "writer"})) {
    parts.role = Role::supervisor;
    parts.only = Phase::writing;
    return true;
  }
  return worker(s, parts);
}

// "a bit", "a high bit", "bit 30", "5 bits"
bool bits(Sentence& s, Fault& fault) {
  if (s.words({"a", "bit"})) return true;
  if (s.words({"a", "high", "bit"})) {
    fault.bit = high_bit;
    return true;
  }
  const std::size_t before = s.position();
  if (s.word("bit")) {
    if (const auto which = s.number<int>(0, 31, "a bit, 0 to 31")) {
      fault.bit = *which;
      return true;
    }
  } else if (const auto count = s.number<int>(2, 1 << 20, "a number of bits"); count && s.word("bits")) {
    fault.bits = *count;
    return true;
  }
  s.go_back(before);
  return false;
}

// "3 matmul", "a rope", "every linear": how many (0: every) and of which op.
bool results(Sentence& s, Parts& parts, std::string_view any_op) {
  Fault& fault = parts.fault;
  if (s.one_of(std::array{"a", "an", "one"})) {
    fault.results = 1;
  } else if (s.word("every")) {
    fault.results = 0;
  } else if (const auto count = s.count(1, "a number of results")) {
    fault.results = static_cast<std::int64_t>(*count);
  } else {
    return false;
  }
  if (s.word(any_op)) return true;
  for (const program::Op* op : program::all_ops()) {
    if (!s.word(op->name)) continue;
    fault.op = op->name;
    return true;
  }
  return false;
}

// ---- Acts ----

struct SpoilForm {
  std::initializer_list<std::string_view> words;
  godwit_spoil_kind kind;
};
const SpoilForm spoil_forms[] = {
    {{"spoil", "a", "lane", "of"}, GODWIT_SPOIL_LANE},          {{"spoil", "a", "stripe", "of"}, GODWIT_SPOIL_STRIPE},
    {{"keep", "a", "stale", "tile", "in"}, GODWIT_SPOIL_STALE}, {{"swap", "two", "rows", "in"}, GODWIT_SPOIL_SWAP},
    {{"zero", "a", "tile", "in"}, GODWIT_SPOIL_ZERO},           {{"take", "a", "wrong", "expert", "in"}, GODWIT_SPOIL_EXPERT},
    {{"miss", "a", "tile", "in"}, GODWIT_SPOIL_MISSING},
};

bool spoil(Sentence& s, Parts& parts, godwit_spoil_kind kind) {
  if (!s.one_of(std::array{"accumulator", "accumulators"}) || !s.word("on") || !process(s, parts)) return false;
  Fault& fault = parts.fault;
  fault.act = Act::spoil;
  fault.spoil.kind = kind;
  fault.spoil.op_index = -1;
  fault.spoil.bit = fault.bit;
  fault.spoil.rate = 1;
  fault.spoil.count = fault.results;
  return true;
}

// A link ends at the supervisor, who loses, delays and spoils what has come.
bool link(Sentence& s, Parts& parts) {
  if (!worker(s, parts)) return false;
  parts.role = Role::supervisor;
  parts.only = Phase::sending;
  return true;
}

// What rots on the disk.
bool on_disk(Sentence& s, Parts& parts, const char* how) {
  if (s.words({"the", "newest", "checkpoint"})) {
    parts.fault.act = Act::rot_checkpoint;
  } else if (s.words({"the", "data"})) {
    parts.fault.act = Act::rot_data;
  } else if (s.words({"the", "tokens"})) {
    parts.fault.act = Act::rot_tokens;
  } else {
    return false;
  }
  parts.fault.how = how;
  parts.role = Role::supervisor;
  return true;
}

bool flip(Sentence& s, Parts& parts) {
  Fault& fault = parts.fault;
  if (!s.word("flip") || !bits(s, fault) || !s.word("in")) return false;
  const std::size_t before = s.position();
  if (s.words({"the", "state"})) {
    fault.act = Act::flip_state;
    parts.role = Role::keeper;
    parts.usual = Phase::joining;
    if (!s.word("of")) return true;
    const auto name = s.any_word("a tensor's name");
    if (name) fault.tensor = *name;
    return name.has_value();
  }
  if (on_disk(s, parts, "flip")) return true;
  if (s.words({"the", "copy", "of"})) {
    fault.act = Act::flip_copy;
    parts.usual = Phase::comparing;
    return candidate(s, parts);
  }
  if (s.words({"the", "gradient", "of"})) {
    fault.act = Act::flip_proposal;
    parts.usual = Phase::sending;
    return worker(s, parts);
  }
  if (s.words({"the", "answer", "of"})) {
    fault.act = Act::flip_frame;
    return link(s, parts);
  }
  s.go_back(before);
  if (!results(s, parts, "matmul")) return false;
  const bool many = fault.bits > 1;
  const std::size_t noun = s.position();
  if (spoil(s, parts, many ? GODWIT_SPOIL_BITS : GODWIT_SPOIL_BIT)) return true;
  s.go_back(noun);
  fault.act = Act::flip_tensor;
  return s.one_of(std::array{"result", "results"}) && s.word("on") && process(s, parts);
}

struct ProcessForm {
  std::initializer_list<std::string_view> words;
  Act act;
};
const ProcessForm process_forms[] = {
    {{"kill"}, Act::kill}, {{"crash"}, Act::crash},       {{"abort"}, Act::abandon}, {{"exhaust", "the", "memory", "of"}, Act::exhaust},
    {{"stop"}, Act::stop}, {{"livelock"}, Act::livelock}, {{"slow"}, Act::slow},
};

bool process_act(Sentence& s, Parts& parts) {
  Fault& fault = parts.fault;
  const std::size_t before = s.position();
  if (s.words({"kill", "everything"})) {
    fault.how = "everything";
    parts.role = Role::supervisor;
    return true;
  }
  for (const ProcessForm& form : process_forms) {
    if (!s.words(form.words)) continue;
    fault.act = form.act;
    if (!process(s, parts)) return false;
    if (form.act != Act::slow) return true;
    const auto factor = s.word("by") ? s.number<double>(1, 1e6, "a factor") : std::nullopt;
    if (factor) fault.factor = *factor;
    return factor.has_value();
  }
  if (s.word("let") && process(s, parts)) {
    if (s.word("leave")) {
      fault.act = Act::leave;
      return true;
    }
    if (s.words({"sleep", "for"})) {
      fault.act = Act::sleep;
      const auto seconds = s.seconds();
      if (seconds) fault.seconds = *seconds;
      return seconds && s.one_of(second);
    }
    return false;
  }
  s.go_back(before);
  return false;
}

struct WorkerForm {
  std::initializer_list<std::string_view> words;
  Act act;
};
const WorkerForm worker_forms[] = {
    {{"swap", "two", "chunks", "in", "the", "gradient", "of"}, Act::swap_proposal},
    {{"cut", "the", "gradient", "of"}, Act::cut_proposal},
    {{"lose", "the", "answer", "of"}, Act::lose_frame},
    {{"repeat", "the", "answer", "of"}, Act::repeat_frame},
    {{"delay", "the", "answer", "of"}, Act::delay_frame},
    {{"reset", "the", "link", "of"}, Act::reset_link},
};

bool worker_act(Sentence& s, Parts& parts) {
  for (const WorkerForm& form : worker_forms) {
    if (!s.words(form.words)) continue;
    parts.fault.act = form.act;
    parts.usual = Phase::sending;
    if (form.act < Act::lose_frame) return worker(s, parts);
    if (!link(s, parts)) return false;
    if (form.act != Act::delay_frame) return true;
    const auto seconds = s.word("by") ? s.seconds() : std::nullopt;
    if (seconds) parts.fault.seconds = *seconds;
    return seconds && s.one_of(second);
  }
  return false;
}

bool move_act(Sentence& s, Parts& parts) {
  if (!s.word("move")) return false;
  Fault& fault = parts.fault;
  fault.act = Act::move;
  parts.role = Role::supervisor;
  parts.only = Phase::committed;
  if (!s.words({"every", "worker"}) && !numbered(s, parts)) return false;
  const auto place = s.word("to") ? s.any_word("a backend, or BACKEND:DEVICE") : std::nullopt;
  if (place) fault.how = *place;
  return place.has_value();
}

struct DiskForm {
  std::initializer_list<std::string_view> words;
  const char* how;
  int error_number;
};
const DiskForm disk_forms[] = {
    {{"disk", "full"}, "full", ENOSPC},       {{"disk", "error"}, "error", EIO},         {{"read-only", "disk"}, "read-only", EROFS},
    {{"disk", "sync", "error"}, "sync", EIO}, {{"short", "disk", "writes"}, "short", 0}, {{"disk", "at"}, "slow", 0},
};

bool disk_act(Sentence& s, Parts& parts) {
  Fault& fault = parts.fault;
  for (const auto* how : {"truncate", "remove"}) {
    if (s.word(how)) return on_disk(s, parts, how);
  }
  for (const DiskForm& form : disk_forms) {
    if (!s.words(form.words)) continue;
    fault.act = Act::disk;
    fault.how = form.how;
    fault.error_number = form.error_number;
    parts.role = Role::supervisor;
    if (fault.how != "slow") return true;
    const auto rate = s.number<double>(1e-3, 1e6, "a number of MB/s");
    if (rate) fault.factor = *rate;
    return rate && s.word("MB/s");
  }
  return false;
}

}  // namespace

bool act(Sentence& s, Parts& parts) {
  Fault& fault = parts.fault;
  if (s.words({"terminate", "the", "run"})) {
    fault.act = Act::terminate;
    return true;
  }
  if (s.words({"poison", "the", "batch"})) {
    fault.act = Act::poison;
    fault.trusted_too = true;
    parts.role = Role::worker;
    return true;
  }
  if (s.word("drop")) {
    fault.act = Act::drop_tensor;
    return results(s, parts, "matmul") && s.one_of(std::array{"result", "results"}) && s.word("on") && process(s, parts);
  }
  for (const SpoilForm& form : spoil_forms) {
    if (s.words(form.words)) return results(s, parts, "matmul") && spoil(s, parts, form.kind);
  }
  // Each begins with words of its own, or takes none.
  const std::size_t before = s.position();
  for (const auto part : {flip, worker_act, disk_act, move_act, process_act}) {
    if (part(s, parts)) return true;
    if (s.position() != before) return false;
  }
  return false;
}

bool modifier(Sentence& s, Parts& parts) {
  Fault& fault = parts.fault;
  const std::size_t before = s.position();
  const bool spoils = fault.act == Act::spoil, disk = fault.act == Act::disk;
  if ((fault.act == Act::stop || disk) && s.word("for")) {
    if (const auto calls = disk ? s.count(1, "a number of calls") : std::nullopt; calls && s.one_of(std::array{"calls", "call"})) {
      fault.calls = *calls;
      return true;
    }
    s.go_back(before + 1);
    if (const auto seconds = s.seconds(); seconds && s.one_of(second)) {
      fault.seconds = *seconds;
      return true;
    }
    return false;
  }
  if (fault.act == Act::livelock && s.word("with")) {
    const auto threads = s.number<int>(1, 1024, "a number of threads");
    if (threads) fault.threads = *threads;
    return threads && s.one_of(std::array{"threads", "thread"});
  }
  if (spoils && s.word("of")) {
    const auto rows = s.count(1);
    if (rows) fault.spoil.rows = static_cast<std::int64_t>(*rows);
    return rows && s.one_of(std::array{"rows", "row"});
  }
  if (spoils && s.word("after")) {
    const auto seconds = s.seconds();
    if (seconds) fault.spoil.after_seconds = *seconds;
    return seconds && s.one_of(second);
  }
  if (spoils && s.words({"with", "chance"})) {
    const auto chance = s.number<double>(0, 1, "a probability");
    if (chance) fault.spoil.rate = *chance;
    return chance && s.word("each");
  }
  if ((parts.role == Role::worker || parts.only == Phase::sending) && s.words({"on", "the", "trusted", "CPU", "too"})) {
    fault.trusted_too = true;
    return true;
  }
  return false;
}

}  // namespace godwit::guard
