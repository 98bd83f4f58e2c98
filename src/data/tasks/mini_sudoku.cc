// A sudoku of 4 × 4: each row, column and quarter has 1, 2, 3 and 4.      sudoku 1.34/3..2/2.4./.321:  →  1234/3412/2143/4321
//
// Any completion that keeps the digits given is right.

#include <array>
#include <numeric>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "data/draw.h"
#include "data/task.h"

namespace godwit::data {
namespace {

using Grid = std::array<char, 16>;  // '.' is empty

bool fits(const Grid& grid, std::size_t cell, char digit) {
  for (std::size_t other = 0; other < 16; ++other) {
    const bool row = other / 4 == cell / 4, column = other % 4 == cell % 4;
    const bool quarter = other / 8 == cell / 8 && other % 4 / 2 == cell % 4 / 2;
    if (other != cell && (row || column || quarter) && grid[other] == digit) return false;
  }
  return true;
}

// Fills the cells from `cell` on, trying digits in a random order; every full grid can come of it.
bool fill(Grid& grid, std::size_t cell, RandomSequence& random) {
  if (cell == 16) return true;
  std::vector<char> digits{'1', '2', '3', '4'};
  shuffle(random, digits);
  for (const char digit : digits) {
    if (!fits(grid, cell, digit)) continue;
    grid[cell] = digit;
    if (fill(grid, cell + 1, random)) return true;
    grid[cell] = '.';
  }
  return false;
}

std::string written(const Grid& grid) {
  std::string text;
  for (std::size_t cell = 0; cell < 16; ++cell) {
    if (cell > 0 && cell % 4 == 0) text += '/';
    text += grid[cell];
  }
  return text;
}

Problem make(const TaskOptions& options, RandomSequence& random) {
  Grid grid;
  grid.fill('.');
  CHECK(fill(grid, 0, random), "an empty sudoku has no completion");
  Problem problem;
  problem.truth = written(grid);
  std::vector<std::size_t> cells(16);
  std::iota(cells.begin(), cells.end(), std::size_t{0});
  shuffle(random, cells);
  cells.resize(static_cast<std::size_t>(options.integer("empty")));
  for (const std::size_t cell : cells) grid[cell] = '.';
  problem.prompt = "sudoku " + written(grid) + ":";
  return problem;
}

// The cells of a text that has 16 of them; white space and slashes may stand between.
std::optional<Grid> grid_in(std::string_view text) {
  Grid grid{};
  std::size_t count = 0;
  for (const char c : text) {
    if (c == ' ' || c == '/' || c == '\n' || c == '\r' || c == '\t') continue;
    if (count == 16 || (c != '.' && (c < '1' || c > '4'))) return std::nullopt;
    grid[count++] = c;
  }
  return count == 16 ? std::optional(grid) : std::nullopt;
}

double score(const Problem& problem, std::string_view answer) {
  constexpr std::size_t prefix = std::string_view("sudoku ").size();
  const auto given = grid_in(std::string_view(problem.prompt).substr(prefix, problem.prompt.size() - prefix - 1));
  const auto grid = grid_in(answer);
  if (!given || !grid) return 0;
  for (std::size_t cell = 0; cell < 16; ++cell) {
    const char digit = (*grid)[cell];
    if (digit == '.' || !fits(*grid, cell, digit) || ((*given)[cell] != '.' && (*given)[cell] != digit)) return 0;
  }
  return 1;
}

}  // namespace

extern const Task mini_sudoku;
const Task mini_sudoku{
    .name = "mini_sudoku",
    .summary = "A sudoku of 4 x 4; any right completion.",
    .options = {{.name = "empty", .fallback = 8, .minimum = 1, .maximum = 16, .meaning = "Empty cells."}},
    .has_chain = false,
    .make = make,
    .longest = [](const TaskOptions&) { return ProblemBytes{.prompt = 27, .chain = 0, .truth = 19}; },
    .score = score,
};

}  // namespace godwit::data
