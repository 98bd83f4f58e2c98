#include "kernel.h"

namespace godwit::opencl {
namespace {

constexpr const char* text = R"CL(
inline int labelled(int label, long vocabulary) {
  return label >= 0 && label < vocabulary;
}

kernel void logprobs(__global const float* logits, __global const float* lse, __global const int* labels, __global float* logprob, long rows,
                     long vocabulary) {
  const long t = get_global_id(0);
  if (t < rows) logprob[t] = labelled(labels[t], vocabulary) ? logits[t * vocabulary + labels[t]] - lse[t] : 0.0f;
}

kernel void loss(__global const float* logprob, __global const int* labels, __global const float* weights, __global const int* samples,
                 __global float* loss_of, long vocabulary, int sample_count) {
  float total;
  TOKENS(total, samples, sample_count, first, rows, sum,
         CHAINS(sum, rows, i, chain,
                chain = fma(labelled(labels[first + i], vocabulary) ? weights[first + i] : 0.0f, -logprob[first + i], chain)))
  loss_of[0] = total;
}
)CL";

void plan_cross_entropy(const Call& call, Plan& plan) {
  plan.name("rows");
  const std::int64_t rows = call.in[2].count(), vocabulary = call.in[0].width();
  const auto samples = static_cast<std::int32_t>(call.in[4].count() - 1);
  plan.launch(text, "logprobs", {Plan::in(0), Plan::in(1), Plan::in(2), Plan::out(0), rows, vocabulary}, plan.elements(rows));
  plan.launch(text, "loss", {Plan::out(0), Plan::in(2), Plan::in(3), Plan::in(4), Plan::out(1), vocabulary, samples}, Plan::items(1));
}

}  // namespace

extern const Kernel cross_entropy;
const Kernel cross_entropy{"cross_entropy", plan_cross_entropy};

}  // namespace godwit::opencl
