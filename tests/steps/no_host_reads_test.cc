// A step could wait for the host in its middle: an op whose sizes come from a read-back count, a loss looked at between two passes, a
// program chosen by what a router said. The device would stand still then, and no step could be captured or run ahead. Or experts could
// get buffers that depend on the routing, or too few rows, and drop tokens.
//
// Whole steps (propose, norm, apply) of a mixture with MTP run on a backend that records every call and sees every access to device memory.
// Inside one run an op has nobody to ask: the contract hands a backend no way back to the host.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <memory>
#include <numeric>

#include "base/random.h"
#include "device/backends.h"
#include "model/family.h"
#include "steps/watched_backend.h"
#include "train/engine.h"

namespace godwit::steps {
namespace {

using testing::Each;
using testing::Not;
using testing::StartsWith;

constexpr std::int64_t batch = 8;
constexpr std::int64_t micro_batch = 2;
constexpr std::int64_t length = 16;  // predictions of a sample
constexpr int vocabulary = 64;

std::unique_ptr<model::Model> make_model() {
  Json config = *model::find_family("deepseek_v3", "test").value()->preset("nano");
  config["num_hidden_layers"] = 3;
  config["num_nextn_predict_layers"] = 1;
  return model::model_from_config(config, "test").value();
}

train::Settings make_settings(program::Dtype dtype) {
  train::Settings settings;
  settings.run.dtype = dtype;
  settings.run.batch = batch;
  settings.run.micro_batch = micro_batch;
  settings.optimizer.schedule = {.kind = "constant", .lr = 1e-3, .lr_min = 0, .warmup = 0, .decay = 0, .steps = 10};
  settings.optimizer.router_bias_speed = 1e-3;
  settings.optimizer.balance_loss = 1e-4;
  settings.optimizer.mtp_loss = 0.3;
  return settings;
}

data::Sample sample_of(const std::vector<std::int32_t>& ids) {
  return {ids, std::vector<std::uint8_t>(ids.size() - 1, 1)};
}

// Every token the same: attention mixes equal values, so all rows of a layer are equal and go to the same few experts.
std::vector<data::Sample> equal_tokens() {
  return std::vector<data::Sample>(batch, sample_of(std::vector<std::int32_t>(length + 1, 5)));
}

std::vector<data::Sample> random_tokens(std::uint64_t seed) {
  RandomSequence random(RandomStream(seed, Purpose::test, 0));
  std::vector<data::Sample> samples;
  for (std::int64_t s = 0; s < batch; ++s) {
    std::vector<std::int32_t> ids(length + 1);
    for (std::int32_t& id : ids) id = static_cast<std::int32_t>(random.below(vocabulary));
    samples.push_back(sample_of(ids));
  }
  return samples;
}

// What one step did, part by part.
struct Step {
  Record propose, norm, apply;
  train::Proposal proposal;
};

// A training run without its directory: fresh weights, an engine, on the CPU or on the watched CPU.
class Trainer {
 public:
  explicit Trainer(program::Dtype dtype, WatchedBackend* watched)
      : watched_(watched), model_(make_model()), settings_(make_settings(dtype)) {
    device::DeviceOptions options;
    options.threads = 2;
    device_ = watched != nullptr ? device::Device::open(watched->table(), options).value() : device::Device::open(options).value();
    state_ = train::State::create(*device_, *model_, 1).value();
    for (std::size_t i = 0; i < model_->parameters().size(); ++i) {
      const std::vector<float> values = model::initial_values(*model_, i, 7);
      std::copy(values.begin(), values.end(), state_->weight(i).begin());
    }
    engine_ = std::make_unique<train::Engine>(*model_, settings_, length, false);
    EXPECT_TRUE(engine_->prepare(*device_, *state_).ok());
    EXPECT_TRUE(engine_->state_changed().ok());
  }

  Step step(const std::vector<data::Sample>& samples) {
    Step step;
    watch();
    step.proposal = engine_->propose(samples, [] { return false; }).value();
    step.propose = next();
    EXPECT_TRUE(engine_->gradient_norm().ok());
    step.norm = next();
    EXPECT_TRUE(engine_->apply().ok());
    if (watched_ != nullptr) step.apply = watched_->stop();
    ++state_->scalars().step;
    return step;
  }

  std::string digest() const { return hex(store::digest_state(state_->list(), 1)); }
  const model::Model& model() const { return *model_; }
  const train::Engine& engine() const { return *engine_; }

 private:
  void watch() {
    if (watched_ != nullptr) watched_->watch();
  }
  Record next() {
    Record record;
    if (watched_ != nullptr) record = watched_->stop();
    watch();
    return record;
  }

  WatchedBackend* watched_;
  std::unique_ptr<model::Model> model_;
  train::Settings settings_;
  std::unique_ptr<device::Device> device_;
  std::unique_ptr<train::State> state_;
  std::unique_ptr<train::Engine> engine_;
};

bool is_access(const std::string& entry) {
  return entry.starts_with("read ") || entry.starts_with("address ") || entry.starts_with("the host touches ");
}

// The entries that begin with `what`, in order.
Record only(const Record& record, const std::string& what) {
  Record found;
  std::copy_if(record.begin(), record.end(), std::back_inserter(found), [&](const std::string& entry) { return entry.starts_with(what); });
  return found;
}

Record accesses(const Record& record) {
  Record found;
  std::copy_if(record.begin(), record.end(), std::back_inserter(found), is_access);
  return found;
}

// From the last run on, its own entry included.
Record from_last_run(const Record& record) {
  const auto last = std::find_if(record.rbegin(), record.rend(), [](const std::string& entry) { return entry.starts_with("run "); });
  return last == record.rend() ? Record() : Record(last.base() - 1, record.end());
}

class NoHostReads : public testing::TestWithParam<program::Dtype> {
 protected:
  const godwit_backend* cpu_ = device::find_backend("cpu").value();
  WatchedBackend watched_{*cpu_};
};

TEST_P(NoHostReads, TheHostLooksOnlyAfterAllMicroBatches) {
  Trainer trainer(GetParam(), &watched_);
  (void)trainer.step(random_tokens(1));  // makes the buffers
  const Step step = trainer.step(random_tokens(2));

  Record wanted_runs(batch / micro_batch, "run training main");
  wanted_runs.insert(wanted_runs.end(), batch / micro_batch - 1, "run join main");
  EXPECT_THAT(only(step.propose, "run "), testing::UnorderedElementsAreArray(wanted_runs));
  EXPECT_EQ(only(step.norm, "run "), Record{"run gradient_norm main"});
  EXPECT_EQ(only(step.apply, "run "), (Record{"run update main", "run training refresh"}));
  for (const Record& record : {step.propose, step.norm, step.apply}) {
    EXPECT_THAT(record, Each(Not(testing::AnyOf(StartsWith("create "), StartsWith("prepare ")))));
    for (std::size_t i = 0; i < record.size(); ++i) {
      if (record[i].starts_with("run ")) {
        EXPECT_EQ(record.at(i + 1), "done") << record[i] << " is not let through";
      }
    }
  }

  // propose: sums (losses, counts) where the last program has run, nothing before.
  const Record end = from_last_run(step.propose);
  EXPECT_THAT(accesses(step.propose), Not(testing::IsEmpty()));
  EXPECT_EQ(accesses(step.propose), accesses(end)) << "the host looked while micro-batches were still to run";
  EXPECT_EQ(only(step.propose, "read "), Record()) << "sums are looked at in place";
  // The norm, after its program; its clip scale, before the update. Four bytes each, and nothing of the weights.
  EXPECT_EQ(accesses(step.norm), accesses(from_last_run(step.norm)));
  ASSERT_EQ(accesses(step.norm).size(), 1u);
  EXPECT_THAT(accesses(step.norm)[0], testing::MatchesRegex("read buffer [0-9]+ at [0-9]+: 4 bytes"));
  // And the number of the step, which lies with the state.
  ASSERT_EQ(accesses(step.apply).size(), 2u);
  EXPECT_THAT(accesses(step.apply)[0], testing::MatchesRegex("read buffer [0-9]+ at [0-9]+: 4 bytes"));
  EXPECT_THAT(accesses(step.apply)[1], StartsWith("the host touches buffer "));
  EXPECT_EQ(accesses(from_last_run(step.apply)), Record());
  EXPECT_THAT(from_last_run(step.apply), Each(Not(StartsWith("read "))));
}

TEST_P(NoHostReads, RoutingChangesNoCall) {
  Trainer trainer(GetParam(), &watched_);
  (void)trainer.step(random_tokens(1));
  const Step even = trainer.step(random_tokens(2));
  const Step heaped = trainer.step(equal_tokens());

  const auto experts = static_cast<std::size_t>(trainer.model().experts());
  const std::int64_t slots = batch * length * 2;  // nano takes two experts a token
  ASSERT_EQ(even.proposal.expert_counts.size(), static_cast<std::size_t>(trainer.model().moe_layers()));
  for (std::size_t layer = 0; layer < even.proposal.expert_counts.size(); ++layer) {
    const auto& spread = even.proposal.expert_counts[layer];
    const auto& heap = heaped.proposal.expert_counts[layer];
    // The routing really was as far apart as can be, and no token was dropped in either.
    EXPECT_GE(std::count_if(spread.begin(), spread.end(), [](std::int32_t count) { return count > 0; }), std::ptrdiff_t(experts) - 1);
    EXPECT_EQ(std::count(heap.begin(), heap.end(), 0), std::ptrdiff_t(experts) - 2);
    EXPECT_EQ(*std::max_element(heap.begin(), heap.end()), slots / 2);
    EXPECT_EQ(std::accumulate(spread.begin(), spread.end(), std::int64_t{0}), slots);
    EXPECT_EQ(std::accumulate(heap.begin(), heap.end(), std::int64_t{0}), slots);
  }
  EXPECT_EQ(even.propose, heaped.propose);
  EXPECT_EQ(even.norm, heaped.norm);
  EXPECT_EQ(even.apply, heaped.apply);
}

TEST_P(NoHostReads, ExpertsHaveARowPerTokenAndChoice) {
  const Trainer trainer(GetParam(), nullptr);
  const program::Program& training = trainer.engine().executables().front()->program();
  ASSERT_EQ(training.name, "training");
  constexpr std::int64_t rows = micro_batch * length * 2;  // dropless: enough for any routing, and not one more
  std::int64_t seen = 0;
  const auto holds = [&](program::TensorId id, const program::Node& node) {
    const program::Tensor& tensor = training.tensor(id);
    if (tensor.type.shape.rank() != 2) return;  // offsets, counts; the stacked weights
    EXPECT_EQ(tensor.type.shape[0], rows) << node.op->name << ": " << tensor.name;
    ++seen;
  };
  for (const program::Node& node : training.nodes) {
    const std::string name(node.op->name);
    if (!name.starts_with("grouped_linear")) continue;
    for (const program::TensorId id : node.inputs) holds(id, node);
    for (const program::TensorId id : node.outputs) holds(id, node);
  }
  EXPECT_EQ(seen,
            trainer.model().moe_layers() * 3 * 6);  // three products a layer, each forward and twice backward, two such tensors in each
}

TEST_P(NoHostReads, TheWatchedDeviceComputesTheSame) {
  Trainer plain(GetParam(), nullptr), trainer(GetParam(), &watched_);
  for (const std::uint64_t seed : {1, 2, 3}) {
    const float loss = plain.step(random_tokens(seed)).proposal.loss;
    EXPECT_EQ(trainer.step(random_tokens(seed)).proposal.loss, loss);
  }
  EXPECT_EQ(trainer.digest(), plain.digest());
}

INSTANTIATE_TEST_SUITE_P(Dtypes, NoHostReads, testing::Values(program::Dtype::f32, program::Dtype::bf16),
                         [](const auto& tested) { return std::string(program::dtype_name(tested.param)); });

// The watching itself: what it must see, and that work really is late.
TEST(WatchedBackend, SeesAccessesAndHoldsWorkBack) {
  WatchedBackend watched(*device::find_backend("cpu").value());
  const godwit_backend& table = watched.table();
  const auto opened = device::Device::open(table, {}).value();
  const device::Buffer first = opened->allocate(8192).value(), second = opened->allocate(64).value();
  auto* kept = reinterpret_cast<volatile int*>(first.host());
  watched.watch();
  kept[3] = 7;
  kept[2000] = 7;  // open until the next call
  volatile int* other = reinterpret_cast<volatile int*>(second.host());
  EXPECT_EQ(other[0], 0);
  EXPECT_EQ(kept[3], 7);
  EXPECT_EQ(watched.stop(),
            (Record{"the host touches buffer 0", "address of buffer 1", "the host touches buffer 0", "the host touches buffer 1"}));

  godwit_device* raw = nullptr;
  godwit_queue* queue = nullptr;
  godwit_event* event = nullptr;
  ASSERT_EQ(table.open(0, nullptr, 0, &raw, nullptr), GODWIT_OK);
  ASSERT_EQ(table.queue_create(raw, &queue, nullptr), GODWIT_OK);
  const int value = 11;
  watched.watch();
  ASSERT_EQ(table.write(queue, second.handle(), 0, &value, sizeof value, nullptr), GODWIT_OK);
  ASSERT_EQ(table.event_record(queue, &event, nullptr), GODWIT_OK);
  EXPECT_EQ(table.event_ready(event), 0);
  EXPECT_EQ(other[0], 0) << "written before anybody waited";
  ASSERT_EQ(table.event_wait(event, -1, nullptr), GODWIT_OK);
  EXPECT_EQ(other[0], 11);
  EXPECT_EQ(watched.stop(), (Record{"write buffer 1 at 0: 4 bytes", "the host touches buffer 1", "done", "the host touches buffer 1"}));
  table.event_destroy(event);
  table.queue_destroy(queue);
  table.close(raw);
}

}  // namespace
}  // namespace godwit::steps
