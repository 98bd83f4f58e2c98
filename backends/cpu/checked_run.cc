#include "checked_run.h"

#include <algorithm>
#include <array>
#include <atomic>
#include <bit>
#include <cmath>
#include <cstring>
#include <limits>
#include <utility>

#include "workspace.h"

namespace godwit::cpu {

namespace {

constexpr std::int64_t block_bytes = 48 << 10;  // of inputs, outputs and a second copy of these
constexpr std::int64_t chunk_bytes = 8 << 10;   // of a result that is not made by blocks
constexpr std::size_t inputs_most = 16;
constexpr std::size_t outputs_most = 8;

std::int64_t bytes_of(const View& view) {
  return view.count() * (view.bf16() ? 2 : 4);
}
std::int64_t row_bytes(const View& view) {  // of the first axis
  return view.shape[0] == 0 ? 0 : bytes_of(view) / view.shape[0];
}
View rows_of(View view, std::int64_t first, std::int64_t count) {
  if (view.data != nullptr) view.data = view.as<std::byte>() + first * row_bytes(view);
  view.shape[0] = count;
  return view;
}

bool by_rows(const Step& step, const Call& call) {
  return step.kernel->by_rows != 0 && call.out[0].rank > 0 && call.out[0].count() > 0 && call.in.size() <= inputs_most;
}
bool goes_by_rows(const Kernel& kernel, std::size_t input) {
  return (kernel.by_rows >> input & 1) != 0;
}

// Rows of a block: a power of two, so that blocks of one op hold whole chunks of another's.
std::int64_t rows_per_block(const Step& step, const Call& call) {
  std::int64_t row = 0;
  for (std::size_t i = 0; i < call.in.size(); ++i) row += goes_by_rows(*step.kernel, i) ? row_bytes(call.in[i]) : 0;
  for (const View& out : call.out) row += 2 * row_bytes(out);
  const auto fit = static_cast<std::uint64_t>(std::max<std::int64_t>(block_bytes / std::max<std::int64_t>(row, 1), 1));
  return static_cast<std::int64_t>(std::bit_floor(fit));
}
std::int64_t rows_per_chunk(const View& view) {
  const auto fit = static_cast<std::uint64_t>(std::max<std::int64_t>(chunk_bytes / std::max<std::int64_t>(row_bytes(view), 1), 1));
  return static_cast<std::int64_t>(std::bit_floor(fit));
}

// What is kept beside the results of `rows` rows (of all: -1): a second copy of every output, or, for a kernel that agrees with its inputs, a
// copy of those inputs that a result may take the place of; and what the kernel itself needs.
struct Beside {
  Beside(Carve& carve, const Kernel& kernel, const Call& call, std::int64_t rows, std::int64_t kernel_bytes) {
    const auto copies = [&](const auto& views, const auto& of) {
      for (std::size_t i = 0; i < views.size(); ++i) {
        if (of(i)) copy[i] = carve.take<std::byte>(rows < 0 ? bytes_of(views[i]) : rows * row_bytes(views[i]));
      }
    };
    if (rows >= 0 && kernel.agrees != nullptr) {
      copies(call.in, [&](std::size_t i) { return goes_by_rows(kernel, i); });
    } else {
      copies(call.out, [](std::size_t) { return true; });
    }
    workspace = carve.take<std::byte>(kernel_bytes);
  }
  std::array<std::byte*, inputs_most> copy{};
  std::byte* workspace = nullptr;
};
static_assert(outputs_most <= inputs_most);

std::int64_t kernel_workspace(const Step& step, const Call& call) {
  return step.kernel->workspace == nullptr ? 0 : step.kernel->workspace(call);
}

// ---- Spoiling on purpose ----

// Up to so much of a block is spoilt as one tile.
constexpr std::int64_t tile_rows = 16;
constexpr std::int64_t tile_columns = 64;

// Where in `rows` of a result a strike falls, and what was there before they were written.
struct Blow {
  View view;  // of the block
  std::int64_t first_row = 0;
  std::int64_t row = 0, column = 0;  // of the tile, in the block
  int rows = 0, columns = 0;
  int at_row = 0, at_column = 0;  // in the tile
  std::vector<float> before;

  Blow(const View& block, std::int64_t first, Chance& chance) : view(block), first_row(first) {
    const std::int64_t width = view.width();
    row = chance.below(pieces_of(view.rows(), tile_rows)) * tile_rows;
    column = chance.below(pieces_of(width, tile_columns)) * tile_columns;
    rows = static_cast<int>(std::min(tile_rows, view.rows() - row));
    columns = static_cast<int>(std::min(tile_columns, width - column));
    at_row = static_cast<int>(chance.below(rows));
    at_column = static_cast<int>(chance.below(columns));
    before = read();
  }
  [[nodiscard]] static std::int64_t pieces_of(std::int64_t count, std::int64_t each) { return (count + each - 1) / each; }
  [[nodiscard]] float at(std::int64_t i, std::int64_t j) const {
    const std::int64_t place = i * view.width() + j;
    return view.bf16() ? std::bit_cast<float>(static_cast<std::uint32_t>(view.u16()[place]) << 16) : view.f32()[place];
  }
  [[nodiscard]] std::vector<float> read() const {
    std::vector<float> tile;
    for (int i = 0; i < rows; ++i) {
      for (int j = 0; j < columns; ++j) tile.push_back(at(row + i, column + j));
    }
    return tile;
  }

  void fall(const Strike& strike) const {
    std::vector<float> tile = read();
    const std::vector<float> whole = tile;
    const Tile sums{tile.data(), columns, rows, columns};
    if (!spoil_tile(sums, strike, at_row, at_column, nullptr, before.data(), nullptr)) return;
    if (view.bf16()) {  // a spoilt bit below its precision spoils nothing
      for (float& x : tile) x = std::bit_cast<float>(std::bit_cast<std::uint32_t>(x) & 0xFFFF0000u);
    }
    const auto rms = [&](std::int64_t i) {
      double square = 0;
      for (std::int64_t j = 0; j < view.width(); ++j) square += static_cast<double>(at(i - first_row, j)) * static_cast<double>(at(i - first_row, j));
      return std::sqrt(square / static_cast<double>(view.width()));
    };
    tell_strike(strike, sums, whole, first_row + row, column, rms);
    for (int i = 0; i < rows; ++i) {
      for (int j = 0; j < columns; ++j) {
        const std::int64_t place = (row + i) * view.width() + column + j;
        const float x = tile[static_cast<std::size_t>(i * columns + j)];
        if (view.bf16()) {
          view.u16()[place] = static_cast<std::uint16_t>(std::bit_cast<std::uint32_t>(x) >> 16);
        } else {
          view.f32()[place] = x;
        }
      }
    }
  }
};

// Which output a strike is for: the first that holds numbers. -1: none.
int struck_output(const Call& call, const Strike* strike) {
  if (strike == nullptr) return -1;
  for (std::size_t i = 0; i < call.out.size(); ++i) {
    if (call.out[i].dtype != GODWIT_I32 && call.out[i].count() > 0) return static_cast<int>(i);
  }
  return -1;
}

// ---- Twice ----

// Tells the first row of `count` that differs from the second copy, if any does.
void compare(const View& made, const std::byte* second, int output, std::int64_t first_row, const Inspection& inspection) {
  const std::int64_t bytes = bytes_of(made);
  if (std::memcmp(made.data, second, static_cast<std::size_t>(bytes)) == 0) return;
  const std::int64_t row = std::max<std::int64_t>(made.width() * (made.bf16() ? 2 : 4), 1);
  for (std::int64_t at = 0; at < bytes; at += row) {
    const auto size = static_cast<std::size_t>(std::min(row, bytes - at));
    if (std::memcmp(made.as<std::byte>() + at, second + at, size) == 0) continue;
    inspection.doubt(output, first_row + at / row, std::numeric_limits<double>::infinity(), 0);
    return;
  }
}

class CheckedRun {
 public:
  CheckedRun(const Step& step, Call& call, const Inspection& inspection, const Checking& checking)
      : step_(step), call_(call), inspection_(inspection), pool_(checking.pool), alone_(checking.alone), carried_(checking.carried) {}

  void run() {
    if (by_rows(step_, call_)) {
      run_by_rows();
    } else {
      look_at_inputs(0);
      step_.kernel->proof == Kernel::Proof::twice ? run_whole() : step_.kernel->run(call_);
      if (step_.kernel->proof == Kernel::Proof::none) return;
      describe_outputs([](const View& view) { return rows_per_chunk(view); });
      for (Carried& result : results_) {
        if (result.bytes > 0) carried_.take(result, pool_);
      }
    }
    // Now, not before: a result may lie where an input did.
    for (Carried& result : results_) {
      if (result.bytes > 0) carried_.place(std::move(result));
    }
  }

 private:
  // Inputs that are used for the last time: looked at now, all but those whose chunks lie in blocks of `rows`, which are left for later.
  void look_at_inputs(std::int64_t rows) {
    for (std::size_t i = 0; i < step_.last_use.size(); ++i) {
      if (!step_.last_use[i]) continue;
      const View& view = call_.in[i];
      const Carried* carried = carried_.find(view.data, bytes_of(view));
      if (carried == nullptr) continue;
      if (rows > 0 && goes_by_rows(*step_.kernel, i) && rows * row_bytes(view) % carried->chunk == 0) {
        later_[i] = carried;
        continue;
      }
      carried_.look(*carried, pool_, [&](std::int64_t row) { doubt_input(i, row); });
    }
  }
  void doubt_input(std::size_t input, std::int64_t row) const {
    godwit_finding found{};
    found.struct_size = sizeof found;
    found.op = inspection_.op;
    found.tensor = step_.tensors[input];
    found.row = row;
    found.difference = std::numeric_limits<double>::infinity();
    found.prepared = inspection_.program;
    inspection_.findings->add(found);
  }
  template <typename Rows>
  void describe_outputs(const Rows& rows) {
    for (std::size_t i = 0; i < call_.out.size(); ++i) {
      const View& view = call_.out[i];
      const std::int64_t axis = view.rank == 0 ? bytes_of(view) : row_bytes(view);
      Carried& result = results_[i];
      result.data = view.as<std::byte>();
      result.bytes = bytes_of(view);
      result.chunk = std::max<std::int64_t>(rows(view) * axis, 1);
      result.row = std::max<std::int64_t>(view.width() * (view.bf16() ? 2 : 4), 1);
      result.made = {sizeof(godwit_finding), inspection_.op, inspection_.tensors[i], -1, 0, 0, inspection_.program};
      result.for_host = step_.for_host[i];
      result.sums.resize(static_cast<std::size_t>((result.bytes + result.chunk - 1) / result.chunk));
    }
  }

  void run_by_rows() {
    const std::int64_t rows = call_.out[0].shape[0];
    const std::int64_t block = rows_per_block(step_, call_);
    const std::int64_t blocks = (rows + block - 1) / block;
    look_at_inputs(block);
    describe_outputs([&](const View&) { return block; });
    Call alone = call_;
    alone.pool = &alone_;
    alone.inspection = nullptr;
    const std::int64_t kernel_bytes = kernel_workspace(step_, alone);
    Carve one(nullptr);
    (void)Beside(one, *step_.kernel, call_, block, kernel_bytes);
    const std::int64_t apart = one.used();
    const int output = struck_output(call_, inspection_.strike);
    Chance chance = output < 0 ? Chance() : inspection_.strike->chance;
    const std::int64_t struck = output < 0 ? -1 : chance.below(blocks);
    const bool agrees = step_.kernel->agrees != nullptr;
    const std::size_t inputs = call_.in.size();
    const std::size_t outputs = call_.out.size();
    pool_.ranges(blocks, 2, [&](std::int64_t begin, std::int64_t end, int thread) {
      Carve carve(call_.workspace + thread * apart);
      const Beside beside(carve, *step_.kernel, call_, block, kernel_bytes);
      std::array<View, inputs_most> in;
      std::array<View, outputs_most> made;
      std::array<View, outputs_most> again;
      std::copy(call_.in.begin(), call_.in.end(), in.begin());
      Call part = alone;
      part.workspace = beside.workspace;
      part.in = std::span(in).first(inputs);
      for (std::int64_t i = begin; i < end; ++i) {
        const std::int64_t first = i * block;
        const std::int64_t count = std::min(block, rows - first);
        for (std::size_t k = 0; k < inputs; ++k) {
          if (goes_by_rows(*step_.kernel, k)) in[k] = rows_of(call_.in[k], first, count);
          if (later_[k] != nullptr) look_at_rows(k, first, count);
          if (!agrees || !overwritten(k)) continue;
          std::memcpy(beside.copy[k], in[k].data, static_cast<std::size_t>(bytes_of(in[k])));
          in[k].data = beside.copy[k];
        }
        for (std::size_t k = 0; k < outputs; ++k) {
          made[k] = again[k] = rows_of(call_.out[k], first, count);
          if (!agrees) again[k].data = beside.copy[k];
        }
        if (!agrees) {
          // The copy first: where a result takes an input's place it must still be there.
          part.out = std::span(again).first(outputs);
          step_.kernel->run(part);
        }
        part.out = std::span(made).first(outputs);
        if (i == struck) {
          const View& view = made[static_cast<std::size_t>(output)];
          const Blow blow(view, first * (view.rows() / count), chance);
          step_.kernel->run(part);
          blow.fall(*inspection_.strike);
        } else {
          step_.kernel->run(part);
        }
        if (agrees) {
          const Disagreement found = step_.kernel->agrees(part);
          const auto row = first * (made[static_cast<std::size_t>(found.output)].rows() / count) + found.row;
          if (found.row >= 0) inspection_.doubt(found.output, row, found.difference, found.bound);
        }
        for (std::size_t k = 0; k < outputs; ++k) {
          if (!agrees) compare(made[k], beside.copy[k], static_cast<int>(k), first * (made[k].rows() / count), inspection_);
          Carried& result = results_[k];
          if (result.bytes > 0) result.sums[static_cast<std::size_t>(i)] = result.sum_of(i, carried_.sum());
        }
      }
    });
    count_outputs();
  }
  // Whether a result takes an input's place.
  [[nodiscard]] bool overwritten(std::size_t input) const {
    const auto begins = [](const View& view) { return view.as<std::byte>(); };
    const View& in = call_.in[input];
    return std::ranges::any_of(call_.out, [&](const View& out) {
      return begins(in) < begins(out) + bytes_of(out) && begins(out) < begins(in) + bytes_of(in);
    });
  }
  void look_at_rows(std::size_t input, std::int64_t first, std::int64_t count) const {
    const Carried& carried = *later_[input];
    const std::int64_t row = row_bytes(call_.in[input]);
    const std::int64_t end = (first + count) * row;
    for (std::int64_t i = first * row / carried.chunk; i * carried.chunk < end; ++i) {
      if (carried.sum_of(i, carried_.sum()) != carried.sums[static_cast<std::size_t>(i)]) doubt_input(input, i * carried.chunk / carried.row);
    }
  }

  void run_whole() {
    Carve carve(call_.workspace);
    const Beside beside(carve, *step_.kernel, call_, -1, kernel_workspace(step_, call_));
    std::array<View, outputs_most> again;
    for (std::size_t k = 0; k < call_.out.size(); ++k) {
      again[k] = call_.out[k];
      again[k].data = beside.copy[k];
    }
    Call part = call_;
    part.workspace = beside.workspace;
    part.inspection = nullptr;
    part.out = std::span(again).first(call_.out.size());
    step_.kernel->run(part);
    part.out = call_.out;
    if (const int output = struck_output(call_, inspection_.strike); output >= 0) {
      Chance chance = inspection_.strike->chance;
      const Blow blow(call_.out[static_cast<std::size_t>(output)], 0, chance);
      step_.kernel->run(part);
      blow.fall(*inspection_.strike);
    } else {
      step_.kernel->run(part);
    }
    for (std::size_t k = 0; k < call_.out.size(); ++k) {
      const std::int64_t bytes = bytes_of(call_.out[k]);
      std::atomic<bool> same{true};
      pool_.ranges((bytes + chunk_bytes - 1) / chunk_bytes, 4, [&](std::int64_t begin, std::int64_t end, int) {
        const std::int64_t from = begin * chunk_bytes;
        const auto size = static_cast<std::size_t>(std::min(end * chunk_bytes, bytes) - from);
        if (std::memcmp(call_.out[k].as<std::byte>() + from, beside.copy[k] + from, size) != 0) same.store(false);
      });
      if (!same.load()) compare(call_.out[k], beside.copy[k], static_cast<int>(k), 0, inspection_);
    }
    count_outputs();
  }
  void count_outputs() const {
    for (std::size_t k = 0; k < call_.out.size(); ++k) inspection_.count(static_cast<int>(k));
  }

  const Step& step_;
  Call& call_;
  const Inspection& inspection_;
  Pool& pool_;
  Pool& alone_;
  CarriedSums& carried_;
  std::array<const Carried*, inputs_most> later_{};  // inputs that are looked at block by block
  std::array<Carried, outputs_most> results_{};
};

}  // namespace

std::int64_t checked_workspace(const Step& step, Pool& pool, Pool& alone) {
  Call call = step.call(pool, nullptr);
  if (step.kernel->proof != Kernel::Proof::twice) return kernel_workspace(step, call);
  Carve carve(nullptr);
  if (!by_rows(step, call)) {
    (void)Beside(carve, *step.kernel, call, -1, kernel_workspace(step, call));
    return carve.used();
  }
  call.pool = &alone;
  (void)Beside(carve, *step.kernel, call, rows_per_block(step, call), kernel_workspace(step, call));
  return carve.used() * pool.threads();
}

void run_checked(const Step& step, Call& call, const Inspection& inspection, const Checking& checking) {
  if (inspection.verify) return CheckedRun(step, call, inspection, checking).run();
  const int output = step.kernel->proof != Kernel::Proof::twice ? -1 : struck_output(call, inspection.strike);
  if (output < 0) return step.kernel->run(call);
  Chance chance = inspection.strike->chance;
  const Blow blow(call.out[static_cast<std::size_t>(output)], 0, chance);
  step.kernel->run(call);
  blow.fall(*inspection.strike);
}

}  // namespace godwit::cpu
