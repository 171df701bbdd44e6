#include "study/records.hpp"

#include <doctest/doctest.h>

#include <cstddef>
#include <numeric>
#include <stdexcept>
#include <string>
#include <vector>

#include "study/kernels.hpp"
#include "study/run_table.hpp"
#include "support/temporary_folder.hpp"

using namespace repopt_cifar::study;

namespace {

const RunKey plain{"cifar-small", "plain", 0.1, 2, 0}, search{"cifar-small", "hyper_search", 0.1, 2, 1};

}  // namespace

TEST_CASE("A table of runs gives back what was put into it, and of each run what came last") {
  const repopt::testing::TemporaryFolder folder;
  constexpr RunTable table("table.csv", "epoch,loss");
  CHECK(table.read(folder.path()).empty());
  table.put(folder.path(), plain, {"1,0.5", "2,0.25"});
  table.put(folder.path(), search, {"1,0.75"});
  table.put(folder.path(), plain, {"1,0.1"});
  const auto lines = table.read(folder.path());
  REQUIRE(lines.size() == 2);
  CHECK(lines[0].first == search);
  CHECK(lines[0].second.number<double>(6) == 0.75);
  CHECK(lines[1].first == plain);
  CHECK(lines[1].second.number<double>(6) == 0.1);
  CHECK(table.fits(folder.path()));
  CHECK_FALSE(RunTable("table.csv", "epoch").fits(folder.path()));
}

TEST_CASE("Putting a run into a table leaves the other lines as they are, with empty fields, too") {
  const repopt::testing::TemporaryFolder folder;
  constexpr RunTable table("table.csv", "first,second,third");
  table.put(folder.path(), plain, {",,", "a,,", ",,b"});
  table.put(folder.path(), search, {"1,2,3"});
  const std::string text = table.text({{plain, ",,"}, {plain, "a,,"}, {plain, ",,b"}, {search, "1,2,3"}});
  CHECK(repopt::testing::read_bytes(folder / "table.csv") == text);
}

TEST_CASE("Records are read by run, exactly, and missing files mean no records") {
  const repopt::testing::TemporaryFolder folder;
  CHECK(read_records(folder.path()).runs.empty());
  const std::string key = "model,variant,lr,epochs,seed,", run = "cifar-small,hyper_search,0.1,2,1,";
  repopt::testing::write_bytes(
      folder.path() / "curves.csv",
      key + "epoch,train_loss,test_loss,test_accuracy,processor_seconds\n" + run + "1,2.5,2.25,0.125,7.5\n");
  repopt::testing::write_bytes(folder.path() / "scales.csv",
                               key + "scale,values\n" + run + "stage0.scale_conv.weight,0.1 -3e-05 1\n");
  repopt::testing::write_bytes(folder.path() / "kernels.csv", key + "block,weights,deviation,largest,histogram\n" +
                                                                  run + "stage0,8,0.5,1.5,0 3 5\n" + run +
                                                                  "stage1.0,9,0.25,1,\n");
  repopt::testing::write_bytes(folder.path() / "seconds.csv",
                               "model,variant,seconds_per_epoch\ncifar-small,plain,3.5\n");
  const Records records = read_records(folder.path());
  const RunRecords& found = records.of(search.name());
  REQUIRE(found.curve.size() == 1);
  CHECK(found.curve[0].test_accuracy == 0.125);
  CHECK(found.curve[0].processor_seconds == 7.5);
  CHECK(found.scales.at("stage0.scale_conv.weight") == std::vector<float>{0.1f, -3e-5f, 1});
  REQUIRE(found.kernels.size() == 2);
  CHECK(found.kernels[0].histogram == std::vector<std::size_t>{0, 3, 5});
  CHECK(found.kernels[1].histogram.empty());
  CHECK(records.of(plain.name()).curve.empty());
  CHECK(records.epoch_seconds("cifar-small").at("plain") == 3.5);
  CHECK(records.epoch_seconds("cifar-deep").empty());

  repopt::testing::write_bytes(folder.path() / "scales.csv",
                               key + "scale,values\n" + run + "stage0.scale_conv.weight,0.1 many\n");
  CHECK_THROWS_WITH_AS(read_records(folder.path()), doctest::Contains("scales.csv, line 2: 'many' is not"),
                       std::runtime_error);

  repopt::testing::write_bytes(
      folder.path() / "curves.csv",
      key + "epoch,train_loss,test_loss,test_accuracy,processor_seconds\n" + run + "3,2.5,2.25,0.125,7.5\n");
  CHECK_THROWS_WITH_AS(read_records(folder.path()), doctest::Contains("line 2: the epoch is 3, the run has 1 to 2"),
                       std::runtime_error);
}

TEST_CASE("A histogram counts the weights within four standard deviations") {
  std::vector<float> kernel;
  for (int i = 0; i < 100; ++i) kernel.insert(kernel.end(), {-1, 1});
  kernel.push_back(100);
  const KernelStatistics statistics = kernel_statistics("stage0", kernel);
  CHECK(statistics.weights == 201);
  CHECK(statistics.largest == 100);
  REQUIRE(statistics.histogram.size() == KernelStatistics::bins);
  CHECK(std::accumulate(statistics.histogram.begin(), statistics.histogram.end(), std::size_t(0)) == 200);
  CHECK(kernel_statistics("stage0", {0, 0}).histogram == std::vector<std::size_t>(KernelStatistics::bins));
}
