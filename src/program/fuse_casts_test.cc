// fuse_casts could round a result that someone else reads unrounded, drop a cast that is an output, or change bits.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <vector>

#include "program/program.h"

namespace godwit::program {
namespace {

std::size_t count(const Program& program, std::string_view op) {
  return static_cast<std::size_t>(
      std::count_if(program.nodes.begin(), program.nodes.end(), [&](const Node& node) { return node.op->name == op; }));
}

// Runs the program by its references and returns the bytes of the output of that name.
std::vector<std::byte> result(const Program& program, std::string_view name) {
  std::vector<std::vector<std::byte>> memory;
  std::vector<void*> data;
  for (const Tensor& tensor : program.tensors) {
    memory.emplace_back(static_cast<std::size_t>(tensor.type.bytes()), std::byte{0});
    if (tensor.role == Role::input) {
      auto* values = reinterpret_cast<float*>(memory.back().data());
      for (std::int64_t i = 0; i < tensor.type.shape.count(); ++i) {
        values[i] = static_cast<float>((i * 37 + static_cast<std::int64_t>(tensor.name.size())) % 101 - 50) / 17.0f;
      }
    }
  }
  for (auto& bytes : memory) data.push_back(bytes.data());
  run_reference(program, data, false);
  return memory[static_cast<std::size_t>(program.find(name))];
}

struct Chain {
  Builder builder{"chain"};
  TensorId gate = builder.declare("gate", Role::input, Dtype::f32, {5, 40});
  TensorId up = builder.declare("u", Role::input, Dtype::f32, {5, 40});
  TensorId hidden = builder.emit1("swiglu", {gate, up});
};

TEST(FuseCasts, AResultWantedOnlyRoundedIsWrittenRounded) {
  Chain chain;
  chain.builder.output(chain.builder.emit1("cast", {chain.builder.cast(chain.hidden, Dtype::bf16)}, {{"to", std::int64_t{0}}}), "y");
  const Program plain = std::move(chain.builder).finish();
  const Program fused = fuse_casts(plain);
  EXPECT_EQ(count(plain, "cast"), 2u);
  EXPECT_EQ(count(fused, "cast"), 1u);
  EXPECT_EQ(result(plain, "y"), result(fused, "y"));
}

TEST(FuseCasts, AResultThatIsAlsoReadUnroundedStays) {
  Chain chain;
  const TensorId rounded = chain.builder.emit1("cast", {chain.builder.cast(chain.hidden, Dtype::bf16)}, {{"to", std::int64_t{0}}});
  chain.builder.output(chain.builder.emit1("add", {chain.hidden, rounded}), "y");
  const Program plain = std::move(chain.builder).finish();
  const Program fused = fuse_casts(plain);
  EXPECT_EQ(count(fused, "cast"), 2u);
  EXPECT_EQ(result(plain, "y"), result(fused, "y"));
}

TEST(FuseCasts, AnOutputOfTheProgramKeepsItsType) {
  Chain chain;
  chain.builder.output(chain.builder.cast(chain.hidden, Dtype::bf16), "rounded");
  chain.builder.output(chain.hidden, "hidden");
  const Program fused = fuse_casts(std::move(chain.builder).finish());
  EXPECT_EQ(count(fused, "cast"), 1u);
  EXPECT_EQ(fused.tensor(fused.find("hidden")).type.dtype, Dtype::f32);
}

}  // namespace
}  // namespace godwit::program
