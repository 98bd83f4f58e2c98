#include "device/liar.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <deque>
#include <map>
#include <optional>
#include <utility>

#include "base/check.h"
#include "base/random.h"

namespace godwit::device {

namespace {

std::int64_t bytes_of(const godwit_tensor& tensor) {
  std::int64_t count = 1;
  for (std::int32_t axis = 0; axis < tensor.rank; ++axis) count *= tensor.shape[axis];
  return count * (tensor.dtype == GODWIT_BF16 ? 2 : 4);
}

// A program with all that it points to.
struct OwnProgram {
  struct OwnOp {
    std::string name;
    std::vector<std::int32_t> inputs, outputs;
    std::vector<std::string> attribute_names;
    std::vector<godwit_attribute> attributes;
  };
  std::string name, profile;
  std::vector<std::string> tensor_names;
  std::vector<godwit_tensor> tensors;
  std::vector<OwnOp> ops;
  std::int32_t refresh_count;
  std::int64_t arena_bytes, persistent_bytes;

  explicit OwnProgram(const godwit_program& from)
      : name(from.name),
        profile(from.profile),
        tensors(from.tensors, from.tensors + from.tensor_count),
        refresh_count(from.refresh_count),
        arena_bytes(from.arena_bytes),
        persistent_bytes(from.persistent_bytes) {
    for (const godwit_tensor& tensor : tensors) tensor_names.emplace_back(tensor.name);
    for (std::size_t i = 0; i < tensors.size(); ++i) tensors[i].name = tensor_names[i].c_str();
    for (std::int32_t i = 0; i < from.op_count; ++i) {
      const godwit_op& op = from.ops[i];
      OwnOp& own = ops.emplace_back();
      own.name = op.name;
      own.inputs.assign(op.inputs, op.inputs + op.input_count);
      own.outputs.assign(op.outputs, op.outputs + op.output_count);
      own.attributes.assign(op.attributes, op.attributes + op.attribute_count);
      for (const godwit_attribute& attribute : own.attributes) own.attribute_names.emplace_back(attribute.name);
      for (std::size_t a = 0; a < own.attributes.size(); ++a) own.attributes[a].name = own.attribute_names[a].c_str();
    }
  }

  [[nodiscard]] godwit_op op(std::int32_t index) const {
    const OwnOp& own = ops[static_cast<std::size_t>(index)];
    return {own.name.c_str(),
            own.inputs.data(),
            static_cast<std::int32_t>(own.inputs.size()),
            own.outputs.data(),
            static_cast<std::int32_t>(own.outputs.size()),
            own.attributes.data(),
            static_cast<std::int32_t>(own.attributes.size())};
  }

  // The ops of the refresh part that one op depends on, in their order, and the op itself behind them.
  [[nodiscard]] std::vector<std::int32_t> alone(std::int32_t index) const {
    std::vector<bool> wanted(tensors.size(), false);
    for (const std::int32_t input : ops[static_cast<std::size_t>(index)].inputs) wanted[static_cast<std::size_t>(input)] = true;
    std::vector<std::int32_t> list = {index};
    for (std::int32_t i = refresh_count - 1; i >= 0; --i) {
      const OwnOp& op = ops[static_cast<std::size_t>(i)];
      if (std::ranges::none_of(op.outputs, [&](std::int32_t output) { return wanted[static_cast<std::size_t>(output)]; })) continue;
      for (const std::int32_t input : op.inputs) wanted[static_cast<std::size_t>(input)] = true;
      list.push_back(i);
    }
    std::ranges::reverse(list);
    return list;
  }
};

// A program of one op of the main part, and what it needs of the refresh part.
struct Single {
  std::vector<std::int32_t> numbers;  // of its ops, in the whole program
  godwit_prepared* prepared = nullptr;
};

struct Whole {
  godwit_device* device = nullptr;
  OwnProgram program;
  std::vector<Single> singles;  // of the ops of the main part; empty before the first run op by op
  bool refreshed = false;       // the singles, since the state changed
};

struct Spoil {
  godwit_spoil what{};
  std::string op;
  void (*told)(void*, const godwit_spoilt*) = nullptr;
  void* context = nullptr;
  std::int64_t times = 0;
};

struct State {
  explicit State(const godwit_backend& backend) : behind(backend) {}

  const godwit_backend& behind;
  godwit_backend table{};
  std::map<godwit_prepared*, std::unique_ptr<Whole>> programs;
  std::map<godwit_queue*, godwit_device*> queues;
  std::map<godwit_device*, Spoil> spoils;
  std::optional<Lie> lie;
  // While a single runs: the numbers of its ops in the whole program. Nobody is told of ops of the refresh part that run again.
  const std::vector<std::int32_t>* numbers = nullptr;
  bool silent = false;
  void (*progress)(void*, std::int32_t) = nullptr;
  void* progress_context = nullptr;

  [[nodiscard]] std::int32_t number(std::int32_t op) const {
    const bool known = numbers != nullptr && op >= 0 && static_cast<std::size_t>(op) < numbers->size();
    return known ? (*numbers)[static_cast<std::size_t>(op)] : op;
  }
};

State* current = nullptr;

// ---- Work, and waiting for it ----

godwit_status wait_for(godwit_queue* queue, godwit_error* error) {
  godwit_event* event = nullptr;
  godwit_status status = current->behind.event_record(queue, &event, error);
  if (status != GODWIT_OK) return status;
  status = current->behind.event_wait(event, -1, error);
  current->behind.event_destroy(event);
  return status;
}

// Where a run's tensors lie.
struct Places {
  godwit_queue* queue;
  godwit_buffer* arena;
  godwit_buffer* persistent;
  const godwit_binding* bindings;

  [[nodiscard]] godwit_binding of(const OwnProgram& program, std::int32_t tensor) const {
    const godwit_tensor& t = program.tensors[static_cast<std::size_t>(tensor)];
    if (t.role == GODWIT_TEMPORARY) return {arena, t.offset};
    if (t.role == GODWIT_DERIVED) return {persistent, t.offset};
    return bindings[tensor];
  }
};

class Running : public OpRun {
 public:
  Running(const OwnProgram& whole, const Places& places, std::int32_t number) : whole_(whole), places_(places) {
    index = number;
    program = whole.name;
    op = own().name;
  }
  [[nodiscard]] std::size_t outputs() const override { return own().outputs.size(); }
  [[nodiscard]] const godwit_tensor& output(std::size_t which) const override {
    return whole_.tensors[static_cast<std::size_t>(own().outputs.at(which))];
  }
  [[nodiscard]] std::vector<std::byte> read(std::size_t which) override {
    std::vector<std::byte> bytes(static_cast<std::size_t>(bytes_of(output(which))));
    const godwit_binding at = places_.of(whole_, own().outputs[which]);
    transfer(bytes.empty() ? GODWIT_OK
                           : current->behind.read(places_.queue, at.buffer, at.offset, bytes.data(), std::int64_t(bytes.size()), &error));
    return bytes;
  }
  void write(std::size_t which, std::span<const std::byte> bytes) override {
    CHECK(std::int64_t(bytes.size()) == bytes_of(output(which)), "{} has {} bytes, not {}", output(which).name, bytes_of(output(which)),
          bytes.size());
    const godwit_binding at = places_.of(whole_, own().outputs[which]);
    transfer(bytes.empty() ? GODWIT_OK
                           : current->behind.write(places_.queue, at.buffer, at.offset, bytes.data(), std::int64_t(bytes.size()), &error));
  }

  godwit_status status = GODWIT_OK;  // of the first transfer that failed
  godwit_error error{};

 private:
  [[nodiscard]] const OwnProgram::OwnOp& own() const { return whole_.ops[static_cast<std::size_t>(index)]; }
  void transfer(godwit_status given) {
    if (given == GODWIT_OK) given = wait_for(places_.queue, &error);
    if (status == GODWIT_OK) status = given;
  }
  const OwnProgram& whole_;
  const Places& places_;
};

godwit_status make_singles(Whole& whole, godwit_error* error) {
  const OwnProgram& program = whole.program;
  // What the main part writes is no longer state to a program that does not see who writes it.
  std::vector<godwit_tensor> tensors = program.tensors;
  for (std::size_t i = static_cast<std::size_t>(program.refresh_count); i < program.ops.size(); ++i) {
    for (const std::int32_t output : program.ops[i].outputs) {
      godwit_tensor& tensor = tensors[static_cast<std::size_t>(output)];
      if (tensor.role == GODWIT_STATE) tensor.role = GODWIT_INPUT;
    }
  }
  for (std::int32_t i = program.refresh_count; i < static_cast<std::int32_t>(program.ops.size()); ++i) {
    Single single;
    single.numbers = program.alone(i);
    std::vector<godwit_op> ops;
    for (const std::int32_t number : single.numbers) ops.push_back(program.op(number));
    godwit_program c{};
    c.struct_size = sizeof c;
    c.name = program.name.c_str();
    c.profile = program.profile.c_str();
    c.tensors = tensors.data();
    c.tensor_count = static_cast<std::int32_t>(tensors.size());
    c.ops = ops.data();
    c.op_count = static_cast<std::int32_t>(ops.size());
    c.refresh_count = c.op_count - 1;
    c.arena_bytes = program.arena_bytes;
    c.persistent_bytes = program.persistent_bytes;
    if (const godwit_status status = current->behind.prepare(whole.device, &c, &single.prepared, error); status != GODWIT_OK) return status;
    whole.singles.push_back(std::move(single));
  }
  return GODWIT_OK;
}

// A spoil of one op by its number: of the whole program's, which is another one in a single.
godwit_status aim_spoil(godwit_device* device, const Single& single, godwit_error* error);

godwit_status run_by_op(Whole& whole, const Places& at, godwit_error* error) {
  if (whole.singles.empty()) {
    if (const godwit_status status = make_singles(whole, error); status != GODWIT_OK) return status;
  }
  const auto part_of = [&](Single& single, godwit_part part) {
    current->numbers = &single.numbers;
    current->silent = part == GODWIT_PART_REFRESH;
    godwit_status status = current->behind.run(at.queue, single.prepared, part, at.arena, at.persistent, at.bindings, error);
    if (status == GODWIT_OK) status = wait_for(at.queue, error);
    current->numbers = nullptr;
    current->silent = false;
    return status;
  };
  // All first: a refresh in between would make whole again what a lie has spoilt.
  for (Single& single : whole.singles) {
    if (whole.refreshed) break;
    if (const godwit_status status = part_of(single, GODWIT_PART_REFRESH); status != GODWIT_OK) return status;
  }
  whole.refreshed = true;
  std::map<std::string_view, std::int32_t> to_come;
  for (const Single& single : whole.singles) ++to_come[whole.program.ops[static_cast<std::size_t>(single.numbers.back())].name];
  auto all_to_come = static_cast<std::int32_t>(whole.singles.size());
  const Lie lie = *current->lie;  // a lie may disarm itself
  for (Single& single : whole.singles) {
    Running running(whole.program, at, single.numbers.back());
    running.to_come = to_come[running.op]--;
    running.all_to_come = all_to_come--;
    if (lie.before) lie.before(running);
    godwit_status status = aim_spoil(whole.device, single, error);
    if (status == GODWIT_OK) status = part_of(single, GODWIT_PART_MAIN);
    if (status != GODWIT_OK) return status;
    if (lie.after) lie.after(running);
    if (running.status != GODWIT_OK) {
      *error = running.error;
      return running.status;
    }
  }
  return aim_spoil(whole.device, {}, error);
}

// ---- The table ----

godwit_status queue_create(godwit_device* device, godwit_queue** queue, godwit_error* error) {
  const godwit_status status = current->behind.queue_create(device, queue, error);
  if (status == GODWIT_OK) current->queues[*queue] = device;
  return status;
}

void queue_destroy(godwit_queue* queue) {
  current->queues.erase(queue);
  current->behind.queue_destroy(queue);
}

void close_device(godwit_device* device) {
  current->spoils.erase(device);
  current->behind.close(device);
}

godwit_status prepare(godwit_device* device, const godwit_program* program, godwit_prepared** prepared, godwit_error* error) {
  const godwit_status status = current->behind.prepare(device, program, prepared, error);
  if (status == GODWIT_OK) {
    current->programs[*prepared] = std::make_unique<Whole>(Whole{.device = device, .program = OwnProgram(*program), .singles = {}});
  }
  return status;
}

void prepared_destroy(godwit_prepared* prepared) {
  const auto found = current->programs.find(prepared);
  for (const Single& single : found->second->singles) current->behind.prepared_destroy(single.prepared);
  current->programs.erase(found);
  current->behind.prepared_destroy(prepared);
}

godwit_status run(godwit_queue* queue, godwit_prepared* prepared, godwit_part part, godwit_buffer* arena, godwit_buffer* persistent,
                  const godwit_binding* bindings, godwit_error* error) {
  Whole& whole = *current->programs.at(prepared);
  if (part == GODWIT_PART_REFRESH) whole.refreshed = false;
  if (part == GODWIT_PART_REFRESH || !current->lie) {
    return current->behind.run(queue, prepared, part, arena, persistent, bindings, error);
  }
  return run_by_op(whole, {queue, arena, persistent, bindings}, error);
}

// What was found in a single, as of the whole program.
godwit_status take_findings(godwit_device* device, godwit_finding* list, std::int32_t capacity, std::int64_t* count, godwit_error* error) {
  const godwit_status status = current->behind.findings(device, list, capacity, count, error);
  if (status != GODWIT_OK) return status;
  for (std::int64_t i = 0; i < std::min<std::int64_t>(*count, capacity); ++i) {
    for (const auto& [prepared, whole] : current->programs) {
      const auto single = std::ranges::find(whole->singles, list[i].prepared, &Single::prepared);
      if (single == whole->singles.end()) continue;
      list[i].prepared = prepared;
      if (list[i].op >= 0) list[i].op = single->numbers.at(static_cast<std::size_t>(list[i].op));
      break;
    }
  }
  return status;
}

void watch(godwit_device* device, void (*progress)(void*, std::int32_t), void* context) {
  current->progress = progress;
  current->progress_context = context;
  const auto numbered = [](void*, std::int32_t op) {
    if (!current->silent) current->progress(current->progress_context, current->number(op));
  };
  current->behind.watch(device, progress == nullptr ? nullptr : +numbered, nullptr);
}

void tell_spoilt(void* device, const godwit_spoilt* spoilt) {
  Spoil& spoil = current->spoils.at(static_cast<godwit_device*>(device));
  ++spoil.times;
  godwit_spoilt numbered = *spoilt;
  numbered.op = current->number(spoilt->op);
  if (spoil.told != nullptr) spoil.told(spoil.context, &numbered);
}

godwit_status spoil_results(godwit_device* device, const godwit_spoil* what, void (*told)(void*, const godwit_spoilt*), void* context,
                            godwit_error* error) {
  if (what == nullptr) {
    current->spoils.erase(device);
    return current->behind.spoil(device, nullptr, nullptr, nullptr, error);
  }
  Spoil& spoil = current->spoils[device];
  spoil = {.what = *what, .op = what->op == nullptr ? "" : what->op, .told = told, .context = context};
  spoil.what.op = what->op == nullptr ? nullptr : spoil.op.c_str();
  return current->behind.spoil(device, &spoil.what, tell_spoilt, device, error);
}

godwit_status aim_spoil(godwit_device* device, const Single& single, godwit_error* error) {
  const auto found = current->spoils.find(device);
  if (found == current->spoils.end() || found->second.what.op_index < 0) return GODWIT_OK;
  const Spoil& spoil = found->second;
  godwit_spoil aimed = spoil.what;
  if (aimed.count > 0) aimed.count -= spoil.times;
  if (!single.numbers.empty()) {
    const bool meant = single.numbers.back() == spoil.what.op_index;
    aimed.op_index = static_cast<std::int32_t>(single.numbers.size()) - 1;
    if (!meant) return current->behind.spoil(device, nullptr, nullptr, nullptr, error);
  }
  if (spoil.what.count > 0 && aimed.count <= 0) return current->behind.spoil(device, nullptr, nullptr, nullptr, error);
  return current->behind.spoil(device, &aimed, tell_spoilt, device, error);
}

}  // namespace

Liar::Liar(const godwit_backend& behind) {
  CHECK(current == nullptr, "only one backend can lie at a time");
  current = new State(behind);
  godwit_backend& table = current->table;
  // What the backend behind does not have, nobody has.
  std::memcpy(&table, &behind, std::min<std::size_t>(behind.struct_size, sizeof table));
  table.struct_size = sizeof table;
  table.close = close_device;
  table.queue_create = queue_create;
  table.queue_destroy = queue_destroy;
  table.prepare = prepare;
  table.prepared_destroy = prepared_destroy;
  table.run = run;
  if (table.findings != nullptr) table.findings = take_findings;
  if (table.watch != nullptr) table.watch = watch;
  if (table.spoil != nullptr) table.spoil = spoil_results;
}

Liar::~Liar() {
  CHECK(current->programs.empty() && current->queues.empty(), "a device outlives the backend it was opened through");
  delete std::exchange(current, nullptr);
}

const godwit_backend& Liar::table() const {
  return current->table;
}

void Liar::arm(Lie lie) {
  current->lie = std::move(lie);
}

void Liar::disarm() {
  current->lie.reset();
}

// ---- Lies ----

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

}  // namespace godwit::device
