// The model could differ from the field's: a swapped column order, an epsilon, a scale, a wrong gradient somewhere in the chain.
//
// Every folder under tests/golden that holds a golden.safetensors (made by make_golden.py with transformers, fp32) is imported and run
// through the programs: logits, loss, every gradient, eight AdamW steps. Bounds: |Δlogit| ≤ 5e-5·max|logit|, ‖Δgrad‖ ≤ 1e-4·‖grad‖, losses
// 1e-4 relative, ‖Δw‖ ≤ 1e-3·‖w‖.
#include <gtest/gtest.h>

#include <cmath>
#include <cstdlib>
#include <cstring>
#include <map>

#include "base/file.h"
#include "store/huggingface_files.h"
#include "store/model_source.h"
#include "train/batch.h"
#include "train/engine.h"

namespace godwit {
namespace {

std::vector<std::string> cases() {
  std::vector<std::string> names;
  for (const auto& entry : fs::directory_iterator(fs::path(GODWIT_SOURCE_DIR) / "tests/golden")) {
    if (fs::exists(entry.path() / "golden.safetensors")) names.push_back(entry.path().filename().string());
  }
  std::sort(names.begin(), names.end());
  return names;
}

class Golden {
 public:
  static Golden open(const std::string& name) {
    auto file = store::SafetensorsFile::open(fs::path(GODWIT_SOURCE_DIR) / "tests/golden" / name / "golden.safetensors");
    EXPECT_TRUE(file.ok()) << file.error().message;
    return Golden(std::move(file).value());
  }
  std::vector<double> reals(const std::string& name) const {
    const store::TensorEntry* entry = file_.find(name);
    EXPECT_NE(entry, nullptr) << name;
    std::vector<double> values;
    if (entry == nullptr) return values;
    for (std::size_t i = 0; i * 4 < entry->bytes.size(); ++i) {
      float value;
      std::memcpy(&value, entry->bytes.data() + i * 4, 4);
      values.push_back(static_cast<double>(value));
    }
    return values;
  }
  // [rows, columns] of I64 or I32.
  std::vector<std::vector<std::int32_t>> ids(const std::string& name) const {
    const store::TensorEntry* entry = file_.find(name);
    EXPECT_NE(entry, nullptr) << name;
    const std::size_t size = entry->dtype == store::FileDtype::i64 ? 8 : 4;
    std::vector<std::vector<std::int32_t>> rows(entry->shape[0]);
    for (std::size_t r = 0; r < rows.size(); ++r) {
      for (std::size_t c = 0; c < entry->shape[1]; ++c) {
        std::int32_t value;
        std::memcpy(&value, entry->bytes.data() + (r * entry->shape[1] + c) * size, 4);
        rows[r].push_back(value);
      }
    }
    return rows;
  }
  std::vector<std::string> names(const std::string& prefix) const {
    std::vector<std::string> found;
    for (const auto& entry : file_.entries()) {
      if (entry.name.starts_with(prefix)) found.push_back(entry.name.substr(prefix.size()));
    }
    return found;
  }

 private:
  explicit Golden(store::SafetensorsFile file) : file_(std::move(file)) {}
  store::SafetensorsFile file_;
};

double norm(const std::vector<double>& values) {
  double sum = 0;
  for (const double value : values) sum += value * value;
  return std::sqrt(sum);
}

// Values of a Hugging Face tensor within a parameter's (stacked) values.
std::vector<double> slice(const model::Parameter& p, const std::string& file, const float* values) {
  const auto part = static_cast<std::size_t>(p.shape.count()) / p.files.size();
  for (std::size_t k = 0; k < p.files.size(); ++k) {
    if (p.files[k] == file) return {values + k * part, values + (k + 1) * part};
  }
  return {};
}

const model::Parameter* owner(const model::Model& model, const std::string& file) {
  for (const auto& p : model.parameters()) {
    if (std::find(p.files.begin(), p.files.end(), file) != p.files.end()) return &p;
  }
  return nullptr;
}

void compare(const std::string& what, const std::vector<double>& expected, const std::vector<double>& actual, double bound) {
  ASSERT_EQ(expected.size(), actual.size()) << what;
  std::vector<double> delta;
  for (std::size_t i = 0; i < expected.size(); ++i) delta.push_back(expected[i] - actual[i]);
  // A gradient that is zero up to rounding (softmax shift invariance) has no relative error.
  if (norm(expected) < 1e-7) {
    EXPECT_LE(norm(delta), 1e-7) << what;
    return;
  }
  EXPECT_LE(norm(delta), bound * norm(expected)) << what << " relative " << norm(delta) / norm(expected);
}

class HuggingFace : public testing::TestWithParam<std::string> {};

TEST_P(HuggingFace, LogitsGradientsAndAdamW) {
  const Golden golden = Golden::open(GetParam());
  auto source = store::ModelSource::open((fs::path(GODWIT_SOURCE_DIR) / "tests/golden" / GetParam()).string());
  ASSERT_TRUE(source.ok()) << source.error().message;
  const model::Model& model = source->model();
  const char* backend = std::getenv("GODWIT_BACKEND");
  auto device = device::Device::open({.backend = backend == nullptr ? "cpu" : backend, .threads = 2, .isa = ""});
  ASSERT_TRUE(device.ok());

  const auto rows = golden.ids("input_ids");
  std::vector<data::Sample> samples;
  for (const auto& row : rows) samples.push_back({row, std::vector<std::uint8_t>(row.size() - 1, 1)});
  const auto length = static_cast<std::int64_t>(rows[0].size());
  const auto count = static_cast<std::int64_t>(rows.size());

  auto state = train::State::create(**device, model, 1);
  ASSERT_TRUE(state.ok());
  for (std::size_t i = 0; i < model.parameters().size(); ++i) ASSERT_TRUE(source->read(i, (*state)->weight(i)).ok());

  // Logits of all rows, also the last of each sequence: an evaluation over T rows without a label for the last.
  {
    auto prepared =
        (*device)->prepare(model.training({count * length, count, program::Dtype::f32},
                                          {.gradients = false, .mtp = false, .balance_loss = false, .logits = true, .recompute = false}));
    ASSERT_TRUE(prepared.ok()) << prepared.error().message;
    device::Executable executable = std::move(prepared).value();
    for (std::size_t i = 0; i < model.parameters().size(); ++i) {
      const auto id = executable.program().find(model.parameters()[i].name);
      if (id != program::TensorId::none) executable.bind(id, (*state)->buffer(), (*state)->places()[i].weight);
    }
    for (const auto& constant : model.constants(executable.program())) {
      ASSERT_TRUE(executable.write(executable.program().find(constant.name), std::span<const float>(constant.values)).ok());
    }
    std::vector<data::Sample> longer;
    for (auto row : rows) {
      row.push_back(0);
      longer.push_back({row, std::vector<std::uint8_t>(row.size() - 1, 0)});
    }
    const train::Inputs in = train::make_inputs(longer, count * length, count, 0.0f, 0.0f);
    const auto write = [&](const char* name, const auto& values) {
      ASSERT_TRUE(executable.write(executable.program().find(name), std::as_bytes(std::span(values))).ok());
    };
    write("ids", in.ids);
    write("positions", in.positions);
    write("samples", in.samples);
    write("labels", in.labels);
    write("weights", in.weights);
    ASSERT_TRUE(executable.refresh().ok());
    ASSERT_TRUE(executable.run().ok());
    const auto logits = executable.read<float>(executable.program().find("logits"));
    ASSERT_TRUE(logits.ok());
    const std::vector<double> expected = golden.reals("logits");
    ASSERT_EQ(expected.size(), logits->size());
    double largest = 0, difference = 0;
    for (std::size_t i = 0; i < expected.size(); ++i) {
      largest = std::max(largest, std::abs(expected[i]));
      difference = std::max(difference, std::abs(expected[i] - static_cast<double>((*logits)[i])));
    }
    std::printf("%s: largest |Δlogit| %.2e of %.2f\n", GetParam().c_str(), difference, largest);
    EXPECT_LE(difference, 5e-5 * largest);
  }

  train::Settings settings;
  settings.optimizer = {
      .beta1 = 0.9, .beta2 = 0.95, .eps = 1e-8, .weight_decay = 0.1, .decay_matrices_only = false, .clip = 0, .schedule = {.lr = 1e-3}};
  settings.run.batch = settings.run.micro_batch = count;
  train::Engine engine(model, settings, length - 1, false);
  ASSERT_TRUE(engine.prepare(**device, **state).ok());
  ASSERT_TRUE(engine.state_changed().ok());
  const std::vector<double> losses = golden.reals("adamw.loss");
  for (std::size_t step = 0; step < losses.size(); ++step) {
    const auto proposal = engine.propose(samples, [] { return false; });
    ASSERT_TRUE(proposal.ok()) << proposal.error().message;
    EXPECT_NEAR(static_cast<double>(proposal->loss), losses[step], 1e-4 * losses[step]) << "step " << step;
    if (step == 0) {
      EXPECT_NEAR(static_cast<double>(proposal->loss), golden.reals("loss")[0], 1e-5);
      const auto names = golden.names("grad.");
      ASSERT_FALSE(names.empty());
      for (const std::string& name : names) {
        const model::Parameter* p = owner(model, name);
        ASSERT_NE(p, nullptr) << name;
        const auto gradient = engine.read_gradient(p->name);
        ASSERT_TRUE(gradient.ok()) << gradient.error().message;
        compare("grad." + name, golden.reals("grad." + name), slice(*p, name, gradient->data()), 1e-4);
      }
    }
    ASSERT_TRUE(engine.gradient_norm().ok());
    ASSERT_TRUE(engine.apply().ok());
    ++(*state)->scalars().step;
  }
  for (std::size_t i = 0; i < model.parameters().size(); ++i) {
    const model::Parameter& p = model.parameters()[i];
    if (p.kind != model::Parameter::Kind::trained) continue;
    for (const std::string& file : p.files)
      compare("adamw." + file, golden.reals("adamw." + file), slice(p, file, (*state)->weight(i).data()), 1e-3);
  }
}

INSTANTIATE_TEST_SUITE_P(Cases, HuggingFace, testing::ValuesIn(cases()), [](const auto& tested) {
  std::string name = tested.param;
  std::replace(name.begin(), name.end(), '-', '_');
  return name;
});

TEST(HuggingFaceCases, AreThere) {
  EXPECT_GE(cases().size(), 3u);
}

}  // namespace
}  // namespace godwit
