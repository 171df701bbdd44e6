#include <doctest/doctest.h>

#include <stdexcept>
#include <string>

#include "formats/csv.hpp"
#include "formats/file_lock.hpp"
#include "study/results.hpp"
#include "support/temporary_folder.hpp"

using namespace repopt_cifar::study;
using repopt::testing::TemporaryFolder;
using repopt::testing::write_bytes;
using repopt_cifar::FileLock;

namespace {

RunResult example(std::uint64_t seed) {
  return {.key = {"cifar-small", "rep-ones", 0.1, 12, seed},
          .optimizer = "sgd",
          .test_accuracy = 0.7531,
          .train_loss = 1.0 / 3,
          .seconds_per_epoch = 20.5,
          .processor_seconds_per_epoch = 19.75,
          .peak_memory_mb = 123.25,
          .parameters = 1234567,
          .threads = 1,
          .conditions = {"CIFAR-10", 20000, 5000, 128, 6}};
}

}  // namespace

TEST_CASE("Results that are written to study.csv are read back unchanged, and a run has one line in it") {
  const TemporaryFolder folder;
  CHECK(read_results(folder.path()).empty());
  add_result(folder.path(), example(0));
  add_result(folder.path(), example(1));
  RunResult again = example(1);
  again.test_accuracy = 0;
  add_result(folder.path(), again);
  CHECK(read_results(folder.path()) == std::vector<RunResult>{example(0), example(1)});
}

TEST_CASE("A damaged study.csv is refused with the number of the line") {
  std::string text = to_csv({example(0)});
  CHECK_THROWS_WITH_AS(results_from_csv("model\n", "file"), doctest::Contains("file: the first line is 'model'"),
                       std::runtime_error);
  CHECK_THROWS_WITH_AS(results_from_csv(text + "cifar-small,plain\n", "file"), "file, line 3 has 2 fields, not 18",
                       std::runtime_error);
  text.replace(text.find("0.7531"), 6, "0.75 %");
  CHECK_THROWS_WITH_AS(results_from_csv(text, "file"), "file, line 2: '0.75 %' is not a valid number",
                       std::runtime_error);
}

TEST_CASE("A run's result has the numbers of its result.json and the median time of its epochs") {
  const TemporaryFolder folder;
  const RunResult expected = example(2);
  CHECK_THROWS_AS(read_result(folder.path(), expected.key, 6), std::runtime_error);
  write_bytes(folder / "result.json", R"({"optimizer": "sgd", "test_accuracy": 0.7531, "train_loss": 0.333333333333333,
      "parameters": 1234567, "peak_rss_mb": 123.25, "threads": 1, "data": "CIFAR-10", "train_images": 20000,
      "test_images": 5000, "batch_size": 128, "processor_seconds_per_epoch": 19.75})");
  write_bytes(folder / "metrics.csv",
              "epoch,lr,train_loss,train_accuracy,test_loss,test_accuracy,images_per_second,seconds\n"
              "1,0.1,2,0.1,2,0.1,100,210\n2,0.1,2,0.1,2,0.1,1000,25\n3,0.1,2,0.1,2,0.1,2000,15\n");
  const RunResult result = read_result(folder.path(), expected.key, 6);
  CHECK(result.seconds_per_epoch == 20);
  CHECK(result.processor_seconds_per_epoch == 19.75);
  CHECK(result.conditions == expected.conditions);
  CHECK(result.parameters == expected.parameters);
  CHECK(result.key == expected.key);
}

TEST_CASE("A lock has one holder at a time") {
  const TemporaryFolder folder;
  {
    const FileLock first(folder / "lock", FileLock::Wait::no), second(folder / "lock", FileLock::Wait::no);
    CHECK(first.held());
    CHECK_FALSE(second.held());
  }
  CHECK(FileLock(folder / "lock", FileLock::Wait::yes).held());
}
