// A lie could strike where it was not told to, or not strike at all: then nobody would know what finding it proves.
#include "device/lies.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <memory>
#include <thread>

#include "device/backends.h"
#include "device/standalone.h"

namespace godwit::device {
namespace {

using program::Dtype;
using program::OpCase;
using program::Values;
using testing::HasSubstr;

const godwit_backend& cpu() {
  return *find_backend("cpu").value();
}

// A product on a device of its own.
class Product {
 public:
  Product(const godwit_backend& backend, Dtype dtype, std::int64_t rows, std::int64_t width)
      : case_(OpCase::of(*program::find_op("linear"), {{{dtype, {rows, 24}}, {dtype, {width, 24}}, {Dtype::i32, {2}}}, {}},
                         OpCase::Weight::state, false)),
        device_(Device::open(backend, {}).value()),
        program_(Standalone::prepare(*device_, case_.program()).value()) {
    bring(1);
  }
  void bring(std::uint64_t seed) { program_->bring(case_.fill(Values::ordinary, seed)).value(); }
  std::vector<float> run() {
    program_->run().value();
    std::vector<float> result(static_cast<std::size_t>(case_.program().tensor(case_.node().outputs[0]).type.shape.count()));
    program_->read(case_.node().outputs[0], std::as_writable_bytes(std::span(result))).value();
    return result;
  }

 private:
  OpCase case_;
  std::unique_ptr<Device> device_;
  std::unique_ptr<Standalone> program_;
};

std::vector<float> honest(Dtype dtype = Dtype::f32, std::int64_t rows = 6, std::int64_t width = 20, std::uint64_t seed = 1) {
  Product product(cpu(), dtype, rows, width);
  product.bring(seed);
  return product.run();
}

class Lies : public testing::Test {
 protected:
  Liar& lie(const char* words) {
    liar_ = std::make_unique<Liar>(cpu());
    liar_->arm(deceive(parse_deceit(words).value()));
    return *liar_;
  }
  std::unique_ptr<Liar> liar_;
};

TEST_F(Lies, EachElementIsOffByAsMuchAsItSays) {
  Product product(lie("off=1e-5").table(), Dtype::f32, 6, 20);
  const std::vector<float> truth = honest(), told = product.run();
  for (std::size_t i = 0; i < truth.size(); ++i) {
    EXPECT_NE(told[i], truth[i]);
    EXPECT_NEAR(told[i] / truth[i] - 1, 1e-5, 2e-7);
  }
}

TEST_F(Lies, OnlyOfOneShapeOneDtypeOrOneOp) {
  lie("shape=6x20");
  EXPECT_NE(Product(liar_->table(), Dtype::f32, 6, 20).run(), honest());
  EXPECT_EQ(Product(liar_->table(), Dtype::f32, 6, 21).run(), honest(Dtype::f32, 6, 21));
  liar_->arm(deceive(parse_deceit("dtype=bf16").value()));
  EXPECT_EQ(Product(liar_->table(), Dtype::f32, 6, 20).run(), honest());
  EXPECT_NE(Product(liar_->table(), Dtype::bf16, 6, 20).run(), honest(Dtype::bf16));
  liar_->arm(deceive(parse_deceit("op=add").value()));
  EXPECT_EQ(Product(liar_->table(), Dtype::f32, 6, 20).run(), honest());
  liar_->arm(deceive(parse_deceit("op=linear").value()));
  EXPECT_NE(Product(liar_->table(), Dtype::f32, 6, 20).run(), honest());
}

TEST_F(Lies, OnlyTheTailOfARow) {
  Product product(lie("tail=16 off=0.5").table(), Dtype::f32, 6, 20);
  const std::vector<float> truth = honest(), told = product.run();
  for (std::size_t i = 0; i < truth.size(); ++i) EXPECT_EQ(told[i] == truth[i], i % 20 < 16) << i;
  EXPECT_EQ(Product(liar_->table(), Dtype::f32, 6, 32).run(), honest(Dtype::f32, 6, 32)) << "no tail";
}

TEST_F(Lies, StaleOnTheSecondCall) {
  Product product(lie("stale call=2").table(), Dtype::f32, 6, 20);
  EXPECT_EQ(product.run(), honest());
  product.bring(2);
  EXPECT_EQ(product.run(), honest()) << "of the call before";
  EXPECT_NE(honest(Dtype::f32, 6, 20, 2), honest());
}

TEST_F(Lies, OnlyAfterSomeWork) {
  Product product(lie("after=0.05").table(), Dtype::f32, 6, 20);
  EXPECT_EQ(product.run(), honest());
  int runs = 0;
  while (product.run() == honest() && ++runs < 10'000'000) {
  }
  EXPECT_GT(runs, 10);
  EXPECT_NE(product.run(), honest());
}

TEST_F(Lies, OnlyWhileTwoRunAtOnce) {
  lie("streams=2");
  Product one(liar_->table(), Dtype::f32, 64, 200);
  const std::vector<float> truth = one.run();
  EXPECT_EQ(one.run(), truth);
  std::atomic<bool> done = false;
  bool lied = false;
  {
    const std::jthread beside([&] {
      Product other(liar_->table(), Dtype::f32, 64, 200);
      while (!done) (void)other.run();
    });
    for (int i = 0; i < 200'000 && !lied; ++i) lied = one.run() != truth;
    done = true;
  }
  EXPECT_TRUE(lied);
  EXPECT_EQ(one.run(), truth);
}

TEST_F(Lies, NoiseIsNotTheSameTwice) {
  Product product(lie("noise").table(), Dtype::f32, 64, 200);
  const std::vector<float> first = product.run();
  EXPECT_NE(product.run(), first);
}

TEST(LieWords, UnknownOnesAreNamed) {
  EXPECT_THAT(parse_deceit("sometimes").error().message, HasSubstr("'sometimes' is no word of a lie"));
  EXPECT_THAT(parse_deceit("after=soon").error().message, HasSubstr("after cannot be 'soon'"));
  EXPECT_EQ(parse_deceit("after=soon").error().kind, ErrorKind::input);
  const Deceit deceit = parse_deceit("op=linear shape=8x64 off=0.25 tail=16 after=60 streams=2 call=3 rate=0.5 dtype=bf16").value();
  EXPECT_EQ(deceit.op, "linear");
  EXPECT_EQ(deceit.shape, "8x64");
  EXPECT_EQ(deceit.off, 0.25);
  EXPECT_EQ(deceit.tail, 16);
  EXPECT_EQ(deceit.after_s, 60);
  EXPECT_EQ(deceit.streams, 2);
  EXPECT_EQ(deceit.call, 3);
  EXPECT_EQ(deceit.rate, 0.5);
  EXPECT_EQ(deceit.dtype, "bf16");
}

}  // namespace
}  // namespace godwit::device
