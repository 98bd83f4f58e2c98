// Orders and answers as frames carry them. Numbers that must keep their bits travel as bits.
#pragma once

#include <vector>

#include "base/json.h"
#include "guard/task.h"

namespace godwit::guard {

[[nodiscard]] Json to_json(const Order& order);
[[nodiscard]] Result<Order> order_from(const Json& json);
[[nodiscard]] Json to_json(const Answer& answer);
[[nodiscard]] Result<Answer> answer_from(const Json& json);
[[nodiscard]] Json to_json(const WorkerTask::Evaluated& evaluated);
[[nodiscard]] Result<WorkerTask::Evaluated> evaluated_from(const Json& json);
[[nodiscard]] Json to_json(std::span<const Proposed> proposals);
[[nodiscard]] Result<std::vector<Proposed>> proposals_from(const Json& json);
[[nodiscard]] Json to_json(const Made& made);
[[nodiscard]] Result<Made> made_from(const Json& json);
[[nodiscard]] Json to_json(const Drawn& drawn);
[[nodiscard]] Result<Drawn> drawn_from(const Json& json);
[[nodiscard]] Json to_json(const Asked& asked);
[[nodiscard]] Result<Asked> asked_from(const Json& json);
[[nodiscard]] Json to_json(const KeeperTask::Loaded& loaded);
[[nodiscard]] Result<KeeperTask::Loaded> loaded_from(const Json& json);

[[nodiscard]] Json to_json(const DeviceIdentity& device);
[[nodiscard]] DeviceIdentity identity_from(const Json& json);

// Orders to a candidate: the same work that another did, its state.
inline constexpr const char* prove = "prove";
inline constexpr const char* read_back = "read back";

// An error as an answer, and back; nothing if the answer is none.
[[nodiscard]] Json error_json(const Error& error);
[[nodiscard]] std::optional<Error> error_from(const Json& json);

}  // namespace godwit::guard
