// dtable[id] = the sum of dy over the rows with that id.      ids [N] i32   dy [N,d]   samples [S+1] i32   →   dtable [V,d], V =
// `vocabulary`
//
// Per sample the id's rows ascending, the index in the sum being the rank among them; then the tree over samples.
#include "program/fill.h"
#include "program/op_words.h"
#include "program/ops/cost_rules.h"
#include "program/reference.h"

namespace godwit::program {
namespace {

template <typename Real>
void embedding_backward_reference(const Memory& memory) {
  const std::int32_t* ids = memory.i32("ids");
  const Real* dy = real_in<Real>(memory, "dy");
  const std::int32_t* samples = memory.i32("samples");
  Real* dtable = real_out<Real>(memory, "dtable");
  const std::int64_t sample_count = memory.in("samples").shape.count() - 1;
  const std::int64_t width = memory.in("dy").shape.width();
  for (std::int64_t id = 0; id < memory.integer("vocabulary"); ++id) {
    std::vector<std::vector<std::int64_t>> rows_of_sample(static_cast<std::size_t>(sample_count));
    for (std::int64_t s = 0; s < sample_count; ++s) {
      for (std::int64_t t = samples[s]; t < samples[s + 1]; ++t) {
        if (ids[t] == id) rows_of_sample[static_cast<std::size_t>(s)].push_back(t);
      }
    }
    for (std::int64_t c = 0; c < width; ++c) {
      auto tree = sum_tree<Real>();
      for (const auto& rows : rows_of_sample) {
        const auto count = static_cast<std::int64_t>(rows.size());
        tree.push(sum<Real>(count, [&](std::int64_t rank) { return dy[rows[static_cast<std::size_t>(rank)] * width + c]; }));
      }
      dtable[id * width + c] = finish<Real>(tree);
    }
  }
}

}  // namespace

extern const Op embedding_backward;
const Op embedding_backward{
    .name = "embedding_backward",
    .inputs = {"ids", "dy", "samples"},
    .outputs = {"dtable"},
    .attributes = {"vocabulary"},
    .shapes =
        [](Shapes& s) {
          s.require(s.in("ids").dtype == Dtype::i32 && s.in("ids").shape.rank() == 1, "ids is [N], i32");
          s.require(s.in("dy").dtype == Dtype::f32 && s.in("dy").shape.rank() == 2, "dy is [N,d], f32");
          s.require(s.in("dy").shape[0] == s.in("ids").shape[0], "dy has a row for each id");
          s.require(is_samples(s.in("samples")), "samples is [S+1], i32");
          s.set("dtable", Dtype::f32, {s.integer("vocabulary"), s.in("dy").shape.width()});
        },
    .cost = [](const Instance& i) { return Cost{.flops = static_cast<double>(i.in("dy").shape.count()), .bytes = traffic(i)}; },
    .reference = embedding_backward_reference<float>,
    .reference64 = embedding_backward_reference<double>,
    .fill =
        [](Fill& f) {
          f.integers("ids", -1, static_cast<std::int32_t>(f.integer("vocabulary")));
          f.reals("dy");
          f.samples("samples", f.in("ids").shape.count());
        },
    .examples =
        [] {
          struct Case {
            std::int64_t vocabulary, width, rows, samples;
          };
          std::vector<Example> examples;
          // The last two: one id has more rows in a sample than a segment is long.
          for (const Case c : {Case{1, 1, 1, 1}, Case{5, 3, 7, 3}, Case{64, 65, 33, 2}, Case{259, 16, 130, 5}, Case{3, 7, 40, 0},
                               Case{1, 3, 1100, 1}, Case{2, 5, 4096, 4}}) {
            examples.push_back(
                {{i32_type({c.rows}), f32_type({c.rows, c.width}), i32_type({c.samples + 1})}, {{"vocabulary", c.vocabulary}}});
          }
          return examples;
        },
};

}  // namespace godwit::program
