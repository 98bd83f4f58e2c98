// Run op by op, a program could give other bits than as a whole; a lie could strike elsewhere than it says, or nowhere.
#include "device/liar.h"
#include "device/backends.h"
#include "device/lies.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <map>
#include <memory>
#include <numeric>
#include <optional>

#include "base/random.h"
#include "device/device.h"

namespace godwit::device {
namespace {

using program::Builder;
using program::Dtype;
using program::Role;
using program::TensorId;
using testing::ElementsAre;
using testing::HasSubstr;

constexpr std::int64_t rows = 24, width = 48;

// Two products by rounded weights (the rounding is in the refresh part, and a backend may pack what it rounds), a norm and a gate.
program::Program chain() {
  Builder builder("chain");
  const TensorId x = builder.declare("x", Role::input, Dtype::f32, {rows, width});
  const TensorId samples = builder.declare("samples", Role::input, Dtype::i32, {3});
  const TensorId first = builder.declare("first", Role::state, Dtype::f32, {width, width});
  const TensorId second = builder.declare("second", Role::state, Dtype::f32, {width, width});
  const TensorId scale = builder.declare("scale", Role::state, Dtype::f32, {width});
  const TensorId normed = builder.emit("rms_norm", {x, scale, samples}, {{"eps", 1e-6}})[0];
  const TensorId narrow = builder.cast(normed, Dtype::bf16);
  const TensorId gate = builder.emit1("linear", {narrow, builder.cast(first, Dtype::bf16), samples});
  const TensorId up = builder.emit1("linear", {narrow, builder.cast(second, Dtype::bf16), samples});
  const TensorId hidden = builder.emit1("swiglu", {gate, up});
  builder.output(builder.emit1("add", {hidden, x}), "y");
  return program::hoist_refresh(std::move(builder).finish());
}

// The chain, ready to run on a device.
class Chain {
 public:
  explicit Chain(const godwit_backend& backend, bool verify = false)
      : device_(Device::open(backend, {.backend = "cpu", .threads = 2, .isa = "", .verify = verify}).value()),
        state_(device_->allocate(aligned(width * width * 4) * 3).value()),
        executable_(device_->prepare(chain()).value()) {
    const program::Program& program = executable_.program();
    std::int64_t offset = 0;
    for (const char* name : {"first", "second", "scale"}) {
      executable_.bind(program.find(name), state_, offset);
      offset += aligned(width * width * 4);
    }
    for (const char* name : {"x", "first", "second", "scale"}) fill(name, 1);
    executable_.write<std::int32_t>(program.find("samples"), std::vector<std::int32_t>{0, 10, static_cast<std::int32_t>(rows)}).value();
    executable_.refresh().value();
  }

  void fill(const char* name, std::uint64_t seed) {
    const TensorId id = executable_.program().find(name);
    std::vector<float> values(static_cast<std::size_t>(executable_.program().tensor(id).type.shape.count()));
    const RandomStream random(seed, Purpose::test, static_cast<std::uint64_t>(id));
    for (std::size_t i = 0; i < values.size(); ++i) values[i] = random.f32(i) - 0.5f;
    executable_.write<float>(id, values).value();
  }
  std::vector<float> result() {
    executable_.run().value();
    return executable_.read<float>(executable_.program().find("y")).value();
  }
  Device& device() { return *device_; }
  Executable& executable() { return executable_; }

 private:
  std::unique_ptr<Device> device_;
  Buffer state_;
  Executable executable_;
};

const godwit_backend& cpu() {
  return *find_backend("cpu").value();
}

std::vector<std::string> names_of(const program::Program& program) {
  std::vector<std::string> names;
  for (std::size_t i = program.refresh_count; i < program.nodes.size(); ++i) names.emplace_back(program.nodes[i].op->name);
  return names;
}

TEST(Liar, OpByOpAndAsAWholeGiveTheSameBits) {
  std::vector<float> plain = Chain(cpu()).result();
  Liar liar(cpu());
  Chain chain(liar.table());
  EXPECT_EQ(chain.result(), plain);
  std::vector<std::string> ran;
  liar.arm({.after = [&](OpRun& run) { ran.emplace_back(run.op); }});
  EXPECT_EQ(chain.result(), plain);
  EXPECT_EQ(ran, names_of(chain.executable().program()));
  liar.disarm();
  EXPECT_EQ(chain.result(), plain);
  // Other weights: the small programs hold layouts of their own, which go with them.
  chain.fill("first", 2);
  chain.executable().refresh().value();
  const std::vector<float> other = chain.result();
  EXPECT_NE(other, plain);
  liar.arm({});
  EXPECT_EQ(chain.result(), other);
}

TEST(Liar, OpsKeepTheirNumbers) {
  Liar liar(cpu());
  Chain chain(liar.table());
  std::vector<std::int32_t> whole, alone, seen;
  ASSERT_TRUE(chain.device().watch([&](std::int32_t op) { whole.push_back(op); }));
  (void)chain.result();
  liar.arm({.before = [&](OpRun& run) { seen.push_back(run.index); }});
  ASSERT_TRUE(chain.device().watch([&](std::int32_t op) { alone.push_back(op); }));
  (void)chain.result();
  EXPECT_FALSE(whole.empty());
  EXPECT_EQ(whole, alone);
  EXPECT_EQ(whole, seen);
}

TEST(Liar, AFlipIsToldAndChangesWhatIsReadFromThereOn) {
  Liar liar(cpu());
  Chain chain(liar.table());
  const std::vector<float> plain = chain.result();
  std::vector<std::string> told;
  const auto note = [&](const OpRun& run, std::string_view what) { told.push_back(std::string(run.op) + ": " + std::string(what)); };
  liar.arm(flip_results({.op = "add", .results = 1, .seed = 3}, 1, 30, note));
  const std::vector<float> flipped = chain.result();
  ASSERT_EQ(told.size(), 1u);
  EXPECT_THAT(told[0], HasSubstr("add: bit 30 of element "));
  std::size_t changed = 0;
  for (std::size_t i = 0; i < plain.size(); ++i) changed += plain[i] != flipped[i] ? 1 : 0;
  EXPECT_EQ(changed, 1u);
  EXPECT_EQ(chain.result(), plain) << "one result was to be changed, not one of each run";
  liar.arm(flip_results({.op = "linear", .results = 2, .seed = 4}, 3, -1, note));
  EXPECT_NE(chain.result(), plain);
  EXPECT_EQ(told.size(), 3u);
  EXPECT_EQ(chain.result(), plain);
  liar.arm(flip_results({.op = "linear", .results = 0, .seed = 4}, 1, 30, note));
  (void)chain.result();
  (void)chain.result();
  EXPECT_EQ(told.size(), 7u) << "every result, of every run";
}

TEST(Liar, TheLotFallsOnEveryOpSoonerOrLater) {
  Liar liar(cpu());
  Chain chain(liar.table());
  std::vector<int> struck(chain.executable().program().nodes.size(), 0);
  for (std::uint64_t seed = 0; seed < 100; ++seed) {
    int times = 0;
    liar.arm(flip_results({.op = "", .results = 2, .seed = seed}, 1, 0, [&](const OpRun& run, std::string_view) {
      ++struck[static_cast<std::size_t>(run.index)];
      ++times;
    }));
    (void)chain.result();
    EXPECT_EQ(times, 2);
  }
  const std::size_t refresh = chain.executable().program().refresh_count;
  for (std::size_t i = refresh; i < struck.size(); ++i) EXPECT_GT(struck[i], 0) << i;
}

TEST(Liar, ADroppedResultIsWhatWasThereBefore) {
  Liar liar(cpu());
  Chain chain(liar.table());
  const std::vector<float> before = chain.result();
  chain.fill("x", 9);
  std::vector<std::string> told;
  liar.arm(drop_results({.op = "add"}, [&](const OpRun&, std::string_view what) { told.emplace_back(what); }));
  EXPECT_EQ(chain.result(), before);
  EXPECT_THAT(told, ElementsAre("y is not stored"));
  EXPECT_NE(chain.result(), before);
}

TEST(Liar, AnOpMayNotComeBack) {
  Liar liar(cpu());
  const pid_t child = fork();
  if (child == 0) {
    Chain chain(liar.table());
    liar.arm({.before = [](OpRun& run) {
      if (run.op == "swiglu") _exit(7);
    }});
    (void)chain.result();
    _exit(0);
  }
  int status = 0;
  waitpid(child, &status, 0);
  EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 7);
}

// A backend that finds something wrong with the last op of whatever it runs, spoils it first if asked, and has a newer table than we know.
struct Doubting {
  static inline godwit_backend table;
  static inline std::int32_t last_op = 0;
  static inline std::vector<godwit_finding> found;
  static inline std::map<godwit_prepared*, std::int32_t> ops;
  static inline std::optional<godwit_spoil> spoils;
  static inline void (*told)(void*, const godwit_spoilt*) = nullptr;
  static inline void* context = nullptr;

  static const godwit_backend& make() {
    table = cpu();
    table.prepare = [](godwit_device* device, const godwit_program* program, godwit_prepared** prepared, godwit_error* error) {
      const godwit_status status = cpu().prepare(device, program, prepared, error);
      ops[*prepared] = program->op_count;
      return status;
    };
    table.run = [](godwit_queue* queue, godwit_prepared* prepared, godwit_part part, godwit_buffer* arena, godwit_buffer* persistent,
                   const godwit_binding* bindings, godwit_error* error) {
      if (part == GODWIT_PART_MAIN) {
        last_op = ops.at(prepared) - 1;
        found.push_back({sizeof(godwit_finding), last_op, 0, 0, 0, 0, prepared});
        if (spoils && (spoils->op_index < 0 || spoils->op_index == last_op)) {
          const godwit_spoilt spoilt{last_op, 0, 0, 0, 0, 0};
          told(context, &spoilt);
        }
      }
      return cpu().run(queue, prepared, part, arena, persistent, bindings, error);
    };
    table.findings = [](godwit_device*, godwit_finding* findings, std::int32_t capacity, std::int64_t* count, godwit_error*) {
      *count = std::ssize(found);
      std::copy_n(found.begin(), std::min<std::int64_t>(*count, capacity), findings);
      found.clear();
      return GODWIT_OK;
    };
    table.spoil = [](godwit_device*, const godwit_spoil* what, void (*tell)(void*, const godwit_spoilt*), void* with, godwit_error*) {
      spoils = what == nullptr ? std::nullopt : std::optional(*what);
      told = tell;
      context = with;
      return GODWIT_OK;
    };
    return table;
  }
};

TEST(Liar, EvidenceAndSpoilingKeepTheNumberOfTheOp) {
  Liar liar(Doubting::make());
  Chain chain(liar.table());
  const auto& nodes = chain.executable().program().nodes;
  const auto refresh = static_cast<std::int32_t>(chain.executable().program().refresh_count);
  (void)chain.result();
  ASSERT_EQ(chain.device().evidence()->findings.size(), 1u);
  liar.arm({});
  (void)chain.result();
  const auto evidence = chain.device().evidence().value();
  std::vector<std::int32_t> found, all(nodes.size() - static_cast<std::size_t>(refresh));
  for (const Finding& finding : evidence.findings) found.push_back(finding.index);
  std::iota(all.begin(), all.end(), refresh);
  EXPECT_EQ(found, all);
  EXPECT_EQ(evidence.count, std::int64_t(all.size()));
  EXPECT_EQ(chain.device().evidence()->count, 0);

  std::vector<std::int32_t> spoilt;
  godwit_spoil spoil{};
  spoil.struct_size = sizeof spoil;
  spoil.op_index = -1;
  chain.device().spoil(spoil, [&](const godwit_spoilt& told) { spoilt.push_back(told.op); }).value();
  (void)chain.result();
  EXPECT_EQ(spoilt, all);
  spoilt.clear();
  spoil.op_index = refresh + 2;
  spoil.count = 1;
  chain.device().spoil(spoil, [&](const godwit_spoilt& told) { spoilt.push_back(told.op); }).value();
  (void)chain.result();
  (void)chain.result();
  EXPECT_THAT(spoilt, ElementsAre(refresh + 2));
  chain.device().spoil_no_longer();
  (void)chain.result();
  EXPECT_EQ(spoilt.size(), 1u);
}

TEST(Liar, WhatTheBackendBehindDoesNotHaveNobodyHas) {
  godwit_backend older = cpu();
  older.struct_size = offsetof(godwit_backend, verify_key);
  Liar liar(older);
  EXPECT_EQ(liar.table().watch, nullptr);
  EXPECT_EQ(liar.table().spoil, nullptr);
  Chain chain(liar.table());
  EXPECT_FALSE(chain.device().watch([](std::int32_t) {}));
}

// Evidence of a device that checks: whatever bit of whatever result changes after it was stored is found, by whoever uses it last or when
// the host has taken it; and what is not changed is not doubted.
TEST(Liar, EveryStoredBitIsMissedWhereResultsAreChecked) {
  Liar liar(cpu());
  Chain chain(liar.table(), true);
  const std::vector<float> plain = chain.result();
  EXPECT_EQ(chain.device().evidence()->count, 0);
  const program::Program& program = chain.executable().program();
  for (std::size_t op = program.refresh_count; op < program.nodes.size(); ++op) {
    for (std::size_t which = 0; which < program.nodes[op].outputs.size(); ++which) {
      const TensorId id = program.nodes[op].outputs[which];
      bool read = program.tensor(id).role != Role::temporary;  // by the host
      for (const program::Node& node : program.nodes) read = read || std::ranges::count(node.inputs, id) > 0;
      if (!read) continue;
      for (const std::size_t bit : {0, 7, 1000}) {
        liar.arm({.after = [&](OpRun& run) {
          if (run.index != static_cast<std::int32_t>(op)) return;
          std::vector<std::byte> bytes = run.read(which);
          bytes[bit / 8 % bytes.size()] ^= std::byte{1} << bit % 8;
          run.write(which, bytes);
        }});
        (void)chain.result();
        const auto evidence = chain.device().evidence().value();
        EXPECT_GE(evidence.count, 1) << program.nodes[op].op->name << ", result " << which << ", bit " << bit;
        for (const Finding& finding : evidence.findings) {
          EXPECT_EQ(finding.program, "chain");
          EXPECT_EQ(finding.bound, 0);
        }
        liar.arm({});
        EXPECT_EQ(chain.result(), plain);
        EXPECT_EQ(chain.device().evidence()->count, 0);
      }
    }
  }
}

}  // namespace
}  // namespace godwit::device
