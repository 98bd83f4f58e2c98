#include "kernel.h"

namespace godwit::opencl {
namespace {

constexpr const char* text = R"CL(
kernel void clear_heads(__global int* head, long count) {
  const long i = get_global_id(0);
  if (i < count) head[i] = -1;
}

// A list of its rows, ascending, for each id.
kernel void link_rows(__global const int* ids, __global const int* samples, __global int* head, __global int* next, int sample_count,
                      int vocabulary) {
  for (int t = samples[sample_count] - 1; t >= samples[0]; --t) {
    const int id = ids[t];
    if (id < 0 || id >= vocabulary) continue;
    next[t] = head[id];
    head[id] = t;
  }
}

kernel void embedding_backward(__global const float* dy, __global const int* samples, __global const int* head, __global const int* next,
                               __global float* dtable, long count, long width, int sample_count) {
  const long at = get_global_id(0);
  if (at >= count) return;
  const long c = at % width;
  int t = head[at / width];
  if (t < 0) {
    dtable[at] = 0.0f;
    return;
  }
  tree_of_floats over_samples;
  tree_clear(&over_samples);
  for (int s = 0; s < sample_count; ++s) {
    tree_of_floats over_segments;
    tree_clear(&over_segments);
    float chain = 0.0f;
    int rank = 0;
    for (; t >= 0 && t < samples[s + 1]; t = next[t]) {
      chain = chain + dy[t * width + c];
      if (++rank < SEGMENT) continue;
      tree_push(&over_segments, chain);
      chain = 0.0f;
      rank = 0;
    }
    if (rank > 0) tree_push(&over_segments, chain);
    tree_push(&over_samples, tree_finish(&over_segments));
  }
  dtable[at] = tree_finish(&over_samples);
}
)CL";

void plan_embedding_backward(const Call& call, Plan& plan) {
  plan.name("elements");
  const std::int64_t vocabulary = call.integer("vocabulary"), count = call.out[0].count();
  const auto samples = static_cast<std::int32_t>(call.in[2].count() - 1);
  const Argument head = plan.scratch(vocabulary * 4), next = plan.scratch(call.in[0].count() * 4);
  plan.launch(text, "clear_heads", {head, vocabulary}, plan.elements(vocabulary));
  plan.launch(text, "link_rows", {Plan::in(0), Plan::in(2), head, next, samples, static_cast<std::int32_t>(vocabulary)}, Plan::items(1));
  plan.launch(text, "embedding_backward", {Plan::in(1), Plan::in(2), head, next, Plan::out(0), count, call.in[1].width(), samples},
              plan.elements(count));
}

}  // namespace

extern const Kernel embedding_backward;
const Kernel embedding_backward{"embedding_backward", plan_embedding_backward};

}  // namespace godwit::opencl
