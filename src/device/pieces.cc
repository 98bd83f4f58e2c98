#include "device/pieces.h"

#include <algorithm>
#include <limits>
#include <map>

#include "device/device.h"

namespace godwit::device {

namespace {

constexpr std::size_t never = std::numeric_limits<std::size_t>::max();

std::shared_ptr<const program::Program> parts_had(const godwit_program& program, const godwit_op& op, const Has& has) {
  const auto read = read_op(program, op);
  if (!read) return nullptr;
  auto parts = program::parts_of(*read->op, read->input_types, read->output_types, read->attributes);
  if (!parts) return nullptr;
  auto kept = std::make_shared<const program::Program>(*std::move(parts));
  const ContractProgram c(*kept, nullptr);
  for (std::int32_t i = 0; i < c.program.op_count; ++i) {
    if (!has(c.program, i)) return nullptr;
  }
  return kept;
}

// An op on its way into a piece: tensors by key, which is their number in the whole program, or behind the last of these for tensors that
// only parts have.
struct Element {
  Piece::Op op;
  Doer doer;
  bool refresh;
  bool part;
};

// All ops with parts in the place of those that have them.
class Expansion {
 public:
  Expansion(const godwit_program& program, const std::vector<Assignment>& assignments) : program_(program) {
    for (std::int32_t i = 0; i < program.op_count; ++i) {
      const Assignment& how = assignments[static_cast<std::size_t>(i)];
      if (how.parts != nullptr) {
        add_parts(i, *how.parts);
      } else {
        add(program.ops[i], i, how.doer, false, true, [](std::int32_t tensor) { return tensor; });
      }
    }
  }

  std::vector<Element> elements;
  struct Extra {
    godwit_tensor tensor;
    std::int64_t offset;  // in the scratch
  };
  std::vector<Extra> extras;
  std::int64_t scratch_bytes = 0;

 private:
  template <typename KeyOf>
  void add(const godwit_op& op, std::int32_t whole, Doer doer, bool part, bool first, const KeyOf& key_of) {
    Element element{
        {op.name, {}, {}, {op.attributes, op.attributes + op.attribute_count}, whole, first}, doer, whole < program_.refresh_count, part};
    for (std::int32_t k = 0; k < op.input_count; ++k) element.op.inputs.push_back(key_of(op.inputs[k]));
    for (std::int32_t k = 0; k < op.output_count; ++k) element.op.outputs.push_back(key_of(op.outputs[k]));
    elements.push_back(std::move(element));
  }

  void add_parts(std::int32_t whole, const program::Program& parts) {
    const godwit_op& op = program_.ops[whole];
    const ContractProgram c(parts, nullptr);
    std::vector<std::int32_t> keys;
    std::int64_t at = 0;
    for (std::int32_t t = 0; t < c.program.tensor_count; ++t) {
      const godwit_tensor& tensor = c.program.tensors[t];
      if (tensor.role == GODWIT_INPUT) {
        keys.push_back(op.inputs[t]);
      } else if (tensor.role == GODWIT_OUTPUT) {
        keys.push_back(op.outputs[std::stoi(tensor.name)]);
      } else {
        keys.push_back(program_.tensor_count + static_cast<std::int32_t>(extras.size()));
        extras.push_back({tensor, at});
        at += aligned(read_tensor(tensor).type.bytes());
      }
    }
    scratch_bytes = std::max(scratch_bytes, at);
    for (std::int32_t i = 0; i < c.program.op_count; ++i)
      add(c.program.ops[i], whole, Doer::device, true, i == 0, [&](std::int32_t tensor) { return keys[static_cast<std::size_t>(tensor)]; });
  }

  const godwit_program& program_;
};

class Cutter {
 public:
  Cutter(const godwit_program& program, const Expansion& expanded) : program_(program), expanded_(expanded) {
    const std::size_t keys = static_cast<std::size_t>(program.tensor_count) + expanded.extras.size();
    last_reader_.assign(keys, never);
    in_main_.assign(keys, false);
    for (std::size_t i = 0; i < expanded.elements.size(); ++i) {
      const Element& element = expanded.elements[i];
      for (const std::int32_t key : element.op.inputs) last_reader_[static_cast<std::size_t>(key)] = i;
      for (const std::int32_t key : element.op.outputs) in_main_[static_cast<std::size_t>(key)] = !element.refresh;
    }
  }

  [[nodiscard]] Piece piece(std::size_t begin, std::size_t end) const {
    const Element& first = expanded_.elements[begin];
    Piece piece{first.doer, first.refresh, {}, {}};
    std::map<std::int32_t, std::int32_t> local;
    const auto place = [&](std::int32_t key) -> Piece::Tensor& {
      const auto [known, fresh] = local.try_emplace(key, static_cast<std::int32_t>(piece.tensors.size()));
      if (fresh) piece.tensors.push_back(tensor(key));
      return piece.tensors[static_cast<std::size_t>(known->second)];
    };
    for (std::size_t i = begin; i < end; ++i) {
      const Element& element = expanded_.elements[i];
      for (const std::int32_t key : element.op.inputs) {
        Piece::Tensor& read = place(key);
        read.read = read.read || !read.written;  // before the piece itself has made it
      }
      for (const std::int32_t key : element.op.outputs) place(key).written = true;
      Piece::Op op = element.op;
      for (auto* list : {&op.inputs, &op.outputs}) {
        for (std::int32_t& key : *list) key = local.at(key);
      }
      piece.ops.push_back(std::move(op));
    }
    for (const auto& [key, index] : local) {
      Piece::Tensor& known = piece.tensors[static_cast<std::size_t>(index)];
      known.as.role = role(key, known.written, end, piece.refresh);
      if (known.as.role == GODWIT_TEMPORARY) known.as.offset = known.offset;
      known.read = known.read || known.as.role == GODWIT_STATE;  // an op that writes a part keeps the rest
    }
    return piece;
  }

 private:
  [[nodiscard]] Piece::Tensor tensor(std::int32_t key) const {
    using In = Piece::Tensor::In;
    if (key >= program_.tensor_count) {
      const Expansion::Extra& extra = expanded_.extras[static_cast<std::size_t>(key - program_.tensor_count)];
      return {extra.tensor, -1, In::scratch, extra.offset, false, false};
    }
    const godwit_tensor& whole = program_.tensors[key];
    const In in = whole.role == GODWIT_TEMPORARY ? In::arena : whole.role == GODWIT_DERIVED ? In::persistent : In::bound;
    return {whole, key, in, in == In::bound ? 0 : whole.offset, false, false};
  }

  // What a tensor is to a piece that ends before `end`.
  [[nodiscard]] godwit_role role(std::int32_t key, bool written, std::size_t end, bool refresh) const {
    const auto at = static_cast<std::size_t>(key);
    const godwit_role whole = key < program_.tensor_count ? program_.tensors[key].role : GODWIT_OUTPUT;
    const bool used_later = last_reader_[at] != never && last_reader_[at] >= end;
    switch (whole) {
      case GODWIT_TEMPORARY:
        return !written ? GODWIT_INPUT : used_later ? GODWIT_OUTPUT : GODWIT_TEMPORARY;
      case GODWIT_DERIVED:
        return written ? GODWIT_OUTPUT : refresh ? GODWIT_INPUT : GODWIT_STATE;
      case GODWIT_STATE:  // what another piece writes is no state to one that does not see it
        return in_main_[at] && !written ? GODWIT_INPUT : GODWIT_STATE;
      case GODWIT_OUTPUT:
        return written ? GODWIT_OUTPUT : GODWIT_INPUT;
      default:
        return whole;
    }
  }

  const godwit_program& program_;
  const Expansion& expanded_;
  std::vector<std::size_t> last_reader_;  // by key
  std::vector<bool> in_main_;             // by key: made by the main part
};

}  // namespace

std::vector<Assignment> assign(const godwit_program& program, const Has& has, const std::vector<Refused>& refused) {
  std::vector<Assignment> assignments;
  for (std::int32_t i = 0; i < program.op_count; ++i) {
    const Refused not_done = refused[static_cast<std::size_t>(i)];
    Assignment how;
    if (not_done != Refused::nothing || !has(program, i)) {
      if (not_done != Refused::parts) how.parts = parts_had(program, program.ops[i], has);
      how.doer = how.parts != nullptr ? Doer::device : Doer::cpu;
    }
    assignments.push_back(std::move(how));
  }
  return assignments;
}

Pieces cut(const godwit_program& program, const std::vector<Assignment>& assignments) {
  const Expansion expanded(program, assignments);
  const Cutter cutter(program, expanded);
  const auto one_piece = [](const Element& a, const Element& b) {
    const bool same_parts = a.part == b.part && (!a.part || a.op.whole == b.op.whole);  // scratch serves one op at a time
    return a.doer == b.doer && a.refresh == b.refresh && same_parts;
  };
  Pieces pieces;
  pieces.scratch_bytes = expanded.scratch_bytes;
  const std::vector<Element>& elements = expanded.elements;
  for (std::size_t begin = 0; begin < elements.size();) {
    std::size_t end = begin + 1;
    while (end < elements.size() && one_piece(elements[begin], elements[end])) ++end;
    pieces.pieces.push_back(cutter.piece(begin, end));
    begin = end;
  }
  return pieces;
}

PieceProgram::PieceProgram(const Piece& piece, const godwit_program& whole) {
  bool temporaries = false;
  for (const Piece::Tensor& tensor : piece.tensors) {
    tensors.push_back(tensor.as);
    temporaries = temporaries || tensor.as.role == GODWIT_TEMPORARY;
  }
  for (const Piece::Op& op : piece.ops) {
    ops.push_back({op.name.c_str(), op.inputs.data(), static_cast<std::int32_t>(op.inputs.size()), op.outputs.data(),
                   static_cast<std::int32_t>(op.outputs.size()), op.attributes.data(), static_cast<std::int32_t>(op.attributes.size())});
  }
  program.struct_size = sizeof program;
  program.name = whole.name;
  program.profile = whole.profile;
  program.tensors = tensors.data();
  program.tensor_count = static_cast<std::int32_t>(tensors.size());
  program.ops = ops.data();
  program.op_count = static_cast<std::int32_t>(ops.size());
  program.arena_bytes = temporaries ? whole.arena_bytes : 0;
}

}  // namespace godwit::device
