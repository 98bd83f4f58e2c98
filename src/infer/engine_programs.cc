#include "infer/engine_programs.h"

#include <algorithm>
#include <bit>

#include "infer/memory.h"

namespace godwit::infer {

namespace {

using program::Program;
using program::Role;
using program::Tensor;
using program::TensorId;

std::int64_t power_of_two(std::size_t count) {
  return static_cast<std::int64_t>(std::bit_ceil(std::max<std::size_t>(count, 1)));
}

bool is_cache(const Tensor& tensor) {
  return tensor.role == Role::state && tensor.name.starts_with("cache.");
}

Result<void> write(device::Executable& executable, const char* name, std::span<const std::int32_t> values) {
  return executable.write(executable.program().find(name), values);
}

}  // namespace

std::int64_t EnginePrograms::page_bytes(const model::Model& model, const model::Serving& serving, bool guesses) {
  model::Serving one = serving;
  one.rows = one.pages = 1;
  std::int64_t bytes = 0;
  const auto add = [&](const Program& program) {
    for (const Tensor& tensor : program.tensors) bytes += is_cache(tensor) ? tensor.type.bytes() : 0;
  };
  add(model.serving(one));
  if (guesses) add(model.guessing(one, 1));
  return bytes;
}

Result<std::unique_ptr<EnginePrograms>> EnginePrograms::create(device::Device& device, const model::Model& model, const Weights& weights,
                                                               const model::Serving& serving, bool guesses) {
  std::unique_ptr<EnginePrograms> made(new EnginePrograms(device, model, weights, serving, guesses));
  made->serving_.rows = power_of_two(static_cast<std::size_t>(serving.rows));
  // 128 rows of any width end where a tensor may begin.
  made->hidden_rows_ = std::max<std::int64_t>(made->serving_.rows, 128);
  TRY(made->allocate());
  return made;
}

Result<void> EnginePrograms::allocate() {
  const Program program = model_.serving(serving_);
  std::int64_t bytes = 0;
  const auto place = [&](const std::string& name, std::int64_t size) {
    offsets_.emplace(name, bytes);
    bytes += device::aligned(size);
  };
  const auto place_cache = [&](const Tensor& tensor) {
    caches_.push_back({bytes, tensor.type.bytes() / (serving_.pages * serving_.page)});
    place(tensor.name, tensor.type.bytes());
  };
  for (const Tensor& tensor : program.tensors) {
    if (is_cache(tensor)) {
      place_cache(tensor);
    } else if (tensor.role == Role::constant) {
      place(tensor.name, tensor.type.bytes());
    }
  }
  const std::int64_t hidden = program.tensor(program.find("hidden")).type.bytes() / serving_.rows * hidden_rows_;
  place("hidden", hidden);
  if (guesses_) {
    place("guessed", hidden);
    for (const Tensor& tensor : model_.guessing(serving_, hidden_rows_).tensors) {
      if (is_cache(tensor)) place_cache(tensor);
    }
  }
  TRY(check_memory(fmt::format("a cache of {} pages of {} positions", serving_.pages, serving_.page), bytes,
                   "ask for fewer streams, a shorter context or a smaller cache"));
  TRY_ASSIGN(buffer_, device_.allocate(bytes));
  // Constants are the same for programs of every size: they are made once.
  model::Serving one = serving_;
  one.rows = 1;
  TRY_ASSIGN(device::Executable first, prepare(model_.serving(one), model_.constants(program)));
  servings_.emplace(1, std::move(first));
  return {};
}

Result<device::Executable> EnginePrograms::prepare(Program program, const std::vector<model::Constant>& constants) {
  TRY_ASSIGN(device::Executable executable, device_.prepare(std::move(program)));
  for (const auto& [name, offset] : offsets_) {
    const TensorId tensor = executable.program().find(name);
    if (tensor != TensorId::none) executable.bind(tensor, buffer_, offset);
  }
  weights_.bind(executable);
  for (const model::Constant& constant : constants) {
    TRY(executable.write(executable.program().find(constant.name), std::span<const float>(constant.values)));
  }
  TRY(executable.refresh());
  return executable;
}

template <typename Make>
Result<device::Executable*> EnginePrograms::program(Programs& programs, std::int64_t rows, const Make& make) {
  if (const auto known = programs.find(rows); known != programs.end()) return &known->second;
  TRY_ASSIGN(device::Executable made, prepare(make()));
  return &programs.emplace(rows, std::move(made)).first->second;
}

Result<void> EnginePrograms::write_rows(device::Executable& executable, const Batch& batch, std::span<const std::int32_t> table) {
  const auto column = [&](const char* name, std::int32_t Batch::Row::*member, std::int32_t padding) -> Result<void> {
    std::vector<std::int32_t> values(static_cast<std::size_t>(power_of_two(batch.rows.size())), padding);
    std::ranges::transform(batch.rows, values.begin(), member);
    return write(executable, name, values);
  };
  TRY(column("ids", &Batch::Row::id, 0));
  TRY(column("positions", &Batch::Row::position, 0));
  TRY(column("slots", &Batch::Row::slot, -1));
  TRY(column("pages", &Batch::Row::page, -1));
  TRY(column("offsets", &Batch::Row::offset, 0));
  if (executable.program().find("source") != TensorId::none) TRY(column("source", &Batch::Row::source, -1));
  TRY(write(executable, "table", table));
  return write(executable, "samples", std::vector{0, static_cast<std::int32_t>(batch.rows.size())});
}

Result<device::Executable*> EnginePrograms::serving(std::int64_t rows) {
  model::Serving sized = serving_;
  sized.rows = rows;
  return program(servings_, rows, [&] { return model_.serving(sized); });
}

Result<device::Executable*> EnginePrograms::guessing(std::int64_t rows) {
  model::Serving sized = serving_;
  sized.rows = rows;
  return program(guessings_, rows, [&] { return model_.guessing(sized, 2 * hidden_rows_); });
}

Result<device::Executable*> EnginePrograms::head(std::int64_t wanted) {
  return program(heads_, wanted, [&] { return model_.head(serving_, guesses_ ? 2 * hidden_rows_ : hidden_rows_, wanted); });
}

Result<void> EnginePrograms::prepare_all(std::int64_t wanted) {
  for (std::int64_t rows = 1; rows <= serving_.rows; rows *= 2) {
    TRY(serving(rows));
    if (guesses_) TRY(guessing(rows));
  }
  for (std::int64_t rows = 1; rows < 2 * wanted; rows *= 2) TRY(head(rows));
  return {};
}

Result<void> EnginePrograms::copy_rows(std::int32_t from, std::int32_t to, std::int64_t first, std::int64_t count) {
  for (const Cache& cache : caches_) {
    const auto place = [&](std::int32_t page) { return cache.offset + (page * serving_.page + first) * cache.row_bytes; };
    TRY(device_.copy(buffer_, place(from), place(to), count * cache.row_bytes));
  }
  return {};
}

Result<Logits> EnginePrograms::run(const Batch& batch, std::span<const std::int32_t> table) {
  TRY_ASSIGN(device::Executable* const serving, this->serving(power_of_two(batch.rows.size())));
  TRY(write_rows(*serving, batch, table));
  TRY(serving->run());
  return logits(batch.wanted);
}

Result<Logits> EnginePrograms::guess(const Batch& batch, std::span<const std::int32_t> table) {
  TRY_ASSIGN(device::Executable* const guessing, this->guessing(power_of_two(batch.rows.size())));
  TRY(write_rows(*guessing, batch, table));
  TRY(guessing->run());
  std::vector<std::int32_t> wanted = batch.wanted;
  for (std::int32_t& row : wanted) row += guessed_rows();
  return logits(std::move(wanted));
}

Result<Logits> EnginePrograms::logits(std::vector<std::int32_t> wanted) {
  Logits made;
  if (wanted.empty()) return made;
  const std::int64_t rows = power_of_two(wanted.size());
  TRY_ASSIGN(device::Executable* const head, this->head(rows));
  TRY(write(*head, "samples", std::vector{0, static_cast<std::int32_t>(wanted.size())}));
  wanted.resize(static_cast<std::size_t>(rows), -1);
  TRY(write(*head, "last", wanted));
  TRY(head->run());
  const TensorId id = head->program().find("logits");
  made.width = static_cast<std::size_t>(head->program().tensor(id).type.shape.width());
  TRY_ASSIGN(made.values, head->read<float>(id));
  TRY_ASSIGN(made.lse, head->read<float>(head->program().find("lse")));
  return made;
}

std::vector<const device::Executable*> EnginePrograms::executables() const {
  std::vector<const device::Executable*> all;
  for (const Programs* programs : {&servings_, &guessings_, &heads_}) {
    for (const auto& entry : *programs) all.push_back(&entry.second);
  }
  return all;
}

}  // namespace godwit::infer
