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

std::int64_t EnginePrograms::page_bytes(const model::Model& model, const model::Serving& serving) {
  model::Serving one = serving;
  one.rows = one.pages = 1;
  std::int64_t bytes = 0;
  for (const Tensor& tensor : model.serving(one).tensors) {
    if (is_cache(tensor)) bytes += tensor.type.bytes();
  }
  return bytes;
}

Result<std::unique_ptr<EnginePrograms>> EnginePrograms::create(device::Device& device, const model::Model& model, const Weights& weights,
                                                               const model::Serving& serving) {
  std::unique_ptr<EnginePrograms> made(new EnginePrograms(device, model, weights, serving));
  made->serving_.rows = power_of_two(static_cast<std::size_t>(serving.rows));
  TRY(made->allocate());
  return made;
}

Result<void> EnginePrograms::allocate() {
  const Program program = model_.serving(serving_);
  std::int64_t bytes = 0;
  for (const Tensor& tensor : program.tensors) {
    if (!is_cache(tensor) && tensor.role != Role::constant && tensor.role != Role::output) continue;
    offsets_.emplace(tensor.name, bytes);
    bytes += device::aligned(tensor.type.bytes());
  }
  TRY(check_memory(fmt::format("a cache of {} pages of {} positions", serving_.pages, serving_.page), bytes,
                   "ask for fewer streams, a shorter context or a smaller cache"));
  TRY_ASSIGN(buffer_, device_.allocate(bytes));
  // Constants are the same for programs of every size: they are made once.
  model::Serving one = serving_;
  one.rows = 1;
  TRY_ASSIGN(device::Executable first, prepare(model_.serving(one), model_.constants(program)));
  serving_programs_.emplace(1, std::move(first));
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

Result<device::Executable*> EnginePrograms::serving(std::int64_t rows) {
  if (const auto known = serving_programs_.find(rows); known != serving_programs_.end()) return &known->second;
  model::Serving sized = serving_;
  sized.rows = rows;
  TRY_ASSIGN(device::Executable made, prepare(model_.serving(sized)));
  return &serving_programs_.emplace(rows, std::move(made)).first->second;
}

Result<device::Executable*> EnginePrograms::head(std::int64_t wanted) {
  if (const auto known = heads_.find(wanted); known != heads_.end()) return &known->second;
  TRY_ASSIGN(device::Executable made, prepare(model_.head(serving_.rows, wanted, serving_.dtype)));
  return &heads_.emplace(wanted, std::move(made)).first->second;
}

Result<Logits> EnginePrograms::run(const Batch& batch, std::span<const std::int32_t> table) {
  const std::int64_t rows = power_of_two(batch.rows.size());
  TRY_ASSIGN(device::Executable* const program, serving(rows));
  const auto column = [&](const char* name, std::int32_t Batch::Row::*member, std::int32_t padding) -> Result<void> {
    std::vector<std::int32_t> values(static_cast<std::size_t>(rows), padding);
    std::ranges::transform(batch.rows, values.begin(), member);
    return write(*program, name, values);
  };
  TRY(column("ids", &Batch::Row::id, 0));
  TRY(column("positions", &Batch::Row::position, 0));
  TRY(column("slots", &Batch::Row::slot, -1));
  TRY(column("pages", &Batch::Row::page, -1));
  TRY(column("offsets", &Batch::Row::offset, 0));
  TRY(write(*program, "table", table));
  TRY(write(*program, "samples", std::vector{0, static_cast<std::int32_t>(batch.rows.size())}));
  TRY(program->run());

  Logits logits;
  if (batch.wanted.empty()) return logits;
  const std::int64_t wanted = power_of_two(batch.wanted.size());
  TRY_ASSIGN(device::Executable* const head, this->head(wanted));
  std::vector<std::int32_t> last = batch.wanted;
  last.resize(static_cast<std::size_t>(wanted), -1);
  TRY(write(*head, "last", last));
  TRY(write(*head, "samples", std::vector{0, static_cast<std::int32_t>(batch.wanted.size())}));
  TRY(head->run());
  const TensorId id = head->program().find("logits");
  logits.width = static_cast<std::size_t>(head->program().tensor(id).type.shape.width());
  TRY_ASSIGN(logits.values, head->read<float>(id));
  TRY_ASSIGN(logits.lse, head->read<float>(head->program().find("lse")));
  return logits;
}

std::vector<const device::Executable*> EnginePrograms::executables() const {
  std::vector<const device::Executable*> all;
  for (const auto* programs : {&serving_programs_, &heads_}) {
    for (const auto& entry : *programs) all.push_back(&entry.second);
  }
  return all;
}

}  // namespace godwit::infer
