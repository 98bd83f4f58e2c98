// The canonical references against the golden bits of a second implementation (tests/golden/README.md).
//
// What could go wrong: a reference leaves the written arithmetic, in an order of summing, a flush, a rounding or a special value; or an
// op arrives of which nobody wrote golden bits.
#include "golden_bits.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <functional>
#include <map>
#include <set>

#include "base/file.h"
#include "base/json.h"
#include "base/math.h"

namespace godwit::golden {
namespace {

using program::Memory;
using program::Op;
using program::Shapes;
using program::TensorType;

const std::filesystem::path bits_folder = std::filesystem::path(GODWIT_SOURCE_DIR) / "tests/golden/bits";

const std::vector<GoldenOp>& golden_ops() {
  static const std::vector<GoldenOp> ops = [] {
    auto read = read_golden_ops(bits_folder / "ops");
    CHECK(read.ok(), "{}", read.error().message);
    return std::move(*read);
  }();
  return ops;
}

std::vector<TensorType> types_of(const std::vector<GoldenTensor>& tensors) {
  std::vector<TensorType> types;
  for (const GoldenTensor& tensor : tensors) types.push_back(tensor.type);
  return types;
}

// What the shape rule makes of the inputs; an output the op updates in part has its type from outside.
std::vector<TensorType> ruled_outputs(const Op& op, const GoldenCase& golden, const std::vector<TensorType>& inputs) {
  std::vector<TensorType> outputs(op.outputs.size());
  for (std::size_t i = 0; i < outputs.size(); ++i) {
    if (!golden.outputs[i].initial.empty()) outputs[i] = golden.outputs[i].type;
  }
  Shapes shapes(op, inputs, outputs, golden.attributes);
  op.shapes(shapes);
  return outputs;
}

std::vector<Bytes> run_reference(const Op& op, const GoldenCase& golden) {
  const std::vector<TensorType> inputs = types_of(golden.inputs);
  const std::vector<TensorType> outputs = types_of(golden.outputs);
  // Every element must be written: what is not shows as this pattern, a NaN no rule makes and no valid index.
  std::vector<Bytes> results;
  for (const GoldenTensor& output : golden.outputs) {
    results.push_back(output.initial.empty() ? Bytes(output.bytes.size(), 0xA5) : output.initial);
  }
  std::vector<const void*> input_data;
  std::vector<void*> output_data;
  for (const GoldenTensor& input : golden.inputs) input_data.push_back(input.bytes.data());
  for (Bytes& result : results) output_data.push_back(result.data());
  op.reference(Memory(op, inputs, outputs, golden.attributes, input_data, output_data));
  return results;
}

class GoldenOps : public testing::TestWithParam<std::string> {};

TEST_P(GoldenOps, ReferenceGivesTheBits) {
  const auto& ops = golden_ops();
  const auto golden = std::find_if(ops.begin(), ops.end(), [](const GoldenOp& op) { return op.op == GetParam(); });
  ASSERT_NE(golden, ops.end()) << "no golden bits for op " << GetParam() << ": add cases to tests/golden/twin/make_bits.py";
  const Op* op = program::find_op(GetParam());
  ASSERT_NE(op, nullptr) << "golden bits for an op that does not exist: " << GetParam();
  ASSERT_FALSE(golden->cases.empty());
  for (const GoldenCase& one : golden->cases) {
    SCOPED_TRACE(one.name);
    ASSERT_EQ(one.outputs.size(), op->outputs.size());
    if (op->variadic) {
      ASSERT_GE(one.inputs.size(), op->inputs.size());
    } else {
      ASSERT_EQ(one.inputs.size(), op->inputs.size());
    }
    for (std::size_t i = 0; i < op->inputs.size(); ++i) EXPECT_EQ(one.inputs[i].name, op->inputs[i]);
    const std::vector<TensorType> ruled = ruled_outputs(*op, one, types_of(one.inputs));
    for (std::size_t i = 0; i < op->outputs.size(); ++i) {
      EXPECT_EQ(one.outputs[i].name, op->outputs[i]);
      ASSERT_TRUE(ruled[i] == one.outputs[i].type)
          << op->outputs[i] << ": the shape rule says " << program::dtype_name(ruled[i].dtype) << " " << ruled[i].shape.text()
          << ", the golden case " << program::dtype_name(one.outputs[i].type.dtype) << " " << one.outputs[i].type.shape.text();
    }
    const std::vector<Bytes> results = run_reference(*op, one);
    for (std::size_t i = 0; i < results.size(); ++i) {
      const auto difference = first_difference(one.outputs[i], results[i]);
      EXPECT_FALSE(difference.has_value()) << *difference;
    }
  }
}

// Every op there is and every op with golden bits: a missing half fails under the op's name.
std::vector<std::string> op_names() {
  std::set<std::string> names;
  for (const Op* op : program::all_ops()) names.emplace(op->name);
  for (const GoldenOp& golden : golden_ops()) names.insert(golden.op);
  return {names.begin(), names.end()};
}

INSTANTIATE_TEST_SUITE_P(All, GoldenOps, testing::ValuesIn(op_names()), [](const auto& one) { return one.param; });

// --- elementary functions ---

template <typename Real>
using Bits = std::conditional_t<sizeof(Real) == 4, std::uint32_t, std::uint64_t>;

// `golden` is {inputs: [hex of argument 0, …], output: hex}; the first argument and value that differ.
template <typename Real, typename... Arguments>
void compare_function(const std::string& name, const Json& golden, Real (*function)(Arguments...)) {
  constexpr std::size_t arity = sizeof...(Arguments);
  std::vector<std::vector<Bits<Real>>> columns;
  const auto column_of = [&](const Json& hex) {
    auto bytes = bytes_from_hex(hex.get<std::string>());
    CHECK(bytes.ok(), "{}: {}", name, bytes.error().message);
    std::vector<Bits<Real>> column(bytes->size() / sizeof(Real));
    if (!column.empty()) std::memcpy(column.data(), bytes->data(), column.size() * sizeof(Real));
    columns.push_back(std::move(column));
  };
  ASSERT_EQ(golden["inputs"].size(), arity) << name;
  for (const Json& input : golden["inputs"]) column_of(input);
  column_of(golden["output"]);
  ASSERT_FALSE(columns.back().empty()) << name;
  std::size_t differing = 0;
  std::string first;
  for (std::size_t i = 0; i < columns.back().size(); ++i) {
    const auto argument = [&](std::size_t k) { return std::bit_cast<Real>(columns[k][i]); };
    Real actual{};
    if constexpr (arity == 1) {
      actual = function(argument(0));
    } else {
      actual = function(argument(0), argument(1));
    }
    const Real expected = std::bit_cast<Real>(columns.back()[i]);
    if (std::bit_cast<Bits<Real>>(actual) == columns.back()[i] || (std::isnan(actual) && std::isnan(expected))) continue;
    if (differing++ == 0) {
      first = fmt::format("{}({:a}{}) is {:a}, golden {:a}", name, argument(0), arity == 2 ? fmt::format(", {:a}", argument(1)) : "",
                          actual, expected);
    }
  }
  EXPECT_EQ(differing, 0u) << first << "; " << differing << " of " << columns.back().size() << " differ";
}

double power_of(double base, double exponent) {
  return math::power(base, static_cast<std::uint64_t>(exponent));
}

TEST(GoldenFunctions, GiveTheBits) {
  auto text = read_file(bits_folder / "functions.json");
  ASSERT_TRUE(text.ok()) << text.error().message;
  auto json = parse_json(*text, "functions.json");
  ASSERT_TRUE(json.ok()) << json.error().message;
  const std::map<std::string, float (*)(float)> single = {
      {"exp", math::exp}, {"log", math::log}, {"sigmoid", math::sigmoid}, {"tanh", math::tanh}};
  const std::map<std::string, double (*)(double)> wide = {{"exp", math::exp}, {"exp2", math::exp2}, {"log", math::log},
                                                          {"sin", math::sin}, {"cos", math::cos},   {"cos_pi", math::cos_pi}};
  const std::map<std::string, double (*)(double, double)> wide_pairs = {{"pow", math::pow}, {"power", power_of}};
  for (const auto& [name, function] : single) compare_function(name, (*json)["f32"][name], function);
  for (const auto& [name, function] : wide) compare_function(name, (*json)["f64"][name], function);
  for (const auto& [name, function] : wide_pairs) compare_function(name, (*json)["f64"][name], function);
  EXPECT_EQ((*json)["f32"].size(), single.size());
  EXPECT_EQ((*json)["f64"].size(), wide.size() + wide_pairs.size());
}

// --- the comparison itself ---

GoldenTensor tensor_of(program::Dtype dtype, const char* hex) {
  Bytes bytes = std::move(*bytes_from_hex(hex));
  const auto count = static_cast<std::int64_t>(bytes.size()) / program::dtype_bytes(dtype);
  return {.name = "y", .type = {dtype, {count}}, .bytes = std::move(bytes), .initial = {}};
}

TEST(GoldenComparison, SeesOneBitAndTheSignOfZero) {
  const GoldenTensor golden = tensor_of(program::Dtype::f32, "0000803f00000000");
  EXPECT_FALSE(first_difference(golden, *bytes_from_hex("0000803f00000000")).has_value());
  EXPECT_EQ(first_difference(golden, *bytes_from_hex("0100803f00000000")).value(),
            "y [2][0] is 0x3f800001 (1.00000012), golden 0x3f800000 (1); 1 of 2 elements differ");
  EXPECT_EQ(first_difference(golden, *bytes_from_hex("0000803f00000080")).value(),
            "y [2][1] is 0x80000000 (-0), golden 0x00000000 (0); 1 of 2 elements differ");
}

TEST(GoldenComparison, AnyNanStandsForNanInF32OnlyAndNeverForANumber) {
  const GoldenTensor single = tensor_of(program::Dtype::f32, "0000c07f");
  EXPECT_FALSE(first_difference(single, *bytes_from_hex("010080ff")).has_value());
  EXPECT_TRUE(first_difference(single, *bytes_from_hex("0000807f")).has_value());
  const GoldenTensor half = tensor_of(program::Dtype::bf16, "c07f");
  EXPECT_TRUE(first_difference(half, *bytes_from_hex("c17f")).has_value());
}

}  // namespace
}  // namespace godwit::golden
