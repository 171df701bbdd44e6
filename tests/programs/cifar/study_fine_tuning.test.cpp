#include "study/fine_tuning.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <csignal>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <map>
#include <stdexcept>
#include <string>
#include <vector>

#include "commands.hpp"
#include "formats/csv.hpp"
#include "formats/file_lock.hpp"
#include "study/sections.hpp"
#include "support/temporary_folder.hpp"

using namespace repopt_cifar::study;
using repopt::testing::TemporaryFolder;
using repopt::testing::write_bytes;

namespace {

const RunKey plain{"cifar-small", "plain", 0.1, 2, 1}, repvgg{"cifar-small", "repvgg", 0.1, 2, 1};

constexpr const char* quantize_json =
    "{\"float_accuracy\": 0.7, \"int8_accuracy\": 0.6, \"before_fine_tuning\": {\"float_accuracy\": 0.8, "
    "\"int8_accuracy\": 0.5}}";

/// A study that plans plain and repvgg. Trained are plain, and rep-sqrt, which it does not plan. A stand-in for
/// repopt-cifar notes its arguments and prints a given text.
struct FakeTuning {
  TemporaryFolder folder{};
  repopt_cifar::StudyOptions options{.data = "pictures", .out = folder.path(), .fine_tune_epochs = 3};
  std::map<std::string, std::string> failures{};
  std::string command = ":";  ///< what the stand-in does besides, as a line of a shell script

  FakeTuning() {
    const RunKey unplanned{"cifar-small", "rep-sqrt", 0.1, 2, 1};
    write_bytes(folder / "study.csv", to_csv(std::vector{RunResult{.key = plain}, RunResult{.key = unplanned}}));
    for (const RunKey& key : {plain, unplanned}) {
      const std::filesystem::path runs = run_folder(options, key.name());
      std::filesystem::create_directories(runs);
      write_bytes(runs / "model.safetensors", "");
    }
  }

  /// Returns the number of fine-tunings that finished. Calls `finished` after each.
  int measure(
      const std::string& printed, void (*finished)() = [] {}) {
    write_bytes(folder / "printed", printed);
    write_bytes(folder / "program", "#!/bin/sh\n" + command + "\necho \"$*\" >>" + (folder / "arguments").string() +
                                        "\ncat " + (folder / "printed").string() + "\n");
    std::filesystem::permissions(folder / "program", std::filesystem::perms::owner_all);
    int number = 0;
    measure_fine_tuning(options, {{plain, ""}, {repvgg, ""}}, (folder / "program").string(), failures, [&] {
      ++number;
      finished();
    });
    return number;
  }

  std::string arguments() const { return repopt_cifar::read_text(folder / "arguments"); }
};

}  // namespace

TEST_CASE("A network is fine-tuned for 5 and 4 bits, without and with the split") {
  const std::vector<FineTuningKey> keys = fine_tuning_keys(plain, 3);
  REQUIRE(keys.size() == 4);
  for (const int bits : {5, 4})
    for (const int split : {0, 8}) CHECK(std::ranges::count(keys, FineTuningKey{plain, bits, split, 3}) == 1);
}

TEST_CASE("Results that are written to fine_tuned.csv are read back unchanged, and other files are refused") {
  const TemporaryFolder folder;
  CHECK(read_fine_tuning(folder.path()).empty());
  const std::vector<FineTuningResult> results{{{plain, 5, 16, 2}, 0.8, 0.1, 0.7, 1.0 / 3}};
  write_bytes(folder / "fine_tuned.csv", to_csv(results));
  CHECK(read_fine_tuning(folder.path()) == results);
  write_bytes(folder / "fine_tuned.csv", "model,variant\n");
  CHECK_THROWS_WITH_AS(read_fine_tuning(folder.path()), doctest::Contains("the first line is 'model,variant'"),
                       std::runtime_error);
}

TEST_CASE("Trained networks of the plan are fine-tuned once in each way, and longer ones are other results") {
  FakeTuning study;
  CHECK(study.measure(quantize_json) == 4);
  CHECK(study.failures.empty());
  const std::vector<FineTuningResult> results = read_fine_tuning(study.folder.path());
  REQUIRE(results.size() == 4);
  CHECK(results[1] == FineTuningResult{{plain, 5, 8, 3}, 0.8, 0.5, 0.7, 0.6});
  const std::string weights = (run_folder(study.options, plain.name()) / "model.safetensors").string();
  CHECK(study.arguments().find("quantize --scheme per-tensor --weight-bits 5 --activation-bits 5 --split-identity=8 "
                               "--fine-tune-epochs 3 --batch-size 128 --seed 1 --weights " +
                               weights + " --data pictures --limit 0 --threads 1\n") != std::string::npos);
  CHECK(study.arguments().find("--activation-bits 4 --fine-tune-epochs 3") != std::string::npos);
  CHECK(study.measure(quantize_json) == 0);
  study.options.fine_tune_epochs = 4;
  CHECK(study.measure(quantize_json) == 4);
  CHECK(read_fine_tuning(study.folder.path()).size() == 8);
}

TEST_CASE("A fine-tuning whose result is wrong is a failure of its own") {
  FakeTuning study;
  for (const std::string printed : {"", "{\"float_accuracy\": 0.7, \"int8_accuracy\": 0.6}"}) {
    study.failures.clear();
    CHECK(study.measure(printed) == 0);
    REQUIRE(study.failures.size() == 4);
    const std::string reason = study.failures[plain.name() + "-fine-tuned-4-8-e3"];
    CHECK(reason.find(plain.name() + "/fine-tuned-4-8-e3.json: ") != std::string::npos);
    CHECK_FALSE(std::filesystem::exists(study.folder / "fine_tuned.csv"));
  }
  const repopt_cifar::FileLock other(study.folder / "fine_tuned.csv.lock", repopt_cifar::FileLock::Wait::no);
  study.failures.clear();
  CHECK(study.measure(quantize_json) == 0);
  CHECK(study.failures["fine_tuned.csv"].find("another process holds") != std::string::npos);
}

TEST_CASE("Ctrl-C between two fine-tunings stops the study, and the first one is kept") {
  FakeTuning study;
  CHECK_THROWS_AS(study.measure(quantize_json, [] { std::raise(SIGINT); }), repopt_cifar::Interrupted);
  CHECK(read_fine_tuning(study.folder.path()).size() == 1);
  CHECK(study.measure(quantize_json) == 3);
}

TEST_CASE("Fine-tuning ends at once if fine_tuned.csv cannot be written, and this is no network's failure") {
  FakeTuning study;
  study.command = "mkdir -p " + (study.folder / "fine_tuned.csv" / "not-empty").string();
  CHECK_THROWS(study.measure(quantize_json));
  CHECK(study.failures.empty());
  CHECK(std::ranges::count(study.arguments(), '\n') == 1);
}

TEST_CASE("Networks of averaged scales are not fine-tuned, because their files do not hold the scales") {
  FakeTuning study;
  RunKey averaged = plain;
  averaged.variant = "rep-averaged";
  write_bytes(study.folder / "study.csv", to_csv(std::vector{RunResult{.key = averaged}}));
  measure_fine_tuning(study.options, {{averaged, ""}}, "no-program", study.failures, [] {});
  CHECK(study.failures.empty());
}

TEST_CASE("The section of fine-tuning has a row for each variant and way, with the means of its seeds") {
  RunKey other_seed = plain;
  other_seed.seed = 2;
  const ModelSummary summary("cifar-small", {{.key = plain}, {.key = other_seed}});
  CHECK(fine_tuning_section(summary, {}).find("Not run") != std::string::npos);
  const std::string html = fine_tuning_section(summary, {{{plain, 4, 0, 2}, 0.8, 0.1, 0.7, 0.6},
                                                         {{other_seed, 4, 0, 2}, 0.8, 0.2, 0.7, 0.5},
                                                         {{plain, 5, 8, 2}, 0.8, 0.7, 0.8, 0.75},
                                                         {{repvgg, 4, 0, 2}, 0.9, 0.9, 0.9, 0.9}});
  const std::size_t five = html.find("plain, 5 bits, diagonals split off</th><td>1</td><td>2</td><td>80.00</td>");
  const std::size_t four = html.find(
      "plain, 4 bits</th><td>2</td><td>2</td><td>80.00 ± 0.00</td><td>15.00 ± 7.07</td>"
      "<td>70.00 ± 0.00</td><td>55.00 ± 7.07</td>");
  CHECK(five != html.npos);
  CHECK(four != html.npos);
  CHECK(five < four);
  CHECK(html.find("repvgg") == html.npos);
}
