// godwit generate: continues prompts, or rows of token ids.
#include <algorithm>

#include "base/file.h"
#include "base/json.h"
#include "cli/command.h"
#include "cli/commands/inference.h"
#include "data/document.h"
#include "infer/engine.h"
#include "infer/generator.h"
#include "infer/score.h"

namespace godwit::cli {

namespace {

constexpr std::int64_t default_max_tokens = 128;
constexpr std::int64_t streams_max = 16;

struct Options {
  std::string model;
  ComputeOptions compute;
  std::vector<std::string> prompts;
  std::string ids;
  bool chat = false;
  std::string decode = "expanded";
  std::optional<std::int64_t> max_tokens;
  infer::Sampling sampling;
  std::vector<std::string> stop;
  std::uint64_t seed = 0;
  bool logprobs = false;
  bool json = false;
};

Result<std::vector<std::int32_t>> encode_prompt(const std::string& prompt, bool chat, const text::Tokenizer& tokenizer) {
  if (chat) {
    TRY_ASSIGN(const text::ChatFormat format, chat_format(tokenizer));
    return data::chat_prompt_ids(prompt, format, tokenizer);
  }
  TRY_ASSIGN(std::vector<std::int32_t> ids, tokenizer.encode(prompt, {.add_special = true}));
  if (ids.empty() && tokenizer.bos()) ids.push_back(*tokenizer.bos());
  return ids;
}

Result<infer::IdRows> read_prompts(const Options& options, const std::optional<text::Tokenizer>& tokenizer) {
  if (!options.ids.empty()) {
    TRY_ASSIGN(const std::string text, read_file(options.ids));
    return infer::parse_id_rows(text, options.ids);
  }
  if (!tokenizer) {
    return input_error("--prompt: {} has no tokenizer; give token ids instead: --ids FILE.json", options.model);
  }
  infer::IdRows rows;
  for (const std::string& prompt : options.prompts) {
    TRY_ASSIGN(std::vector<std::int32_t> row, encode_prompt(prompt, options.chat, *tokenizer));
    rows.push_back(std::move(row));
  }
  return rows;
}

Result<std::vector<infer::Request>> make_requests(const Options& options, const OpenModel& opened) {
  TRY_ASSIGN(infer::IdRows rows, read_prompts(options, opened.tokenizer));
  const std::int64_t context = opened.model().context();
  std::vector<infer::Request> requests;
  for (std::size_t i = 0; i < rows.size(); ++i) {
    infer::Request request;
    request.prompt = std::move(rows[i]);
    const std::int64_t room = context - static_cast<std::int64_t>(request.prompt.size());
    request.max_tokens = options.max_tokens.value_or(std::clamp<std::int64_t>(room, 1, default_max_tokens));
    request.sampling = options.sampling;
    request.seed = options.seed;
    request.stop = options.stop;
    // Rows of ids are answered to the last asked-for id: who gives ids compares ids.
    if (options.ids.empty() && opened.tokenizer) request.eos = opened.tokenizer->eos();
    const std::string name = options.ids.empty() ? fmt::format("prompt {}", i) : fmt::format("{}: row {}", options.ids, i);
    TRY(infer::check(request, opened.model(), context, opened.tokenizer.has_value(), name));
    requests.push_back(std::move(request));
  }
  return requests;
}

Json as_json(const Options& options, const std::vector<infer::Answer>& answers) {
  Json list = Json::array();
  for (std::size_t i = 0; i < answers.size(); ++i) {
    const infer::Answer& answer = answers[i];
    Json entry = Json::object();
    if (options.ids.empty()) {
      entry["prompt"] = options.prompts[i];
      entry["text"] = answer.text;
    }
    entry["ids"] = answer.ids;
    if (options.logprobs || !options.ids.empty()) entry["logprobs"] = answer.logprobs;
    entry["finish"] = infer::finish_name(answer.finish);
    list.push_back(std::move(entry));
  }
  return list;
}

// An answer for people: its text, with --logprobs a line per token below it.
Result<void> print_answer(const infer::Answer& answer, bool text_too, bool logprobs, const text::Tokenizer& tokenizer) {
  if (text_too) TRY(print(answer.text));
  TRY(print("\n"));
  if (!logprobs) return {};
  for (std::size_t t = 0; t < answer.ids.size(); ++t) {
    TRY(print(fmt::format("{}\t{}\t{}\n", answer.ids[t], answer.logprobs[t], tokenizer.token(answer.ids[t]))));
  }
  return {};
}

std::int64_t streams_for(std::span<const infer::Request> requests) {
  return std::min(static_cast<std::int64_t>(requests.size()), streams_max);
}
std::int64_t longest(std::span<const infer::Request> requests) {
  std::int64_t most = 0;
  for (const infer::Request& r : requests) most = std::max(most, static_cast<std::int64_t>(r.prompt.size()) + r.max_tokens);
  return most;
}

template <typename Show>
Result<std::vector<infer::Answer>> answer_expanded(const OpenModel& opened, std::span<const infer::Request> requests, const Show& show) {
  const infer::GeneratorOptions settings{
      .dtype = opened.dtype, .weights = opened.format, .streams = streams_for(requests), .capacity = longest(requests)};
  TRY_ASSIGN(const std::unique_ptr<infer::Generator> generator,
             infer::Generator::create(*opened.device, opened.model(), opened.weights, settings, opened.tokenizer));
  return generator->generate(requests, show);
}

template <typename Show>
Result<std::vector<infer::Answer>> answer_absorbed(const OpenModel& opened, std::span<const infer::Request> requests, const Show& show) {
  const infer::EngineOptions settings{
      .dtype = opened.dtype, .weights = opened.format, .streams = streams_for(requests), .context = longest(requests)};
  TRY_ASSIGN(const std::unique_ptr<infer::Engine> engine,
             infer::Engine::create(*opened.device, opened.model(), opened.weights, settings, opened.tokenizer));
  std::vector<infer::ServedRequest> served;
  for (const infer::Request& request : requests) served.emplace_back().request = request;
  return infer::answer_all(*engine, served, show);
}

Result<int> run_generate(const Options& options) {
  const bool as_ids = !options.ids.empty();
  if (!as_ids && options.prompts.empty()) return input_error("what to continue is missing; give --prompt TEXT or --ids FILE.json");
  TRY_ASSIGN(const std::unique_ptr<OpenModel> opened, open_model(options.model, options.compute));
  TRY_ASSIGN(const std::vector<infer::Request> requests, make_requests(options, *opened));
  const bool streaming = !options.json && !as_ids && requests.size() == 1;
  const auto show = [&](const auto& event) -> Result<void> {
    if (!streaming || event.text.empty()) return {};
    TRY(print(event.text));
    return flush_output();
  };
  TRY_ASSIGN(const std::vector<infer::Answer> answers,
             options.decode == "absorbed" ? answer_absorbed(*opened, requests, show) : answer_expanded(*opened, requests, show));
  if (options.json || as_ids) {
    TRY(print_json(as_json(options, answers)));
    return exit_finished;
  }
  for (std::size_t i = 0; i < answers.size(); ++i) {
    if (!streaming) TRY(print(fmt::format("== prompt {} ==\n", i)));
    TRY(print_answer(answers[i], !streaming, options.logprobs, *opened->tokenizer));
  }
  return exit_finished;
}

CommandBody declare_generate(App app) {
  auto options = std::make_shared<Options>();
  app.add_option("MODEL", options->model, "Hugging Face directory, run directory, RUN@STEP or RUN@best").required();
  const Option prompt =
      app.add_option("--prompt", options->prompts, "Text to continue; given several times: one batch").type_name("TEXT").one_value_each();
  const Option ids = app.add_option("--ids", options->ids, "Rows of token ids to continue, [[5,9,2],[7,1]]; the answers are JSON")
                         .type_name("FILE.json")
                         .excludes(prompt);
  app.add_flag("--chat", options->chat, "Each prompt is a question, put in the model's chat template").excludes(ids);
  app.add_option("--decode", options->decode, "expanded: training's bits; absorbed: serving's, a far smaller cache, equal within a bound")
      .one_of({"expanded", "absorbed"})
      .show_default();
  app.add_option("--max-tokens", options->max_tokens,
                 fmt::format("New tokens at most; by default {}, or what the context leaves", default_max_tokens))
      .type_name("N");
  app.add_option("--temperature", options->sampling.temperature, "0: greedy, the likeliest token each time").type_name("T").show_default();
  app.add_option("--top-k", options->sampling.top_k, "Sample among the K likeliest; 0: all").type_name("K").show_default();
  app.add_option("--top-p", options->sampling.top_p, "Sample among the fewest that together have the share P")
      .type_name("P")
      .show_default();
  app.add_option("--min-p", options->sampling.min_p, "Sample among those at least P times as likely as the likeliest")
      .type_name("P")
      .show_default();
  app.add_option("--stop", options->stop, "Text that ends an answer and is not shown; may be given several times")
      .type_name("TEXT")
      .one_value_each();
  app.add_option("--seed", options->seed, "The same seed gives the same answers").type_name("N").show_default();
  app.add_flag("--logprobs", options->logprobs, "Also the log-probability of every new token");
  app.add_flag("--json", options->json, "Print one JSON document: prompt, text, ids, logprobs, finish of every answer");
  declare_weights(app, options->compute);
  declare_compute(app, options->compute);
  return [options] { return run_generate(*options); };
}

}  // namespace

extern const Command generate;
const Command generate{
    .name = "generate",
    .summary = "Continue prompts, or rows of token ids.",
    .declare = declare_generate,
};

}  // namespace godwit::cli
