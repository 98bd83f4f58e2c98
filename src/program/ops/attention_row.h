// Attention of one query over keys 0 … count−1: the rule shared by attention and its decode forms, so that a row's bits do not depend on
// which of them computed it.
#pragma once

#include <algorithm>
#include <cstdint>
#include <limits>
#include <vector>

#include "program/reference.h"

namespace godwit::program {

// One segment of keys, or several joined: the largest score, the sum of exp(score − m), and the values' sums weighted by it.
template <typename Real>
struct AttentionNode {
  Real m = 0;
  Real l = 0;
  std::vector<Real> o;
};

// `query(i)` and `key(j, i)` for i < key_width, `value(j, c)` for c < value_width. Returns the root with l finished and o = o / l.
template <typename Real, typename Query, typename Key, typename Value>
AttentionNode<Real> attend(bool bf16, std::int64_t count, std::int64_t key_width, std::int64_t value_width, Real scale, Query query,
                           Key key, Value value) {
  using Node = AttentionNode<Real>;
  auto join = [](const Node& first, const Node& second) {
    Node node{.m = max_of(first.m, second.m), .l = 0, .o = first.o};
    const Real a1 = math::exp(first.m - node.m);
    const Real a2 = math::exp(second.m - node.m);
    node.l = fma_of<Real>(first.l, a1, second.l * a2);
    for (std::size_t c = 0; c < node.o.size(); ++c) node.o[c] = fma_of<Real>(first.o[c], a1, second.o[c] * a2);
    return node;
  };
  Tree<Node, decltype(join)> tree(join);
  std::vector<Real> p(segment_length);
  for (std::int64_t begin = 0; begin < count; begin += segment_length) {
    const std::int64_t end = std::min(count, begin + segment_length);
    const auto p_of = [&](std::int64_t j) -> Real& { return p[static_cast<std::size_t>(j - begin)]; };
    Node node{.m = -std::numeric_limits<Real>::infinity(), .l = 0, .o = {}};
    for (std::int64_t j = begin; j < end; ++j) {
      p_of(j) = dot<Real>(bf16, key_width, query, [&](std::int64_t i) { return key(j, i); }) * scale;
      node.m = max_of(node.m, p_of(j));
    }
    for (std::int64_t j = begin; j < end; ++j) p_of(j) = math::exp(p_of(j) - node.m);
    node.l = row_segment<Real>(begin, end, [&](Real lane, std::int64_t j) { return lane + p_of(j); });
    for (std::int64_t c = 0; c < value_width; ++c) {
      node.o.push_back(dot_chain<Real>(
          bf16, begin, end, [&](std::int64_t j) { return rounded(p_of(j), bf16); }, [&](std::int64_t j) { return value(j, c); }));
    }
    tree.push(node);
  }
  Node root = tree.root();
  root.l = root.l + Real(0);
  for (Real& o : root.o) o = (o + Real(0)) / root.l;
  return root;
}

}  // namespace godwit::program
