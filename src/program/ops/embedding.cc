// y_t = table[ids_t]; +0 where ids_t lies outside [0,V).      table [V,d]   ids [N] i32   samples [S+1] i32   →   y [N,d]
//
// `samples` matters to the gradient only: dtable = embedding_backward(ids, dy, samples).
#include "program/fill.h"
#include "program/op_words.h"
#include "program/program.h"
#include "program/reference.h"

namespace godwit::program {
namespace {

template <typename Real>
void embedding_reference(const Memory& memory) {
  const Real* table = real_in<Real>(memory, "table");
  const std::int32_t* ids = memory.i32("ids");
  Real* y = real_out<Real>(memory, "y");
  const std::int64_t vocabulary = memory.in("table").shape.rows();
  const std::int64_t width = memory.in("table").shape.width();
  for (std::int64_t t = 0; t < memory.in("ids").shape.count(); ++t) {
    const bool inside = ids[t] >= 0 && ids[t] < vocabulary;
    for (std::int64_t c = 0; c < width; ++c) y[t * width + c] = inside ? table[ids[t] * width + c] : Real(0);
  }
}

}  // namespace

extern const Op embedding;
const Op embedding{
    .name = "embedding",
    .inputs = {"table", "ids", "samples"},
    .outputs = {"y"},
    .shapes =
        [](Shapes& s) {
          s.require(s.in("table").dtype == Dtype::f32 && s.in("table").shape.rank() == 2, "table is [V,d], f32");
          s.require(s.in("ids").dtype == Dtype::i32 && s.in("ids").shape.rank() == 1, "ids is [N], i32");
          s.require(is_samples(s.in("samples")), "samples is [S+1], i32");
          s.set("y", Dtype::f32, {s.in("ids").shape[0], s.in("table").shape.width()});
        },
    .gradient =
        [](Gradient& g) {
          const std::int64_t vocabulary = g.instance().in("table").shape.rows();
          g.set("table", g.builder().emit1("embedding_backward", {g.in("ids"), g.of("y"), g.in("samples")}, {{"vocabulary", vocabulary}}));
        },
    .cost =
        [](const Instance& i) { return Cost{.flops = 0, .bytes = 2.0 * static_cast<double>(i.out("y").bytes() + i.in("ids").bytes())}; },
    .reference = embedding_reference<float>,
    .reference64 = embedding_reference<double>,
    .parts =
        [](Parts& p) {
          p.set("y", p.builder().emit1("gather_rows", {p.in("table"), p.in("ids")}));
        },
    .fill =
        [](Fill& f) {
          f.reals("table");
          f.integers("ids", -1, static_cast<std::int32_t>(f.in("table").shape.rows()));
          f.samples("samples", f.in("ids").shape.count());
        },
    .examples =
        [] {
          struct Case {
            std::int64_t vocabulary, width, rows, samples;
          };
          std::vector<Example> examples;
          for (const Case c :
               {Case{1, 1, 1, 1}, Case{5, 3, 7, 3}, Case{3, 7, 40, 4}, Case{2, 5, 600, 1}, Case{64, 65, 33, 2}, Case{259, 64, 130, 5}}) {
            examples.push_back({{f32_type({c.vocabulary, c.width}), i32_type({c.rows}), i32_type({c.samples + 1})}, {}});
          }
          return examples;
        },
};

}  // namespace godwit::program
