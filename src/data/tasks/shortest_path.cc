// A shortest path in a graph.      path a to f in ab,cb,fc,ad,df:  →  adf
//
// Edges go both ways. Any path of the least length is right; a path that arrives but is longer scores 0.1.

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <numeric>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "data/draw.h"
#include "data/task.h"

namespace godwit::data {
namespace {

constexpr std::size_t nodes_max = 26;
constexpr double longer_path = 0.1;

class Graph {
 public:
  bool has(std::size_t a, std::size_t b) const { return edges_[a][b]; }
  void add(std::size_t a, std::size_t b) { edges_[a][b] = edges_[b][a] = true; }

  // The first shortest path, in the order of the nodes; empty if there is none.
  std::vector<std::size_t> path(std::size_t from, std::size_t to) const {
    std::array<std::size_t, nodes_max> before;
    before.fill(nodes_max);
    before[from] = from;
    std::vector<std::size_t> reached{from};
    for (std::size_t i = 0; i < reached.size(); ++i) {
      for (std::size_t node = 0; node < nodes_max; ++node) {
        if (!has(reached[i], node) || before[node] != nodes_max) continue;
        before[node] = reached[i];
        reached.push_back(node);
      }
    }
    if (before[to] == nodes_max) return {};
    std::vector<std::size_t> path{to};
    while (path.front() != from) path.insert(path.begin(), before[path.front()]);
    return path;
  }

 private:
  std::array<std::array<bool, nodes_max>, nodes_max> edges_{};
};

char letter(std::size_t node) {
  return static_cast<char>('a' + node);
}

std::string written(const std::vector<std::size_t>& path) {
  std::string text;
  for (const std::size_t node : path) text += letter(node);
  return text;
}

Problem make(const TaskOptions& options, RandomSequence& random) {
  const auto nodes = static_cast<std::size_t>(options.integer("nodes"));
  const auto edge_count = static_cast<std::size_t>(options.integer("edges"));
  // A tree makes it one piece; then any edges that are not there yet.
  std::vector<std::size_t> order(nodes);
  std::iota(order.begin(), order.end(), std::size_t{0});
  shuffle(random, order);
  Graph graph;
  std::vector<std::pair<std::size_t, std::size_t>> edges, others;
  const auto add = [&](std::size_t a, std::size_t b) {
    graph.add(a, b);
    edges.emplace_back(a, b);
  };
  for (std::size_t i = 1; i < nodes; ++i) add(order[i], order[random.below(i)]);
  for (std::size_t a = 0; a < nodes; ++a) {
    for (std::size_t b = a + 1; b < nodes; ++b) {
      if (!graph.has(a, b)) others.emplace_back(a, b);
    }
  }
  shuffle(random, others);
  for (std::size_t i = 0; edges.size() < edge_count; ++i) add(others[i].first, others[i].second);
  shuffle(random, edges);
  const std::size_t from = random.below(nodes);
  const std::size_t to = (from + 1 + random.below(nodes - 1)) % nodes;
  Problem problem;
  problem.prompt = fmt::format("path {} to {} in ", letter(from), letter(to));
  for (const auto& [a, b] : edges) {
    const bool turned = random.below(2) == 1;
    problem.prompt += {letter(turned ? b : a), letter(turned ? a : b), ','};
  }
  problem.prompt.back() = ':';
  problem.truth = written(graph.path(from, to));
  return problem;
}

// The nodes of "adf", "a-d-f", "a, d, f" or "a > d > f"; nothing if anything else is there.
std::optional<std::vector<std::size_t>> nodes_in(std::string_view text) {
  std::vector<std::size_t> nodes;
  for (const char c : text) {
    if (std::string_view(" \t\r\n,->").find(c) != std::string_view::npos) continue;
    if (c < 'a' || c > 'z') return std::nullopt;
    nodes.push_back(static_cast<std::size_t>(c - 'a'));
  }
  return nodes;
}

double score(const Problem& problem, std::string_view answer) {
  constexpr std::size_t from = 5, to = 10, edges = 15;  // places in "path a to f in ab,"
  if (problem.prompt.size() < edges) return 0;
  Graph graph;
  for (std::size_t at = edges; at + 1 < problem.prompt.size(); at += 3) {
    graph.add(static_cast<std::size_t>(problem.prompt[at] - 'a'), static_cast<std::size_t>(problem.prompt[at + 1] - 'a'));
  }
  const auto path = nodes_in(answer);
  const bool right_ends =
      path && !path->empty() && letter(path->front()) == problem.prompt[from] && letter(path->back()) == problem.prompt[to];
  if (!right_ends) return 0;
  for (std::size_t i = 1; i < path->size(); ++i) {
    if (!graph.has((*path)[i - 1], (*path)[i])) return 0;
  }
  return path->size() == graph.path(path->front(), path->back()).size() ? 1 : longer_path;
}

}  // namespace

extern const Task shortest_path;
const Task shortest_path{
    .name = "shortest_path",
    .summary = "A shortest path between two nodes of a graph; any of them.",
    .options = {{.name = "nodes", .fallback = 6, .minimum = 2, .maximum = nodes_max, .meaning = "Nodes, named by letters."},
                {.name = "edges", .fallback = 8, .minimum = 1, .maximum = 325, .meaning = "Edges between them."}},
    .has_chain = false,
    .check = [](const TaskOptions& options) -> Result<void> {
      const std::int64_t nodes = options.integer("nodes"), edges = options.integer("edges");
      if (edges >= nodes - 1 && edges <= nodes * (nodes - 1) / 2) return {};
      return input_error("option edges = {}: {} nodes in one piece have from {} to {} edges", edges, nodes, nodes - 1,
                         nodes * (nodes - 1) / 2);
    },
    .make = make,
    .longest =
        [](const TaskOptions& options) {
          return ProblemBytes{.prompt = 15 + 3 * options.integer("edges"), .chain = 0, .truth = options.integer("nodes")};
        },
    .score = score,
};

}  // namespace godwit::data
