// What could go wrong: a weight is missed, transposed or taken from the wrong expert; a model is opened that is not the one its config
// describes; a run's damaged checkpoint is used; an export loses a bit, or writes over something.
#include "store/model_source.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <cstring>
#include <limits>
#include <map>

#include "base/file.h"
#include "base/json.h"
#include "store/checkpoint.h"
#include "store/huggingface_files.h"
#include "store/run_directory.h"
#include "store/test_directory.h"

namespace godwit::store {
namespace {

using testing::AllOf;
using testing::HasSubstr;

const fs::path golden = fs::path(GODWIT_SOURCE_DIR) / "tests/golden";

std::vector<float> values_of(const ModelSource& source, std::size_t index) {
  std::vector<float> values(static_cast<std::size_t>(source.model().parameters()[index].shape.count()));
  const auto read = source.read(index, values);
  EXPECT_TRUE(read.ok()) << read.error().message;
  return values;
}

std::string refused(const std::string& model) {
  const auto source = ModelSource::open(model);
  return source.ok() ? "opened" : source.error().message;
}

// Opens, and gives what was said on the way.
std::string said_of(const std::string& model) {
  testing::internal::CaptureStderr();
  const auto source = ModelSource::open(model);
  const std::string said = testing::internal::GetCapturedStderr();
  return source.ok() ? said : "refused: " + source.error().message;
}

// A directory of weights that a test changes: name → content, all F32.
struct Directory {
  struct Tensor {
    std::vector<std::uint64_t> shape;
    std::vector<float> values;
    FileDtype dtype = FileDtype::f32;
  };
  Json config;
  std::map<std::string, Tensor> tensors;

  static Directory copy_of(const fs::path& from) {
    Directory directory;
    directory.config = parse_json(read_file(from / "config.json").value(), "config").value();
    const auto source = TensorSource::open(from).value();
    for (const auto& name : source.names()) {
      auto& tensor = directory.tensors[name];
      tensor.shape = source.find(name)->shape;
      tensor.values.resize(source.find(name)->bytes.size() / dtype_bytes(source.find(name)->dtype));
      EXPECT_TRUE(source.read_f32(name, tensor.values).ok());
    }
    return directory;
  }
  // A model of width 8 with one dense, one MoE and one MTP layer, its weights all different.
  static Directory small(bool mtp) {
    Directory directory;
    directory.config = parse_json(R"({"model_type": "deepseek_v3", "vocab_size": 11, "hidden_size": 8, "num_hidden_layers": 2,
      "num_attention_heads": 2, "q_lora_rank": 6, "kv_lora_rank": 5, "qk_nope_head_dim": 3, "qk_rope_head_dim": 2, "v_head_dim": 4,
      "intermediate_size": 7, "moe_intermediate_size": 3, "n_routed_experts": 4, "num_experts_per_tok": 2, "n_shared_experts": 1,
      "first_k_dense_replace": 1, "num_nextn_predict_layers": 0, "torch_dtype": "bfloat16"})",
                                  "small")
                           .value();
    directory.config["num_nextn_predict_layers"] = mtp ? 1 : 0;
    const auto model = model::model_from_config(directory.config, "small").value();
    float next = 0.25f;
    for (const auto& parameter : model->parameters()) {
      const std::size_t each = static_cast<std::size_t>(parameter.shape.count()) / parameter.files.size();
      for (const auto& name : parameter.files) {
        auto& tensor = directory.tensors[name];
        for (int axis = parameter.stacked() ? 1 : 0; axis < parameter.shape.rank(); ++axis)
          tensor.shape.push_back(static_cast<std::uint64_t>(parameter.shape[axis]));
        for (std::size_t i = 0; i < each; ++i) tensor.values.push_back(next += 0.125f);
      }
    }
    return directory;
  }
  const fs::path& write(const fs::path& to) const {
    EXPECT_TRUE(create_directories_durably(to).ok());
    EXPECT_TRUE(write_file_durably(to / "config.json", write_json(config)).ok());
    std::vector<OutputTensor> list;
    for (const auto& [name, tensor] : tensors) list.push_back(tensor_of_f32(name, tensor.dtype, tensor.shape, tensor.values));
    EXPECT_TRUE(write_huggingface_weights(to, list, 1 << 30).ok());
    return to;
  }
};

TEST(ModelSource, ReadsWhatTransformersSaved) {
  for (const char* name : {"moe", "dense", "direct-q"}) {
    testing::internal::CaptureStderr();
    const auto source = ModelSource::open((golden / name).string()).value();
    EXPECT_THAT(testing::internal::GetCapturedStderr(),
                HasSubstr("config.json: says 1 MTP layer, the files hold none; the model has none"));
    EXPECT_FALSE(source.model().has_mtp());
    EXPECT_EQ(source.dtype(), "f32");
    EXPECT_EQ(source.run(), std::nullopt);
    EXPECT_EQ(source.tokenizer_directory(), std::nullopt);
    EXPECT_FALSE(source.tokenizer().value().has_value());
    const auto files = TensorSource::open(golden / name).value();
    EXPECT_EQ(source.digest().value(), files.digest());
    for (std::size_t i = 0; i < source.model().parameters().size(); ++i) {
      const auto& parameter = source.model().parameters()[i];
      const auto values = values_of(source, i);
      const std::size_t each = values.size() / parameter.files.size();
      for (std::size_t file = 0; file < parameter.files.size(); ++file) {
        const auto bytes = files.find(parameter.files[file])->bytes;
        ASSERT_EQ(bytes.size(), each * sizeof(float));
        EXPECT_EQ(std::memcmp(bytes.data(), values.data() + file * each, bytes.size()), 0) << parameter.files[file];
      }
    }
  }
}

TEST(ModelSource, WeightsThatAreNotTheConfigsAreNamed) {
  const auto message = [](auto change) {
    const TestDirectory directory;
    auto model = Directory::small(false);
    change(model);
    model.write(directory.path());
    return refused(directory.path().string());
  };
  const std::string up = "model.layers.1.mlp.experts.2.up_proj.weight";
  EXPECT_EQ(message([](Directory&) {}), "opened");
  EXPECT_THAT(message([&](Directory& d) { d.tensors.erase(up); }), HasSubstr("1 weights that config.json asks for are missing: " + up));
  EXPECT_THAT(message([&](Directory& d) {
                d.tensors["model.extra"] = {{1}, {1}};
              }),
              HasSubstr("1 tensors are no weights of this model: model.extra"));
  EXPECT_THAT(message([&](Directory& d) {
                d.tensors.erase("lm_head.weight");
                d.tensors["head"] = {{1}, {1}};
              }),
              AllOf(HasSubstr("missing: lm_head.weight"), HasSubstr("; 1 tensors are no weights of this model: head")));
  EXPECT_THAT(
      message([&](Directory& d) { std::erase_if(d.tensors, [](const auto& item) { return item.first.starts_with("model.layers.1."); }); }),
      HasSubstr(" and "));
  EXPECT_THAT(message([&](Directory& d) {
                d.tensors[up].shape = {8, 3};
              }),
              AllOf(HasSubstr("model.safetensors: " + up + " has shape [8, 3]"), HasSubstr("config.json asks for [3, 8]")));
  EXPECT_THAT(message([&](Directory& d) { d.config["model_type"] = "llama"; }), HasSubstr("model_type 'llama'"));
  EXPECT_THAT(message([&](Directory& d) { d.config["hidden_size"] = 10; }), AllOf(HasSubstr("has shape"), HasSubstr("asks for")));
  EXPECT_THAT(message([&](Directory& d) {
                d.config["quantization_config"] = {{"quant_method", "gptq"}};
              }),
              HasSubstr("quantization_config.quant_method = \"gptq\" is not supported, only \"fp8\""));
  EXPECT_THAT(message([&](Directory& d) {
                d.config["quantization_config"] = {{"quant_method", "fp8"}, {"weight_block_size", {64, 64}}};
              }),
              HasSubstr("weight_block_size = [64,64] is not supported, only [128,128]"));
  EXPECT_EQ(message([&](Directory& d) {
              d.config["quantization_config"] = {{"quant_method", "fp8"}, {"weight_block_size", {128, 128}}};
            }),
            "opened");
  EXPECT_EQ(message([&](Directory& d) { d.tensors["model.layers.0.self_attn.rotary_emb.inv_freq"] = {{1}, {1}}; }), "opened");
  EXPECT_EQ(message([&](Directory& d) { d.tensors["model.layers.1.mlp.gate.e_score_correction_bias"].dtype = FileDtype::bf16; }), "opened");
}

TEST(ModelSource, AnMtpLayerIsThereOrSaidNotToBe) {
  const TestDirectory directory;
  auto model = Directory::small(true);
  const std::string embed = "model.embed_tokens.weight", copy = "model.layers.2.embed_tokens.weight";
  EXPECT_EQ(said_of(model.write(directory / "whole").string()), "");
  EXPECT_TRUE(ModelSource::open((directory / "whole").string())->model().has_mtp());
  model.tensors[copy] = model.tensors[embed];
  EXPECT_EQ(said_of(model.write(directory / "copied").string()), "");
  model.tensors[copy].values[3] += 1;
  EXPECT_THAT(said_of(model.write(directory / "differing").string()),
              AllOf(HasSubstr("refused: "), HasSubstr(copy + " (F32 [11, 8]) differs from " + embed)));
  model.tensors[copy] = model.tensors[embed];
  model.tensors.erase("model.layers.2.enorm.weight");
  EXPECT_THAT(said_of(model.write(directory / "partly").string()), HasSubstr("missing: model.layers.2.enorm.weight"));
  model.config["num_nextn_predict_layers"] = 0;
  EXPECT_THAT(said_of(model.write(directory / "unasked").string()), HasSubstr("tensors of model.layers.2.* in the files are ignored"));
  EXPECT_FALSE(ModelSource::open((directory / "unasked").string())->model().has_mtp());
}

TEST(ModelSource, WhatIsNoModelIsSaid) {
  const TestDirectory directory;
  EXPECT_THAT(refused((directory / "none").string()), HasSubstr("none: does not exist; a model is a Hugging Face directory"));
  EXPECT_THAT(refused((directory / "none@5").string()), HasSubstr("none: does not exist"));
  EXPECT_THAT(refused(directory.path().string()), HasSubstr("has neither config.json nor config.toml"));
  EXPECT_THAT(refused((golden / "moe@best").string()), HasSubstr("is a Hugging Face directory; @best is for runs"));
  Directory::small(false).write(directory / "at@7");
  EXPECT_EQ(refused((directory / "at@7").string()), "opened") << "a directory may be called so";
  EXPECT_EQ(ModelSource::open((directory / "at@7").string())->dtype(), "bf16");
  ASSERT_TRUE(write_file_durably(directory / "config.toml", "").ok());
  EXPECT_THAT(refused(directory.path().string()), HasSubstr("is a run without checkpoints"));
}

// A run of the small model; the weights of step N are all N.
struct SmallRun {
  TestDirectory directory;
  RunDirectory run{directory / "run"};
  std::unique_ptr<model::Model> model = model::model_from_config(Directory::small(true).config, "small").value();

  SmallRun() {
    EXPECT_TRUE(create_directories_durably(run.checkpoints()).ok());
    EXPECT_TRUE(create_directories_durably(run.root / "model").ok());
    EXPECT_TRUE(write_file_durably(run.config(), "").ok());
    EXPECT_TRUE(write_file_durably(run.model_config(), write_json(model->config_json("float32", true))).ok());
    EXPECT_TRUE(write_file_durably(run.model_run(), R"({"dtype": "bf16"})").ok());
  }
  Digest add(std::uint64_t step) {
    std::vector<std::vector<float>> values;
    StateList list;
    for (const auto& parameter : model->parameters()) {
      std::vector<std::uint64_t> shape;
      for (int axis = 0; axis < parameter.shape.rank(); ++axis) shape.push_back(static_cast<std::uint64_t>(parameter.shape[axis]));
      auto& content = values.emplace_back(static_cast<std::size_t>(parameter.shape.count()), static_cast<float>(step));
      list.push_back({parameter.name, "F32", shape, std::as_writable_bytes(std::span(content))});
      list.push_back({"adam.m." + parameter.name, "F32", shape, std::as_writable_bytes(std::span(content))});
    }
    list.push_back({"run.step", "U64", {}, std::as_writable_bytes(std::span(&step, 1))});
    const auto digests = digest_tensors(list, 1);
    EXPECT_TRUE(write_checkpoint(run.checkpoints(), step, list, digests, "exact/1").ok());
    return state_digest(digests);
  }
  std::string at(std::string_view selector) const { return run.root.string() + std::string(selector); }
};

TEST(ModelSource, ARunsNewestGoodCheckpointAStepOrTheBest) {
  SmallRun run;
  EXPECT_THAT(refused(run.at("")), HasSubstr("the run has no checkpoint yet"));
  EXPECT_THAT(refused(run.at("@best")), HasSubstr("the run has no best checkpoint"));
  std::map<std::uint64_t, Digest> digests;
  for (const std::uint64_t step : {10, 20, 30}) digests[step] = run.add(step);
  ASSERT_TRUE(write_best(run.run, {10, 1.5}).ok());
  const auto is = [&](std::string_view selector, std::uint64_t step) {
    const auto source = ModelSource::open(run.at(selector));
    ASSERT_TRUE(source.ok()) << source.error().message;
    EXPECT_EQ(source->run()->second, step);
    EXPECT_EQ(source->digest().value(), digests[step]);
    EXPECT_EQ(source->dtype(), "bf16");
    EXPECT_EQ(source->description(), fmt::format("{}, step {}", run.at(""), step));
    EXPECT_TRUE(source->model().has_mtp());
    for (std::size_t i = 0; i < source->model().parameters().size(); ++i)
      EXPECT_THAT(values_of(*source, i), testing::Each(static_cast<float>(step)));
  };
  is("", 30);
  is("@20", 20);
  is("@best", 10);
  EXPECT_THAT(refused(run.at("@25")), HasSubstr("has no checkpoint of step 25; it has 10, 20, 30"));
  EXPECT_THAT(refused(run.at("@newest")), HasSubstr("after @ comes a step or the word best"));
  EXPECT_THAT(refused(run.at("@-1")), HasSubstr("after @ comes a step or the word best"));

  fs::resize_file(run.run.checkpoints() / "30/state.safetensors", 1000);
  EXPECT_THAT(said_of(run.at("")), HasSubstr("checkpoint 30 is passed over: "));
  is("", 20);
  EXPECT_THAT(refused(run.at("@30")), HasSubstr("30/state.safetensors: has 1000 bytes"));
  for (const char* step : {"10", "20"}) fs::remove(run.run.checkpoints() / step / "manifest.json");
  EXPECT_THAT(refused(run.at("")), HasSubstr("no checkpoint of the run is intact"));
}

TEST(ModelSource, ARunOfAnotherModelIsNamed) {
  SmallRun run;
  run.add(1);
  Json config = run.model->config_json("float32", true);
  config["vocab_size"] = 12;
  ASSERT_TRUE(write_file_durably(run.run.model_config(), write_json(config)).ok());
  EXPECT_THAT(refused(run.at("")), AllOf(HasSubstr("model.embed_tokens.weight is F32 [11, 8]"), HasSubstr("asks for F32 [12, 8]")));
  config = run.model->config_json("float32", true);
  config["num_hidden_layers"] = 3;
  ASSERT_TRUE(write_file_durably(run.run.model_config(), write_json(config)).ok());
  EXPECT_THAT(refused(run.at("")), HasSubstr("checkpoints/1: has no model.layers.3.enorm.weight"));
  ASSERT_TRUE(write_file_durably(run.run.model_run(), R"({"dtype": "f64"})").ok());
  EXPECT_THAT(refused(run.at("")), HasSubstr("dtype is \"f64\""));
}

// ---- Export ----

std::vector<std::string> files_in(const fs::path& path) {
  return list_directory(path).value();
}

TEST(Export, GivesBackEveryTensorBitForBit) {
  for (const char* name : {"moe", "dense", "direct-q"}) {
    for (const std::string dtype : {"f32", "bf16", "f16"}) {
      const TestDirectory directory;
      testing::internal::CaptureStderr();
      const auto source = ModelSource::open((golden / name).string()).value();
      ASSERT_TRUE(export_huggingface(source, directory / "a", {.dtype = dtype}).ok());
      const auto again = ModelSource::open((directory / "a").string()).value();
      ASSERT_TRUE(export_huggingface(again, directory / "b", {.dtype = dtype, .shard_bytes_max = 100000}).ok());
      testing::internal::GetCapturedStderr();
      const auto a = TensorSource::open(directory / "a").value(), b = TensorSource::open(directory / "b").value();
      EXPECT_EQ(a.digest(), b.digest());
      if (dtype == "f32") {
        EXPECT_EQ(a.digest(), source.digest().value()) << name;
      }
      EXPECT_EQ(a.names(), TensorSource::open(golden / name)->names());
      for (const auto& tensor : a.names()) {
        const bool bias = tensor.ends_with("e_score_correction_bias");
        EXPECT_EQ(a.find(tensor)->dtype, dtype == "f32" || bias ? FileDtype::f32 : dtype == "bf16" ? FileDtype::bf16 : FileDtype::f16);
      }
      EXPECT_EQ(again.dtype(), dtype == "bf16" ? "bf16" : "f32");
      EXPECT_EQ(files_in(directory / "a"), (std::vector<std::string>{"config.json", "generation_config.json", "model.safetensors"}));
      EXPECT_GT(files_in(directory / "b").size(), 5u);
      EXPECT_EQ(read_file(directory / "a/config.json").value(), read_file(directory / "b/config.json").value());
      EXPECT_EQ(files_in(directory.path()), (std::vector<std::string>{"a", "b"})) << "nothing is left beside them";
    }
  }
}

TEST(Export, SaysWhatGenerationNeeds) {
  const TestDirectory directory;
  const auto source = ModelSource::open(Directory::small(false).write(directory / "in").string()).value();
  ASSERT_TRUE(export_huggingface(source, directory / "new/out/", {.dtype = "bf16"}).ok());
  EXPECT_EQ(write_json(parse_json(read_file(directory / "new/out/generation_config.json").value(), "g").value()),
            R"({"_from_model_config":true,"bos_token_id":0,"eos_token_id":1,"do_sample":false})");
  const Json config = parse_json(read_file(directory / "new/out/config.json").value(), "c").value();
  EXPECT_EQ(config["torch_dtype"], "bfloat16");
  EXPECT_EQ(config["architectures"][0], "DeepseekV3ForCausalLM");
}

TEST(Export, TheMtpLayerGoesAlongOnRequestWithItsCopies) {
  const TestDirectory directory;
  const auto source = ModelSource::open(Directory::small(true).write(directory / "in").string()).value();
  ASSERT_TRUE(export_huggingface(source, directory / "with", {.with_mtp = true}).ok());
  ASSERT_TRUE(export_huggingface(source, directory / "without", {}).ok());
  const auto with = TensorSource::open(directory / "with").value(), without = TensorSource::open(directory / "without").value();
  for (const auto& [copy, original] : {std::pair("model.layers.2.embed_tokens.weight", "model.embed_tokens.weight"),
                                       std::pair("model.layers.2.shared_head.head.weight", "lm_head.weight")}) {
    ASSERT_NE(with.find(copy), nullptr);
    EXPECT_TRUE(std::ranges::equal(with.find(copy)->bytes, with.find(original)->bytes));
  }
  EXPECT_NE(with.find("model.layers.2.eh_proj.weight"), nullptr);
  for (const auto& name : without.names()) EXPECT_FALSE(name.starts_with("model.layers.2.")) << name;
  EXPECT_TRUE(ModelSource::open((directory / "with").string())->model().has_mtp());
  EXPECT_EQ(said_of((directory / "without").string()), "");
  const auto plain = ModelSource::open((directory / "without").string()).value();
  const auto refused_export = export_huggingface(plain, directory / "x", {.with_mtp = true});
  ASSERT_FALSE(refused_export.ok());
  EXPECT_THAT(refused_export.error().message, HasSubstr("has no MTP layer to export"));
}

TEST(Export, ANumberDoesNotBecomeInfinity) {
  const TestDirectory directory;
  auto model = Directory::small(false);
  auto& up = model.tensors["model.layers.1.mlp.experts.2.up_proj.weight"].values;
  up[5] = 65519.0f;  // the largest that rounds to F16's largest
  up[6] = std::numeric_limits<float>::infinity();
  up[7] = std::bit_cast<float>(0x7fc00000);
  testing::internal::CaptureStderr();
  const auto fits = ModelSource::open(model.write(directory / "fits").string()).value();
  EXPECT_TRUE(export_huggingface(fits, directory / "a", {.dtype = "f16"}).ok()) << "an infinity stays what it is";
  up[5] = -65520.0f;
  const auto large = ModelSource::open(model.write(directory / "large").string()).value();
  const auto refused_f16 = export_huggingface(large, directory / "b", {.dtype = "f16"});
  ASSERT_FALSE(refused_f16.ok());
  EXPECT_EQ(refused_f16.error().kind, ErrorKind::input);
  EXPECT_THAT(refused_f16.error().message,
              HasSubstr("model.layers.1.mlp.experts.2.up_proj.weight: element 5 is -65520, which F16 can only hold"));
  EXPECT_TRUE(export_huggingface(large, directory / "c", {.dtype = "bf16"}).ok());
  up[5] = 3.4e38f;
  const auto larger = ModelSource::open(model.write(directory / "larger").string()).value();
  EXPECT_FALSE(export_huggingface(larger, directory / "d", {.dtype = "bf16"}).ok());
  EXPECT_TRUE(export_huggingface(larger, directory / "e", {}).ok());
  EXPECT_FALSE(export_huggingface(larger, directory / "f", {.dtype = "f64"}).ok());
  testing::internal::GetCapturedStderr();
  EXPECT_EQ(files_in(directory.path()), (std::vector<std::string>{"a", "c", "e", "fits", "large", "larger"}));
}

TEST(Export, NothingIsWrittenOver) {
  const TestDirectory directory;
  const auto source = ModelSource::open(Directory::small(false).write(directory / "in").string()).value();
  ASSERT_TRUE(create_directories_durably(directory / "full").ok());
  ASSERT_TRUE(write_file_durably(directory / "full/mine", "mine").ok());
  ASSERT_TRUE(write_file_durably(directory / "file", "mine").ok());
  ASSERT_TRUE(create_directories_durably(directory / "empty").ok());
  const auto to_full = export_huggingface(source, directory / "full", {});
  ASSERT_FALSE(to_full.ok());
  EXPECT_EQ(to_full.error().kind, ErrorKind::input);
  EXPECT_THAT(to_full.error().message, HasSubstr("exists and is not empty (it holds mine)"));
  EXPECT_EQ(files_in(directory / "full"), std::vector<std::string>{"mine"});
  EXPECT_FALSE(export_huggingface(source, directory / "file", {}).ok());
  EXPECT_FALSE(export_huggingface(source, "", {}).ok());
  EXPECT_TRUE(export_huggingface(source, directory / "empty", {}).ok());
}

TEST(Export, AFullDiskLeavesNothing) {
  const TestDirectory directory;
  const auto source = ModelSource::open(Directory::small(false).write(directory / "in").string()).value();
  int failing = 0;
  for (bool more = true; more; ++failing) {
    int calls = 0;
    bool was_written = false;
    {
      const ScopedDiskFault fault(
          [&](DiskCall& call) { return call.operation != DiskOperation::remove && calls++ == failing ? ENOSPC : 0; });
      was_written = export_huggingface(source, directory / "out", {}).ok();
    }
    more = calls > failing;
    if (!was_written && fs::exists(directory / "out")) {
      // Only the sync after the rename failed: what is there is whole.
      EXPECT_EQ(refused((directory / "out").string()), "opened");
    }
    ASSERT_EQ(was_written, !more);
    if (more) fs::remove_all(directory / "out");
    EXPECT_EQ(files_in(directory.path()).size(), more ? 1u : 2u) << failing;
  }
  EXPECT_GT(failing, 10);
}

TEST(Export, TheTokenizerGoesAlong) {
  const TestDirectory directory;
  auto model = Directory::small(false);
  const auto tokenizer = text::Tokenizer::bytes();
  ASSERT_TRUE(tokenizer.save(model.write(directory / "in")).ok());
  const auto source = ModelSource::open((directory / "in").string()).value();
  EXPECT_EQ(source.tokenizer_directory(), directory / "in");
  ASSERT_TRUE(export_huggingface(source, directory / "out", {}).ok());
  const auto exported = ModelSource::open((directory / "out").string()).value().tokenizer().value();
  ASSERT_TRUE(exported.has_value());
  EXPECT_EQ(exported->json(), tokenizer.json());
  EXPECT_EQ(exported->chat_template(), tokenizer.chat_template());
  EXPECT_FALSE(exported->chat_template().empty());
}

}  // namespace
}  // namespace godwit::store
