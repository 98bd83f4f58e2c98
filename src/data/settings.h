// What [data], or one part of a mix, says, with defaults filled in and each value checked.
//
//     text   files of text, cut into windows of `sequence` predictions   text_dataset.cc
//     ids    rows of token ids                                           ids_dataset.cc
//     chat   conversations, of which answers are learned                 chat_dataset.cc
//     task   documents of a task's problems                              task_dataset.cc
//     mix    weighted parts, each one of the above                       mix_dataset.cc
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "base/config.h"
#include "base/error.h"
#include "base/json.h"

namespace godwit::data {

struct DataSettings {
  std::string place = "[data]";  // opens error messages: "config.toml:7: [data] parts[1]"
  std::string kind;
  std::vector<std::filesystem::path> paths;
  std::string text_key = "text";  // the key of a .jsonl line that holds its text
  std::int64_t sequence = 256;
  std::string too_long = "refuse";  // what becomes of a conversation of more predictions: refuse, cut or skip
  double validation = 0;                         // share of each file (rows: of all rows), taken from its end
  std::string task;                              // a task, or a .jsonl file of problems
  std::string task_place = "[data] task";        // opens errors about it
  Json options;                                  // of the task; null: none are given
  std::optional<std::int64_t> validation_count;  // documents of a task
  double weight = 1;                             // of a part
  std::vector<DataSettings> parts;
};

[[nodiscard]] Result<DataSettings> read_settings(const Config& config);

}  // namespace godwit::data
