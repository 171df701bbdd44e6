#include "repopt/io/cifar.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <numeric>
#include <stdexcept>
#include <string>
#include <vector>

#include "support/temporary_folder.hpp"

using namespace repopt;
using testing::TemporaryFolder;
using testing::write_bytes;

namespace {

constexpr std::size_t image = io::ImageDataset::image;

/// One record: the label bytes, then a picture whose planes are filled with `pixel`, pixel + 1 and pixel + 2.
std::string record(const std::string& labels, unsigned char pixel) {
  std::string bytes = labels;
  for (unsigned char channel = 0; channel < 3; ++channel) bytes.append(1024, char(pixel + channel));
  return bytes;
}

std::string byte(int value) { return {char(value)}; }

}  // namespace

TEST_CASE("All existing CIFAR-10 batches are read in the order of their numbers") {
  const TemporaryFolder folder;
  write_bytes(folder / "data_batch_10.bin", record(byte(9), 30));
  write_bytes(folder / "data_batch_2.bin", record(byte(0), 10) + record(byte(5), 20));
  write_bytes(folder / "data_batch_x.bin", "not a batch");
  write_bytes(folder / "test_batch.bin", record(byte(3), 40));
  const auto train = io::load_cifar_train(folder.path());
  CHECK(train.name == "CIFAR-10");
  CHECK(train.classes == 10);
  CHECK(train.labels == std::vector<std::uint8_t>{0, 5, 9});
  CHECK(train.pixels.size() == 3 * image);
  CHECK(train.picture(2)[0] == 30);
  CHECK(train.picture(2)[image - 1] == 32);
  CHECK(train.class_names[3] == "3");
  const auto test = io::load_cifar_test(folder.path());
  CHECK(test.labels == std::vector<std::uint8_t>{3});
  CHECK(test.picture(0)[1024] == 41);
}

TEST_CASE("Training pictures come from the named files, in the order of the names") {
  const TemporaryFolder folder;
  for (int number = 1; number <= 3; ++number)
    write_bytes(folder / repopt::concat("data_batch_", number, ".bin"), record(byte(number), 0));
  const auto labels = [&](const std::vector<std::string>& names) {
    return io::load_cifar_train(folder.path(), names).labels;
  };
  CHECK(labels({"data_batch_3.bin", "data_batch_1.bin"}) == std::vector<std::uint8_t>{3, 1});
  CHECK(labels({}) == std::vector<std::uint8_t>{1, 2, 3});
  CHECK_THROWS_WITH_AS(labels({"data_batch_4.bin"}), doctest::Contains("has no picture file 'data_batch_4.bin'"),
                       std::runtime_error);
}

TEST_CASE("CIFAR-100 is read with its fine labels, also from the folder above its own") {
  const TemporaryFolder folder;
  const auto data = folder / "cifar-100-binary";
  std::filesystem::create_directory(data);
  write_bytes(data / "train.bin", record(byte(19) + byte(99), 1) + record(byte(0) + byte(7), 2));
  write_bytes(data / "test.bin", record(byte(1) + byte(42), 3));
  std::string names;
  for (int label = 0; label < 100; ++label) names += "class_" + std::to_string(label) + "\r\n";
  write_bytes(data / "fine_label_names.txt", names + "\n");
  for (const auto& place : {data, folder.path()}) {
    const auto train = io::load_cifar_train(place);
    CHECK(train.name == "CIFAR-100");
    CHECK(train.classes == 100);
    CHECK(train.labels == std::vector<std::uint8_t>{99, 7});
    CHECK(train.picture(1)[2048] == 4);
    CHECK(train.class_names[99] == "class_99");
    CHECK(io::load_cifar_test(place).labels == std::vector<std::uint8_t>{42});
  }
}

TEST_CASE("A folder without CIFAR files is refused, and the message lists the files that were searched for") {
  const TemporaryFolder folder;
  const auto refuses = [&](const std::string& message) {
    CHECK_THROWS_WITH_AS(io::load_cifar_train(folder.path()), doctest::Contains(message.c_str()), std::runtime_error);
  };
  CHECK_THROWS_WITH_AS(io::load_cifar_train(folder / "none"), doctest::Contains("does not exist"), std::runtime_error);
  refuses("data_batch_*.bin or test_batch.bin (CIFAR-10)");
  refuses("train.bin or test.bin (CIFAR-100)");
  write_bytes(folder / "test_batch.bin", record(byte(3), 40));
  refuses("holds CIFAR-10, but no data_batch_*.bin");
  CHECK_THROWS_WITH_AS(io::load_cifar_test(folder / "test_batch.bin"), doctest::Contains("is not a folder"),
                       std::runtime_error);
  write_bytes(folder / "train.bin", record(byte(0) + byte(0), 1));
  refuses("holds both CIFAR-10 in ");
}

TEST_CASE("Broken batches are refused, and the message has the file, the place and both values") {
  const TemporaryFolder folder;
  const auto batch = folder / "data_batch_1.bin";
  const auto refuses = [&](const std::string& bytes, const std::string& message) {
    write_bytes(batch, bytes);
    CHECK_THROWS_WITH_AS(io::load_cifar_train(folder.path()), (batch.string() + message).c_str(), std::runtime_error);
  };
  refuses("", " is empty");
  refuses(record(byte(1), 0) + "abc",
          " has 3076 bytes, a record of CIFAR-10 has 3073: the last record is incomplete, 3 bytes remain");
  refuses("abc", " has 3 bytes, a record of CIFAR-10 has 3073: the last record is incomplete, 3 bytes remain");
  refuses(record(byte(1), 0) + record(byte(10), 0), ": record 1 has label 10, CIFAR-10 has 10 classes");
  refuses(record(byte(255), 0), ": record 0 has label 255, CIFAR-10 has 10 classes");
  write_bytes(batch, record(byte(9), 0));
  write_bytes(folder / "batches.meta.txt", "airplane\nautomobile\n");
  CHECK_THROWS_WITH_AS(io::load_cifar_train(folder.path()), doctest::Contains("has 2 names, CIFAR-10 has 10 classes"),
                       std::runtime_error);
}

TEST_CASE("Channel statistics cover all pixels, scaled to 0..1") {
  io::ImageDataset data{.pixels = {}, .labels = {0, 0}, .classes = 1, .class_names = {"0"}, .name = "two pictures"};
  for (const int value : {0, 51, 255, 102, 51, 255}) data.pixels.insert(data.pixels.end(), 1024, std::uint8_t(value));
  const auto statistics = io::channel_statistics(data);
  const double means[] = {0.2, 0.2, 1}, deviations[] = {0.2, 0, 0};
  for (std::size_t channel = 0; channel < 3; ++channel) {
    CHECK(statistics.mean[channel] == doctest::Approx(means[channel]).epsilon(1e-14));
    CHECK(std::abs(statistics.std[channel] - deviations[channel]) < 1e-14);
  }
  CHECK_THROWS_AS(io::channel_statistics(io::ImageDataset{}), std::invalid_argument);
}

TEST_CASE("Real pictures have ten classes of equal size and the known channel statistics") {
  const char* folder = std::getenv("REPOPT_CIFAR_DIR");
  if (folder == nullptr) return;
  const auto train = io::load_cifar_train(folder), test = io::load_cifar_test(folder);
  CHECK(train.size() % 10000 == 0);
  CHECK(test.size() > 0);
  CHECK(train.class_names == test.class_names);
  std::vector<std::size_t> count(train.classes);
  for (const auto label : train.labels) ++count[label];
  for (const std::size_t pictures : count)
    CHECK(std::abs(double(pictures * train.classes) / double(train.size()) - 1) < 0.1);
  if (train.name != "CIFAR-10") return;
  const auto statistics = io::channel_statistics(train);
  const double means[] = {0.4914, 0.4822, 0.4465}, deviations[] = {0.2470, 0.2435, 0.2616};
  for (std::size_t channel = 0; channel < 3; ++channel) {
    CHECK(std::abs(statistics.mean[channel] - means[channel]) < 0.01);
    CHECK(std::abs(statistics.std[channel] - deviations[channel]) < 0.01);
  }
}
