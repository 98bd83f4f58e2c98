// Programs of a device that is completed: cut into pieces where it lacks ops, and run piece by piece.
#include <algorithm>
#include <cstring>

#include "device/fallback_parts.h"

namespace godwit::device::fallback {

namespace {

// ---- Preparing ----

Ready ready_of(const Piece& piece, const godwit_program& whole) {
  Ready ready{piece.doer, false, piece.refresh, nullptr, {}, {}};
  for (const Piece::Tensor& tensor : piece.tensors) {
    const godwit_role whole_role = tensor.whole >= 0 ? whole.tensors[tensor.whole].role : GODWIT_OUTPUT;
    ready.tensors.push_back({tensor.as.name, tensor.as.role, whole_role, tensor.whole, tensor.in, tensor.offset,
                             read_tensor(tensor.as).type.bytes(), tensor.read, tensor.written});
  }
  for (const Piece::Op& op : piece.ops) ready.ops.push_back({op.whole, op.first});
  return ready;
}

// The program as it came, for a device that lacks nothing of it.
Ready entire(const godwit_program& whole) {
  Ready ready{Doer::device, true, false, nullptr, {}, {}};
  std::vector<bool> read(static_cast<std::size_t>(whole.tensor_count), false), written = read;
  for (std::int32_t i = 0; i < whole.op_count; ++i) {
    const godwit_op& op = whole.ops[i];
    for (std::int32_t k = 0; k < op.input_count; ++k) read[static_cast<std::size_t>(op.inputs[k])] = true;
    for (std::int32_t k = 0; k < op.output_count; ++k) written[static_cast<std::size_t>(op.outputs[k])] = true;
    ready.ops.push_back({i, true});
  }
  for (std::int32_t t = 0; t < whole.tensor_count; ++t) {
    const godwit_tensor& tensor = whole.tensors[t];
    ready.tensors.push_back({tensor.name, tensor.role, tensor.role, t, Piece::Tensor::In::bound, 0, read_tensor(tensor).type.bytes(),
                             read[static_cast<std::size_t>(t)], written[static_cast<std::size_t>(t)]});
  }
  return ready;
}

godwit_status prepare_on_device(const Device& device, const godwit_program& program, godwit_prepared** prepared, godwit_error* error) {
  return given(call(*device.behind, &godwit_backend::prepare, device.device, &program, prepared, error), *prepared, "prepare", error);
}

// Which of the piece's ops the device will not prepare, though it named a kernel for each: those that it refuses alone; where it refuses
// none alone, all of them.
void find_refused(const Device& device, const godwit_program& program, const Piece& piece, std::vector<Refused>& refused) {
  const auto more = [&](std::int32_t op) {
    Refused& now = refused[static_cast<std::size_t>(op)];
    now = now == Refused::nothing ? Refused::itself : Refused::parts;
  };
  std::vector<std::int32_t> ops;
  for (const Piece::Op& op : piece.ops) {
    if (op.first) ops.push_back(op.whole);
  }
  bool any = false;
  for (const std::int32_t op : ops) {
    if (ops.size() == 1) break;
    std::vector<Assignment> alone(static_cast<std::size_t>(program.op_count), Assignment{Doer::cpu, nullptr});
    alone[static_cast<std::size_t>(op)].doer = Doer::device;
    for (const Piece& one : cut(program, alone).pieces) {
      if (one.doer != Doer::device) continue;
      godwit_prepared* prepared = nullptr;
      const PieceProgram c(one, program);
      if (prepare_on_device(device, c.program, &prepared, nullptr) == GODWIT_OK) {
        call(*device.behind, &godwit_backend::prepared_destroy, prepared);
      } else {
        any = true;
        more(op);
      }
    }
  }
  if (any) return;
  for (const std::int32_t op : ops) more(op);
}

// All pieces, or GODWIT_UNSUPPORTED with `refused` longer than before, or what else went wrong.
godwit_status prepare_pieces(Device& device, const godwit_program& program, Program& made, std::vector<Refused>& refused,
                             godwit_error* error) {
  const Has has = [&](const godwit_program& asked, std::int32_t op) { return !own_kernel(device, asked, op).empty(); };
  const std::vector<Assignment> assignments = assign(program, has, refused);
  const Pieces pieces = cut(program, assignments);
  made.scratch_bytes = pieces.scratch_bytes;
  for (const Piece& piece : pieces.pieces) {
    const PieceProgram c(piece, program);
    Ready& ready = made.pieces.emplace_back(ready_of(piece, program));
    if (piece.doer == Doer::cpu) {
      if (const godwit_status status = open_cpu(device, error); status != GODWIT_OK) return status;
      const godwit_status status = cpu_backend().prepare(device.cpu, &c.program, &ready.prepared, error);
      if (status == GODWIT_UNSUPPORTED)
        return fail(error, GODWIT_INVALID, "neither backend {} nor the CPU does it: {}", device.behind->name,
                    error != nullptr ? error->message : "");
      if (status != GODWIT_OK) return status;
      continue;
    }
    const godwit_status status = prepare_on_device(device, c.program, &ready.prepared, error);
    if (status == GODWIT_UNSUPPORTED) find_refused(device, program, piece, refused);
    if (status != GODWIT_OK) return status;
  }
  return GODWIT_OK;
}

void destroy_pieces(Program& program) {
  for (const Ready& ready : program.pieces) {
    if (ready.prepared == nullptr) continue;
    program.device->pieces.erase(ready.prepared);
    if (program.device->running == &ready) program.device->running = nullptr;
    if (ready.doer == Doer::cpu) {
      cpu_backend().prepared_destroy(ready.prepared);
    } else {
      call(*program.device->behind, &godwit_backend::prepared_destroy, ready.prepared);
    }
  }
  program.pieces.clear();
}

// ---- Running ----

class Run {
 public:
  Run(Queue& queue, Buffer* arena, Buffer* persistent, const godwit_binding* bindings, godwit_error* error)
      : queue_(queue), device_(*queue.device), arena_(arena), persistent_(persistent), bindings_(bindings), error_(error) {}

  godwit_status piece(const Ready& ready, godwit_part part) {
    if (const godwit_status status = find_places(ready, part); status != GODWIT_OK) return status;
    device_.running = &ready;
    return ready.doer == Doer::cpu ? on_cpu(ready, part) : on_device(ready, part);
  }

 private:
  struct Place {
    Buffer* buffer = nullptr;
    std::int64_t offset = 0;
  };

  godwit_status find_places(const Ready& ready, godwit_part part) {
    places_.assign(ready.tensors.size(), {});
    for (std::size_t i = 0; i < places_.size(); ++i) {
      const Ready::Tensor& tensor = ready.tensors[i];
      const bool inner = tensor.role == GODWIT_TEMPORARY || tensor.role == GODWIT_DERIVED;
      if (inner || (!tensor.read && !tensor.written)) continue;
      using In = Piece::Tensor::In;
      Buffer* const other[] = {nullptr, arena_, persistent_, device_.scratch};
      Place& place = places_[i];
      place = tensor.in == In::bound ? Place{inside(bindings_[tensor.whole].buffer), bindings_[tensor.whole].offset}
                                     : Place{other[static_cast<int>(tensor.in)], tensor.offset};
      const bool fits = place.buffer != nullptr && place.offset >= 0 && place.offset <= place.buffer->bytes &&
                        tensor.bytes <= place.buffer->bytes - place.offset;
      // Whoever refreshes has perhaps not bound yet what the main part needs.
      if (!fits && part == GODWIT_PART_REFRESH && place.buffer == nullptr) continue;
      if (!fits) return fail(error_, GODWIT_INVALID, "the tensor {} is not bound to memory of its size", tensor.name);
    }
    return GODWIT_OK;
  }

  godwit_status on_device(const Ready& ready, godwit_part part) {
    std::vector<godwit_binding> bound(places_.size(), godwit_binding{nullptr, 0});
    for (std::size_t i = 0; i < places_.size(); ++i) {
      const Ready::Tensor& tensor = ready.tensors[i];
      Place& place = places_[i];
      if (place.buffer == nullptr) continue;
      bound[i] = {place.buffer->behind, place.offset};
      const bool steady = tensor.whole_role == GODWIT_STATE || tensor.whole_role == GODWIT_CONSTANT;
      const bool changed = part == GODWIT_PART_REFRESH ? steady : tensor.whole_role == GODWIT_INPUT;
      if (!changed || !tensor.read || !place.buffer->mirrored) continue;
      const godwit_status status = to_device(queue_, *place.buffer, place.offset, tensor.bytes, error_);
      if (status != GODWIT_OK) return status;
    }
    if (const godwit_status status = aim_spoil(ready); status != GODWIT_OK) return status;
    const auto handle = [](Buffer* buffer) { return buffer != nullptr ? buffer->behind : nullptr; };
    godwit_status status = call(*device_.behind, &godwit_backend::run, queue_.behind, ready.prepared, part, handle(arena_),
                                ready.entire ? handle(persistent_) : nullptr, static_cast<const godwit_binding*>(bound.data()), error_);
    under_way_ = true;
    for (std::size_t i = 0; i < places_.size() && status == GODWIT_OK && part == GODWIT_PART_MAIN; ++i) {
      Place& place = places_[i];
      if (!ready.tensors[i].written || place.buffer == nullptr || !place.buffer->mirrored) continue;
      status = from_device(queue_, *place.buffer, place.offset, ready.tensors[i].bytes, error_);
    }
    return status;
  }

  godwit_status on_cpu(const Ready& ready, godwit_part part) {
    std::vector<godwit_binding> bound(places_.size(), godwit_binding{nullptr, 0});
    for (std::size_t i = 0; i < places_.size(); ++i) {
      Place& place = places_[i];
      if (place.buffer == nullptr) continue;
      if (const godwit_status status = cpu_handle(*place.buffer, bound[i].buffer, error_); status != GODWIT_OK) return status;
      bound[i].offset = place.offset;
      const bool refreshes = part == GODWIT_PART_MAIN || ready.tensors[i].role == GODWIT_STATE;
      if (place.buffer->host != nullptr || !ready.tensors[i].read || !refreshes) continue;
      const godwit_status status = from_device(queue_, *place.buffer, place.offset, ready.tensors[i].bytes, error_);
      if (status != GODWIT_OK) return status;
      under_way_ = true;
    }
    if (under_way_) {
      if (const godwit_status status = wait_for(queue_, error_); status != GODWIT_OK) return status;
      under_way_ = false;
    }
    godwit_buffer* arena = nullptr;
    if (arena_ != nullptr) {
      if (const godwit_status status = cpu_handle(*arena_, arena, error_); status != GODWIT_OK) return status;
    }
    godwit_status status = cpu_backend().run(device_.cpu_queue, ready.prepared, part, arena, nullptr, bound.data(), error_);
    for (std::size_t i = 0; i < places_.size() && status == GODWIT_OK && part == GODWIT_PART_MAIN; ++i) {
      Place& place = places_[i];
      if (!ready.tensors[i].written || place.buffer == nullptr) continue;
      if (place.buffer->host != nullptr && !place.buffer->mirrored) continue;
      status = to_device(queue_, *place.buffer, place.offset, ready.tensors[i].bytes, error_);
      under_way_ = true;
    }
    return status;
  }

  // A spoil of one op by its number in the whole program, which is another one in a piece.
  godwit_status aim_spoil(const Ready& ready) {
    if (device_.spoil == nullptr || device_.spoil->what.op_index < 0) return GODWIT_OK;
    godwit_spoil aimed = device_.spoil->what;
    const auto meant = std::ranges::find(ready.ops, aimed.op_index, &Ready::Op::whole);
    aimed.op_index = static_cast<std::int32_t>(meant - ready.ops.begin());
    const bool over = aimed.count > 0 && (aimed.count -= device_.spoil->times) <= 0;
    const godwit_spoil* now = meant == ready.ops.end() || over ? nullptr : &aimed;
    const auto told = [](void* spoil, const godwit_spoilt* spoilt) {
      auto& of = *static_cast<Spoil*>(spoil);
      ++of.times;
      godwit_spoilt numbered = *spoilt;
      numbered.op = of.what.op_index;
      if (of.told != nullptr) of.told(of.context, &numbered);
    };
    return call(*device_.behind, &godwit_backend::spoil, device_.device, now, +told, static_cast<void*>(device_.spoil.get()), error_);
  }

  Queue& queue_;
  Device& device_;
  Buffer* arena_;
  Buffer* persistent_;
  const godwit_binding* bindings_;
  godwit_error* error_;
  std::vector<Place> places_;
  bool under_way_ = true;  // work of the device that was not waited for; perhaps some from before
};

}  // namespace

std::string own_kernel(const Device& device, const godwit_program& program, std::int32_t op) {
  const InCall in(InCall::mark_of(*device.behind, &godwit_backend::kernel_for));
  constexpr std::size_t longest = 256;
  const char* name = device.behind->kernel_for(device.device, &program, op);
  return name == nullptr ? std::string() : std::string(name, strnlen(name, longest));
}

godwit_status prepare_program(Device& device, const godwit_program& program, Program*& prepared, godwit_error* error) {
  auto made = std::make_unique<Program>();
  made->device = &device;
  bool all = true;
  for (std::int32_t i = 0; i < program.op_count && all; ++i) all = !own_kernel(device, program, i).empty();
  godwit_status status = GODWIT_UNSUPPORTED;
  if (all) {
    Ready& ready = made->pieces.emplace_back(entire(program));
    status = prepare_on_device(device, program, &ready.prepared, error);
  }
  std::vector<Refused> refused(static_cast<std::size_t>(program.op_count), Refused::nothing);
  while (status == GODWIT_UNSUPPORTED) {
    destroy_pieces(*made);
    const std::vector<Refused> before = refused;
    status = prepare_pieces(device, program, *made, refused, error);
    if (status == GODWIT_UNSUPPORTED && refused == before) break;
  }
  if (status == GODWIT_OK && made->scratch_bytes > (device.scratch != nullptr ? device.scratch->bytes : 0)) {
    if (device.scratch != nullptr) destroy_buffer(std::exchange(device.scratch, nullptr));
    status = create_buffer(device, made->scratch_bytes, device.scratch, error);
  }
  if (status != GODWIT_OK) {
    destroy_pieces(*made);
    return status;
  }
  for (std::size_t i = 0; i < made->pieces.size(); ++i) device.pieces[made->pieces[i].prepared] = {made.get(), i};
  prepared = made.release();
  return GODWIT_OK;
}

void destroy_program(Program* program) {
  destroy_pieces(*program);
  delete program;
}

godwit_status run_program(Queue& queue, Program& program, godwit_part part, Buffer* arena, Buffer* persistent,
                          const godwit_binding* bindings, godwit_error* error) {
  if (!queue.device->broken.empty()) return fail(error, GODWIT_DEVICE_LOST, "{}", queue.device->broken);
  Run run(queue, arena, persistent, bindings, error);
  for (const Ready& ready : program.pieces) {
    // State has changed, for every piece; and what the refresh part makes is made now.
    if (part == GODWIT_PART_REFRESH) {
      if (const godwit_status status = run.piece(ready, GODWIT_PART_REFRESH); status != GODWIT_OK) return status;
    }
    if (ready.entire ? part == GODWIT_PART_REFRESH : ready.refresh != (part == GODWIT_PART_REFRESH)) continue;
    if (const godwit_status status = run.piece(ready, GODWIT_PART_MAIN); status != GODWIT_OK) return status;
  }
  return GODWIT_OK;
}

}  // namespace godwit::device::fallback
