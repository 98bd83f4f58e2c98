#include "device/liar.h"

#include <fmt/format.h>

#include <algorithm>
#include <atomic>
#include <cstring>
#include <map>
#include <mutex>
#include <optional>
#include <utility>

#include "base/check.h"
#include "base/clock.h"

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

// A device belongs to one thread at a time; its pool may tell of spoilt results from others.
struct OfDevice {
  // While a single runs: the numbers of its ops in the whole program. Nobody is told of ops of the refresh part that run again.
  const std::vector<std::int32_t>* numbers = nullptr;
  bool silent = false;
  void (*progress)(void*, std::int32_t) = nullptr;
  void* progress_context = nullptr;
  std::optional<Spoil> spoil;

  [[nodiscard]] std::int32_t number(std::int32_t op) const {
    const bool known = numbers != nullptr && op >= 0 && static_cast<std::size_t>(op) < numbers->size();
    return known ? (*numbers)[static_cast<std::size_t>(op)] : op;
  }
};

struct State {
  explicit State(const godwit_backend& backend) : behind(backend) {}

  const godwit_backend& behind;
  godwit_backend table{};
  std::mutex mutex;  // of the maps and the lie; what the maps hold stays where it is
  std::map<godwit_prepared*, std::unique_ptr<Whole>> programs;
  std::map<godwit_queue*, godwit_device*> queues;
  std::map<godwit_device*, OfDevice> devices;
  std::shared_ptr<const Lie> lie;
  std::atomic<std::int32_t> running = 0;
  std::atomic<std::int64_t> worked_ns = 0;

  [[nodiscard]] OfDevice& of(godwit_device* device) {
    const std::lock_guard lock(mutex);
    return devices[device];
  }
  [[nodiscard]] std::shared_ptr<const Lie> armed() {
    const std::lock_guard lock(mutex);
    return lie;
  }
};

State* current = nullptr;

// One run more is under way, for as long as it takes.
class Work {
 public:
  Work() { ++current->running; }
  ~Work() {
    current->worked_ns += static_cast<std::int64_t>((monotonic_seconds() - began_) * 1e9);
    --current->running;
  }
  Work(const Work&) = delete;
  Work& operator=(const Work&) = delete;
  [[nodiscard]] double seconds() const { return static_cast<double>(current->worked_ns) / 1e9 + monotonic_seconds() - began_; }

 private:
  double began_ = monotonic_seconds();
};

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
    prepared = &whole;
    op = own().name;
  }
  [[nodiscard]] std::size_t inputs() const override { return own().inputs.size(); }
  [[nodiscard]] const godwit_tensor& input(std::size_t which) const override {
    return whole_.tensors[static_cast<std::size_t>(own().inputs.at(which))];
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

godwit_status run_by_op(Whole& whole, const Places& at, const Lie& lie, const Work& work, godwit_error* error) {
  OfDevice& own = current->of(whole.device);
  if (whole.singles.empty()) {
    if (const godwit_status status = make_singles(whole, error); status != GODWIT_OK) return status;
  }
  const auto part_of = [&](Single& single, godwit_part part) {
    own.numbers = &single.numbers;
    own.silent = part == GODWIT_PART_REFRESH;
    godwit_status status = current->behind.run(at.queue, single.prepared, part, at.arena, at.persistent, at.bindings, error);
    if (status == GODWIT_OK) status = wait_for(at.queue, error);
    own.numbers = nullptr;
    own.silent = false;
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
  for (Single& single : whole.singles) {
    Running running(whole.program, at, single.numbers.back());
    running.to_come = to_come[running.op]--;
    running.all_to_come = all_to_come--;
    if (lie.before) lie.before(running);
    godwit_status status = aim_spoil(whole.device, single, error);
    if (status == GODWIT_OK) status = part_of(single, GODWIT_PART_MAIN);
    if (status != GODWIT_OK) return status;
    running.streams = current->running;
    running.worked_s = work.seconds();
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
  const std::lock_guard lock(current->mutex);
  if (status == GODWIT_OK) current->queues[*queue] = device;
  return status;
}

void queue_destroy(godwit_queue* queue) {
  {
    const std::lock_guard lock(current->mutex);
    current->queues.erase(queue);
  }
  current->behind.queue_destroy(queue);
}

void close_device(godwit_device* device) {
  {
    const std::lock_guard lock(current->mutex);
    current->devices.erase(device);
  }
  current->behind.close(device);
}

godwit_status prepare(godwit_device* device, const godwit_program* program, godwit_prepared** prepared, godwit_error* error) {
  const godwit_status status = current->behind.prepare(device, program, prepared, error);
  if (status != GODWIT_OK) return status;
  auto whole = std::make_unique<Whole>(Whole{.device = device, .program = OwnProgram(*program), .singles = {}});
  const std::lock_guard lock(current->mutex);
  current->programs[*prepared] = std::move(whole);
  return status;
}

void prepared_destroy(godwit_prepared* prepared) {
  std::unique_ptr<Whole> whole;
  {
    const std::lock_guard lock(current->mutex);
    const auto found = current->programs.find(prepared);
    whole = std::move(found->second);
    current->programs.erase(found);
  }
  for (const Single& single : whole->singles) current->behind.prepared_destroy(single.prepared);
  current->behind.prepared_destroy(prepared);
}

Whole& whole_of(godwit_prepared* prepared) {
  const std::lock_guard lock(current->mutex);
  return *current->programs.at(prepared);
}

godwit_status run(godwit_queue* queue, godwit_prepared* prepared, godwit_part part, godwit_buffer* arena, godwit_buffer* persistent,
                  const godwit_binding* bindings, godwit_error* error) {
  Whole& whole = whole_of(prepared);
  if (part == GODWIT_PART_REFRESH) whole.refreshed = false;
  const std::shared_ptr<const Lie> lie = current->armed();  // may disarm itself meanwhile
  if (part == GODWIT_PART_REFRESH || lie == nullptr) {
    return current->behind.run(queue, prepared, part, arena, persistent, bindings, error);
  }
  const Work work;
  return run_by_op(whole, {queue, arena, persistent, bindings}, *lie, work, error);
}

// What was found in a single, as of the whole program.
godwit_status take_findings(godwit_device* device, godwit_finding* list, std::int32_t capacity, std::int64_t* count, godwit_error* error) {
  const godwit_status status = current->behind.findings(device, list, capacity, count, error);
  if (status != GODWIT_OK) return status;
  const std::lock_guard lock(current->mutex);
  for (std::int64_t i = 0; i < std::min<std::int64_t>(*count, capacity); ++i) {
    for (const auto& [prepared, whole] : current->programs) {
      if (whole->device != device) continue;
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
  OfDevice& own = current->of(device);
  own.progress = progress;
  own.progress_context = context;
  const auto numbered = [](void* of_device, std::int32_t op) {
    const OfDevice& told = *static_cast<OfDevice*>(of_device);
    if (!told.silent) told.progress(told.progress_context, told.number(op));
  };
  current->behind.watch(device, progress == nullptr ? nullptr : +numbered, &own);
}

void tell_spoilt(void* of_device, const godwit_spoilt* spoilt) {
  OfDevice& own = *static_cast<OfDevice*>(of_device);
  ++own.spoil->times;
  godwit_spoilt numbered = *spoilt;
  numbered.op = own.number(spoilt->op);
  if (own.spoil->told != nullptr) own.spoil->told(own.spoil->context, &numbered);
}

godwit_status spoil_results(godwit_device* device, const godwit_spoil* what, void (*told)(void*, const godwit_spoilt*), void* context,
                            godwit_error* error) {
  OfDevice& own = current->of(device);
  if (what == nullptr) {
    own.spoil.reset();
    return current->behind.spoil(device, nullptr, nullptr, nullptr, error);
  }
  own.spoil = Spoil{.what = *what, .op = what->op == nullptr ? "" : what->op, .told = told, .context = context};
  own.spoil->what.op = what->op == nullptr ? nullptr : own.spoil->op.c_str();
  return current->behind.spoil(device, &own.spoil->what, tell_spoilt, &own, error);
}

godwit_status aim_spoil(godwit_device* device, const Single& single, godwit_error* error) {
  OfDevice& own = current->of(device);
  if (!own.spoil || own.spoil->what.op_index < 0) return GODWIT_OK;
  const Spoil& spoil = *own.spoil;
  godwit_spoil aimed = spoil.what;
  if (aimed.count > 0) aimed.count -= spoil.times;
  if (!single.numbers.empty()) {
    const bool meant = single.numbers.back() == spoil.what.op_index;
    aimed.op_index = static_cast<std::int32_t>(single.numbers.size()) - 1;
    if (!meant) return current->behind.spoil(device, nullptr, nullptr, nullptr, error);
  }
  if (spoil.what.count > 0 && aimed.count <= 0) return current->behind.spoil(device, nullptr, nullptr, nullptr, error);
  return current->behind.spoil(device, &aimed, tell_spoilt, &own, error);
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
  auto armed = std::make_shared<const Lie>(std::move(lie));
  const std::lock_guard lock(current->mutex);
  current->lie = std::move(armed);
}

void Liar::disarm() {
  const std::lock_guard lock(current->mutex);
  current->lie.reset();
}

}  // namespace godwit::device
