// godwit serve: a model behind OpenAI's API, and a page to chat with it.
#include <filesystem>

#include "base/clock.h"
#include "base/log.h"
#include "cli/command.h"
#include "cli/common.h"
#include "serve/server.h"
#include "store/model_source.h"

namespace godwit::cli {

namespace {

constexpr std::int64_t mebibyte = std::int64_t{1} << 20;

struct Options {
  std::string model;
  std::string name;
  std::string api_key_file;
  std::int64_t context = 0;
  std::int64_t cache_memory = 0;  // MiB
  std::int64_t batch_rows = 128;
  std::int64_t guesses = 0;
  std::int64_t port = 8080;
  serve::ServeOptions serve;
  ComputeOptions compute;
};

// The last part of the path, with what stands behind an @ ("demo@best").
std::string default_name(const std::string& model) {
  const std::filesystem::path path = std::filesystem::path(model).lexically_normal();
  return (path.has_filename() ? path : path.parent_path()).filename().string();
}

// What is needed of the model here; its weights are the engine's.
Result<serve::ServedModel> look_at_model(const Options& options, std::string& pinned) {
  TRY_ASSIGN(const store::ModelSource source, store::ModelSource::open(options.model));
  serve::ServedModel model;
  model.name = options.name.empty() ? default_name(options.model) : options.name;
  model.created = unix_time();
  model.vocab_size = source.model().vocab_size();
  model.context = source.model().context();
  if (options.context > model.context) {
    return input_error("--context {} is more than the model's {}; give that or less", options.context, model.context);
  }
  if (options.context > 0) model.context = options.context;
  TRY_ASSIGN(model.tokenizer, source.tokenizer());
  if (model.tokenizer) {
    model.chat_format = text::recognise_template(model.tokenizer->chat_template());
    model.vocabulary.emplace(*model.tokenizer);
  }
  // A run that goes on training has newer checkpoints later: an engine that is begun anew takes this one.
  pinned = source.run() ? source.run()->first.string() + "@" + std::to_string(source.run()->second) : options.model;
  return model;
}

std::vector<std::string> engine_arguments(const Options& options, const std::string& model) {
  std::vector<std::string> words{"godwit", "serve-engine", model};
  const auto add = [&](const char* name, const std::string& value) { words.insert(words.end(), {name, value}); };
  add("--streams", std::to_string(options.serve.streams));
  add("--context", std::to_string(options.context));
  add("--cache-memory", std::to_string(options.cache_memory * mebibyte));
  add("--batch-rows", std::to_string(options.batch_rows));
  add("--guesses", std::to_string(options.guesses));
  add("--threads", std::to_string(device_options(options.compute).threads));
  add("--backend", options.compute.backend);
  if (!options.compute.isa.empty()) add("--isa", options.compute.isa);
  if (!options.compute.dtype.empty()) add("--dtype", options.compute.dtype);
  add("--weights", options.compute.weights);
  if (options.compute.quiet) words.emplace_back("--quiet");
  return words;
}

// What a user tries first.
std::string example(const Options& options, const serve::ServedModel& model, const std::string& address) {
  const std::string key = options.api_key_file.empty() ? "" : " -H 'Authorization: Bearer KEY'";
  if (!model.chat_format) {
    return fmt::format("curl {}/v1/completions{} -H 'Content-Type: application/json' -d '{{\"prompt\": {}, \"max_tokens\": 32}}'", address,
                       key, model.tokenizer ? "\"Once upon a time\"" : "[1, 2, 3]");
  }
  return fmt::format(
      "curl {}/v1/chat/completions{} -H 'Content-Type: application/json' -d '{{\"messages\": [{{\"role\": \"user\", \"content\": "
      "\"Hello\"}}]}}'",
      address, key);
}

Result<int> run_serve(Options& options) {
  serve::HttpOptions& http = options.serve.http;
  if (http.tls_cert.empty() != http.tls_key.empty()) return input_error("--tls-cert and --tls-key belong together; give both or none");
  std::string pinned;
  TRY_ASSIGN(const serve::ServedModel model, look_at_model(options, pinned));
  http.port = static_cast<int>(options.port);
  options.serve.api_key_file = options.api_key_file;
  options.serve.engine_arguments = engine_arguments(options, pinned);
  options.serve.listening = [&](const std::string& address) {
    log_info("{} is being loaded; {}/health says when it is ready", model.name, address);
  };
  options.serve.ready = [&](const std::string& address) {
    (void)print(fmt::format("godwit serves {} at {}\n{}\n", model.name, address, example(options, model, address)));
    (void)flush_output();
  };
  TRY(serve::serve(model, options.serve));
  return exit_finished;
}

CommandBody declare_serve(App app) {
  auto options = std::make_shared<Options>();
  serve::ServeOptions& serve = options->serve;
  app.add_option("MODEL", options->model, "Hugging Face directory, run directory, RUN@STEP or RUN@best").required();
  app.add_option("--host", serve.http.host, "Address to listen on; only this machine's own programs reach the default")
      .type_name("HOST")
      .show_default();
  app.add_option("--port", options->port, "Port to listen on; 0: one that is free, which is printed")
      .type_name("PORT")
      .between(0, 65535)
      .show_default();
  app.add_option("--name", options->name, "What clients call the model; by default the last part of its path").type_name("NAME");
  app.add_option("--api-key-file", options->api_key_file, "Keys, one a line; whoever asks must send one").type_name("FILE");
  app.add_option("--tls-cert", serve.http.tls_cert, "Certificate chain in PEM: serve HTTPS").type_name("FILE");
  app.add_option("--tls-key", serve.http.tls_key, "The certificate's private key in PEM").type_name("FILE");
  app.add_option("--cors-origin", serve.cors_origins, "Pages of this origin may ask; may be given several times")
      .type_name("ORIGIN")
      .one_value_each();
  app.add_option("--streams", serve.streams, "Answers made at once").type_name("N").between(1, 4096).show_default();
  app.add_option("--max-queue", serve.max_queue, "Answers that may wait beyond those; more are refused with 429")
      .type_name("N")
      .between(0, 1000000)
      .show_default();
  app.add_option("--context", options->context, "Tokens of a prompt and its answer together; by default the model's")
      .type_name("N")
      .between(1, 1 << 30);
  app.add_option("--cache-memory", options->cache_memory,
                 "MiB for cached rows; by default room for every stream, or what the memory leaves")
      .type_name("MIB")
      .between(1, 1 << 30);
  app.add_option("--batch-rows", options->batch_rows, "Prompt tokens computed in one step beside the answers'")
      .type_name("N")
      .between(1, 65536)
      .show_default();
  app.add_option("--guesses", options->guesses, "Tokens the MTP layer guesses ahead").type_name("N").between(0, 8).show_default();
  app.add_option("--stop-seconds", serve.stop_s, "After SIGTERM, what is under way may take that long")
      .type_name("S")
      .between(0, 86400)
      .show_default();
  declare_weights(app, options->compute);
  declare_compute(app, options->compute);
  return [options] { return run_serve(*options); };
}

}  // namespace

extern const Command serve;
const Command serve{
    .name = "serve",
    .summary = "Serve a model: OpenAI's API, and a page to chat with it.",
    .declare = declare_serve,
};

}  // namespace godwit::cli
