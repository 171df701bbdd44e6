#include "study/int8.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <limits>
#include <map>
#include <nlohmann/json.hpp>
#include <stdexcept>
#include <string>
#include <vector>

#include "formats/file_lock.hpp"
#include "quantization/layer_table.hpp"
#include "quantization/sweep_ways.hpp"
#include "repopt/nn/models/vgg_config.hpp"
#include "study/layers.hpp"
#include "study/sections.hpp"
#include "support/temporary_folder.hpp"

using namespace repopt_cifar::study;
using repopt::testing::TemporaryFolder;
using repopt::testing::write_bytes;

namespace {

constexpr double infinite = std::numeric_limits<double>::infinity();

RunResult run(const std::string& variant, double lr, std::uint64_t seed, double accuracy) {
  return {.key = {"cifar-small", variant, lr, 2, seed}, .test_accuracy = accuracy};
}

/// Returns what `repopt-cifar sweep` prints about a network of two blocks. The outputs of the second one are all 0, and
/// with 4 bits they should not be.
std::string sweep_of(const RunKey& run) {
  repopt_cifar::Json sweep{{"float_accuracy", 0.5}};
  for (const Int8Key& key : int8_keys(run))
    sweep["results"].push_back({{"scheme", key.scheme},
                                {"calibration", key.calibration},
                                {"weight_bits", key.weight_bits},
                                {"activation_bits", key.activation_bits},
                                {"split_identity", key.split_identity},
                                {"int8_accuracy", 0.4}});
  for (int bits = 8; bits >= 4; --bits) {
    const repopt::quant::LayerReport stage0{
        .name = "stage0", .weight_std = 0.1, .weight_largest = 1, .output_seen = 3.5, .output_sqnr = 6.0 * bits - 8};
    repopt::quant::LayerReport dead = stage0;
    dead.name = "stage1.0";
    dead.output_sqnr = bits > 4 ? infinite : -infinite;
    sweep["layers_per_tensor_mse"].push_back({{"layers", repopt_cifar::to_json({stage0, dead})}});
  }
  return sweep.dump();
}

/// A study of one run, and a stand-in for repopt-cifar that prints a given text.
struct FakeStudy {
  TemporaryFolder folder{};
  RunResult result = run("plain", 0.1, 0, 0.5);
  repopt_cifar::StudyOptions options{.out = folder.path()};
  std::map<std::string, std::string> failures{};

  FakeStudy() {
    write_bytes(folder / "study.csv", to_csv(std::vector{result}));
    const std::filesystem::path runs = run_folder(options, result.key.name());
    std::filesystem::create_directories(runs);
    write_bytes(runs / "model.safetensors", "");
  }

  /// Returns the number of networks that measure_int8() finished.
  int measure(const std::string& printed) {
    write_bytes(folder / "printed", printed);
    write_bytes(folder / "program", "#!/bin/sh\ncat " + (folder / "printed").string() + "\n");
    std::filesystem::permissions(folder / "program", std::filesystem::perms::owner_all);
    int finished = 0;
    measure_int8(options, (folder / "program").string(), failures, [&] { ++finished; });
    return finished;
  }
};

std::vector<LayerResult> two_layers(const RunKey& run) {
  return {{run, "stage0", 0.1, 1, 0, 0, 3.5, {40, 34, 28, 22, 16}},
          {run, "stage1.0", 0.2, 3, 3, 12, 2.5, {39, 33, 27, 21, 15}}};
}

}  // namespace

TEST_CASE("Networks of some variants are quantized: all seeds, with their best learning rates") {
  const std::vector<RunKey> plan =
      int8_plan({run("plain", 0.1, 0, 0.5), run("plain", 0.1, 1, 0.5), run("plain", 0.2, 0, 0.4),
                 run("plain", 0.2, 1, 0.4), run("rep-ones", 0.1, 0, 0.9), run("repvgg", 0.1, 0, 0.6)});
  REQUIRE(plan.size() == 3);
  CHECK(plan[0].name() == "cifar-small-plain-lr0.1-e2-s0");
  CHECK(plan[1].name() == "cifar-small-plain-lr0.1-e2-s1");
  CHECK(plan[2].name() == "cifar-small-repvgg-lr0.1-e2-s0");
}

TEST_CASE("A network is quantized per tensor and per channel, by min-max and mse, and with the split, at 8 to 4 bits") {
  const std::vector<Int8Key> keys = int8_keys(run("plain", 0.1, 0, 0.5).key);
  REQUIRE(keys.size() == 25);
  for (const char* scheme : {"per-tensor", "per-channel"})
    for (const char* calibration : {"min-max", "mse"})
      for (int bits = 4; bits <= 8; ++bits)
        CHECK(std::ranges::count(keys, Int8Key{keys[0].run, scheme, calibration, bits, bits}) == 1);
  for (int bits = 4; bits <= 8; ++bits)
    CHECK(std::ranges::count(keys, Int8Key{keys[0].run, "per-tensor", "mse", bits, bits, 8}) == 1);
}

TEST_CASE("The split is not measured in networks whose kernels have no centre diagonal") {
  repopt::nn::VggConfig config = repopt::nn::vgg_preset("cifar-small");
  CHECK(repopt_cifar::sweep_ways(config).size() == 25);
  config.stem = 16;  // no block has as many input as output channels
  config.blocks = {1, 1, 1, 1};
  CHECK(repopt_cifar::sweep_ways(config).size() == 20);
}

TEST_CASE(
    "INT8 results that are written to quant.csv are read back unchanged, and older files are of 8 bits without the "
    "split") {
  const TemporaryFolder folder;
  CHECK(read_int8_results(folder.path()).empty());
  std::vector<Int8Result> results{
      {{{"cifar-deep", "repvgg", 0.05, 12, 2}, "per-tensor", "mse", 5, 6, 16}, 0.6, 1.0 / 3}};
  write_bytes(folder / "quant.csv", to_csv(results));
  CHECK(read_int8_results(folder.path()) == results);
  write_bytes(
      folder / "quant.csv",
      "model,variant,lr,epochs,seed,scheme,calibration,weight_bits,activation_bits,float_accuracy,int8_accuracy\n"
      "cifar-deep,repvgg,0.05,12,2,per-tensor,mse,5,6,0.6,0.25\n");
  results[0].key.split_identity = 0;
  results[0].int8_accuracy = 0.25;
  CHECK(read_int8_results(folder.path()) == results);
  write_bytes(folder / "quant.csv",
              "model,variant,lr,epochs,seed,scheme,calibration,float_accuracy,int8_accuracy\n"
              "cifar-deep,repvgg,0.05,12,2,per-tensor,mse,0.6,0.25\n");
  results[0].key.weight_bits = results[0].key.activation_bits = 8;
  CHECK(read_int8_results(folder.path()) == results);
  write_bytes(folder / "quant.csv", "model,variant\n");
  CHECK_THROWS_WITH_AS(read_int8_results(folder.path()), doctest::Contains("the first line is 'model,variant'"),
                       std::runtime_error);
}

TEST_CASE("Layers that are written to layers.csv are read back unchanged") {
  const TemporaryFolder folder;
  CHECK(read_layers(folder.path()).empty());
  std::vector<LayerResult> layers = two_layers(run("plain", 0.1, 0, 0.5).key);
  layers[1].output_sqnr = {infinite, 33, 27, 0, -infinite};
  const std::string text = to_csv(layers);
  CHECK(text.starts_with("model,variant,lr,epochs,seed,layer,weight_std,"));
  CHECK(text.find("output_sqnr_db_8,output_sqnr_db_7,output_sqnr_db_6,output_sqnr_db_5,output_sqnr_db_4\n") !=
        text.npos);
  write_bytes(folder / "layers.csv", text);
  CHECK(read_layers(folder.path()) == layers);
}

TEST_CASE("The layers in the JSON of a sweep are read, and infinite ratios keep their signs") {
  const RunKey key = run("plain", 0.1, 0, 0.5).key;
  const std::vector<LayerResult> layers = layers_of(key, nlohmann::json::parse(sweep_of(key)));
  REQUIRE(layers.size() == 2);
  CHECK(layers[0] == two_layers(key)[0]);
  CHECK(layers[1].layer == "stage1.0");
  CHECK(layers[1].output_sqnr == std::array{infinite, infinite, infinite, infinite, -infinite});
}

TEST_CASE("A study that finds quant.csv locked says so in its failures") {
  const TemporaryFolder folder;
  const repopt_cifar::FileLock other(folder / "quant.csv.lock", repopt_cifar::FileLock::Wait::no);
  std::map<std::string, std::string> failures;
  measure_int8({.out = folder.path()}, "no-program", failures, [] {});
  REQUIRE(failures.contains("quant.csv"));
  CHECK(failures["quant.csv"].find("another process holds " + (folder / "quant.csv.lock").string()) !=
        std::string::npos);
}

TEST_CASE("A sweep whose result is wrong is a failure of its network alone, and the next study measures it") {
  FakeStudy study;
  const std::string name = study.result.key.name();
  for (const std::string printed :
       {"", "{}", "{\"results\": [], \"float_accuracy\": 1, \"layers_per_tensor_mse\": []}"}) {
    study.failures.clear();
    CHECK(study.measure(printed) == 0);
    REQUIRE(study.failures.contains(name + "-int8"));
    CHECK(study.failures[name + "-int8"].find(name + "/int8.json: ") != std::string::npos);
    CHECK_FALSE(std::filesystem::exists(study.folder / "quant.csv"));
  }
  CHECK(study.measure(sweep_of(study.result.key)) == 1);
}

TEST_CASE("A network is measured once, and again if quant.csv or layers.csv was deleted") {
  FakeStudy study;
  const std::string printed = sweep_of(study.result.key);
  CHECK(study.measure(printed) == 1);
  CHECK(study.failures.empty());
  CHECK(read_int8_results(study.folder.path()).size() == int8_keys(study.result.key).size());
  CHECK(read_layers(study.folder.path()).size() == 2);
  CHECK(study.measure(printed) == 0);
  for (const char* file : {"layers.csv", "quant.csv"}) {
    std::filesystem::remove(study.folder / file);
    CHECK(study.measure(printed) == 1);
    CHECK(study.measure(printed) == 0);
  }
}

TEST_CASE("The section of integers draws accuracy against bits, and the layers, only if there are such results") {
  const std::vector<RunResult> runs{run("plain", 0.1, 0, 0.5), run("plain", 0.1, 1, 0.5), run("repvgg", 0.1, 0, 0.6)};
  const ModelSummary summary("cifar-small", runs);
  std::vector<Int8Result> results;
  for (const RunResult& result : runs) results.push_back({{result.key, "per-tensor", "mse", 8, 8}, 0.5, 0.49});
  const std::string only_8 = int8_section(summary, results, {});
  CHECK(only_8.find("<th scope='row'>plain, per-tensor, mse</th><td>2</td>") != only_8.npos);
  CHECK(only_8.find("<svg role") == only_8.npos);
  for (const RunResult& result : runs) results.push_back({{result.key, "per-tensor", "mse", 5, 5}, 0.5, 0.3});
  const std::string bits = int8_section(summary, results, two_layers(runs[0].key));
  CHECK(bits.find("aria-label='Test accuracy in %, per-tensor'") != bits.npos);
  CHECK(bits.find("aria-label='Test accuracy in %, per-channel'") == bits.npos);
  CHECK(bits.find("Largest weight / standard deviation") != bits.npos);
}

TEST_CASE("The picture of bits has a dashed line for each variant of mode rep whose split was measured") {
  const std::vector<RunResult> runs{run("plain", 0.1, 0, 0.5), run("rep-sqrt", 0.1, 0, 0.6),
                                    run("rep-searched", 0.1, 0, 0.6)};
  const ModelSummary summary("cifar-small", runs);
  std::vector<Int8Result> results;
  for (const RunResult& result : runs)
    for (const int bits : {8, 5}) results.push_back({{result.key, "per-tensor", "mse", bits, bits}, 0.5, 0.3});
  const std::string item = "stroke-dasharray='6 4'/></svg>rep-sqrt, diagonals split off</li>";
  const std::string without = int8_section(summary, results, {});
  CHECK(without.find("<polyline") != without.npos);
  CHECK(without.find("dasharray") == without.npos);
  for (const std::size_t of : {std::size_t(0), std::size_t(1)})  // plain and rep-sqrt
    for (const int bits : {8, 5}) results.push_back({{runs[of].key, "per-tensor", "mse", bits, bits, 8}, 0.5, 0.4});
  const std::string with = int8_section(summary, results, {});
  CHECK(with.find(item) != with.npos);
  CHECK(with.find("split off</li>") == with.rfind("split off</li>"));
  const std::string five_bits = with.substr(with.find("aria-label='Test accuracy in % at 5 bits"));
  CHECK(five_bits.find("<polyline") == five_bits.rfind("<polyline"));  // from rep-sqrt to its split
  CHECK(with.substr(0, with.find("<svg role")) == without.substr(0, without.find("<svg role")));
}
