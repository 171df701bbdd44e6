#include "repopt/formats/safetensors.hpp"

#include <doctest/doctest.h>

#include <cerrno>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <map>
#include <span>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include "support/parse_safetensors.hpp"
#include "support/random.hpp"
#include "support/temporary_folder.hpp"

using namespace repopt;
using formats::Safetensors;
using formats::SafetensorsWriter;
using testing::parse;
using testing::read_bytes;
using testing::TemporaryFolder;
using testing::write_bytes;

namespace {

/// A file with every type, names that must be escaped, an empty tensor, a scalar and metadata.
std::string example_file(const TemporaryFolder& folder) {
  SafetensorsWriter writer;
  writer.add<std::uint8_t>("bytes", {3}, {1, 2, 255});
  writer.add<float>("floats", {2, 2}, {1.5f, -0.0f, 1e-45f, std::numeric_limits<float>::infinity()});
  writer.add<double>("doubles", {2}, {0.1, 5e-324});
  writer.add<std::int64_t>("integers", {2, 1}, {-1, std::numeric_limits<std::int64_t>::min()});
  writer.add<std::uint64_t>("words", {1}, {std::numeric_limits<std::uint64_t>::max()});
  writer.add<double>("scalar", {}, {3.0});
  writer.add<float>("empty", {0, 7}, std::vector<float>());
  writer.add<float>("a \"quoted\" \\ name\n\xc3\xa9", {1}, {2.0f});
  writer.add_metadata("format", "pt");
  writer.add_metadata("json", R"({"lr": 0.1})");
  writer.save(folder / "example.safetensors");
  return read_bytes(folder / "example.safetensors");
}

}  // namespace

TEST_CASE("Every type, name and metadata is read from a file as it was written, bit by bit") {
  const TemporaryFolder folder;
  const std::string bytes = example_file(folder);
  const auto file = Safetensors::load(folder / "example.safetensors");
  CHECK(file.tensor<std::uint8_t>("bytes") == std::vector<std::uint8_t>{1, 2, 255});
  const auto floats = file.tensor<float>("floats");
  CHECK(floats == std::vector<float>{1.5f, 0.0f, 1e-45f, std::numeric_limits<float>::infinity()});
  CHECK(std::signbit(floats[1]));
  CHECK(file.tensor<double>("doubles") == std::vector<double>{0.1, 5e-324});
  CHECK(file.tensor<std::int64_t>("integers")[1] == std::numeric_limits<std::int64_t>::min());
  CHECK(file.tensor<std::uint64_t>("words")[0] == std::numeric_limits<std::uint64_t>::max());
  CHECK(file.tensor<double>("scalar") == std::vector<double>{3.0});
  CHECK(file.info("scalar").shape.empty());
  CHECK(file.tensor<float>("empty").empty());
  CHECK(file.info("empty").shape == std::vector<std::size_t>{0, 7});
  CHECK(file.tensor<float>("a \"quoted\" \\ name\n\xc3\xa9") == std::vector<float>{2.0f});
  CHECK(file.metadata() == std::map<std::string, std::string>{{"format", "pt"}, {"json", R"({"lr": 0.1})"}});
  CHECK(file.names().size() == 8);
}

TEST_CASE(
    "The data begin at a multiple of 8 with the widest elements, and the bytes do not depend on the order of add()") {
  const TemporaryFolder folder;
  const auto save = [&](const std::vector<std::string>& names) {
    SafetensorsWriter writer;
    for (const std::string& name : names) {
      if (name == "wide") {
        writer.add<double>(name, {1}, {1});
      } else {
        writer.add<float>(name, {1}, {2});
      }
    }
    writer.save(folder / "file");
    return read_bytes(folder / "file");
  };
  const std::string bytes = save({"b", "a", "wide"});
  CHECK(save({"wide", "a", "b"}) == bytes);
  CHECK(static_cast<unsigned char>(bytes[0]) % 8 == 0);
  const auto place = [&](const char* name) { return bytes.find(name); };
  CHECK(place("wide") < place("\"a\""));
  CHECK(place("\"a\"") < place("\"b\""));
}

TEST_CASE("A writer refuses names, shapes and metadata that a file cannot hold") {
  SafetensorsWriter writer;
  writer.add<float>("w", {1}, {1});
  CHECK_THROWS_WITH_AS(writer.add<double>("w", {1}, {1}), "there is already a tensor 'w'", std::invalid_argument);
  CHECK_THROWS_WITH_AS(writer.add<float>("x", {2, 3}, {1, 2}),
                       "tensor 'x' has 2 elements, its shape [2, 3] has another number", std::invalid_argument);
  CHECK_THROWS_AS(writer.add<float>("x", {1ul << 63, 4}, std::vector<float>()), std::invalid_argument);
  CHECK_THROWS_AS(writer.add<float>("__metadata__", {1}, {1}), std::invalid_argument);
  CHECK_THROWS_AS(writer.add<float>("\xff", {1}, {1}), std::invalid_argument);
  writer.add_metadata("k", "v");
  CHECK_THROWS_AS(writer.add_metadata("k", "w"), std::invalid_argument);
  CHECK_THROWS_AS(writer.add_metadata("l", "\xff"), std::invalid_argument);
  CHECK_THROWS_WITH_AS(writer.add_metadata("repopt.crc32", "0"),
                       "'repopt.crc32' cannot be a key of metadata: the checksum uses it", std::invalid_argument);
}

TEST_CASE("tensor() converts float to double, tensor_as() also double to float, and integers are never converted") {
  const TemporaryFolder folder;
  SafetensorsWriter writer;
  writer.add<float>("f", {1}, {0.1f});
  writer.add<double>("d", {2}, {0.1, std::numeric_limits<double>::infinity()});
  writer.add<double>("large", {1}, {1e39});
  writer.add<std::int64_t>("i", {1}, {7});
  writer.save(folder / "file");
  const auto file = Safetensors::load(folder / "file");
  CHECK(file.tensor<double>("f") == std::vector<double>{double(0.1f)});
  CHECK(file.tensor_as<double>("f") == std::vector<double>{double(0.1f)});
  CHECK(file.tensor_as<float>("d") == std::vector<float>{0.1f, std::numeric_limits<float>::infinity()});
  CHECK_THROWS_WITH_AS(file.tensor<float>("d"), doctest::Contains("tensor 'd' is F64, it cannot be read as F32"),
                       std::runtime_error);
  CHECK_THROWS_WITH_AS(file.tensor_as<float>("large"), doctest::Contains("too large for F32"), std::runtime_error);
  CHECK_THROWS_WITH_AS(file.tensor_as<double>("i"), doctest::Contains("tensor 'i' is I64, it cannot be read as F64"),
                       std::runtime_error);
  CHECK_THROWS_AS(file.tensor<std::uint64_t>("i"), std::runtime_error);
  CHECK_THROWS_WITH_AS(file.tensor<float>("none"), doctest::Contains("has no tensor 'none'"), std::runtime_error);
  CHECK_THROWS_WITH_AS(file.metadata("none"), doctest::Contains("metadata lacks 'none'"), std::runtime_error);
  CHECK_THROWS_WITH_AS(file.require_shape("f", std::vector<std::size_t>{1, 2}),
                       doctest::Contains("tensor 'f' has shape [1], it must be [1, 2]"), std::runtime_error);
}

TEST_CASE("Missing files, folders and devices are refused by path") {
  const TemporaryFolder folder;
  CHECK_THROWS_WITH_AS(Safetensors::load(folder / "none"),
                       ((folder / "none").string() + ": " + formats::reason(ENOENT)).c_str(), std::runtime_error);
  CHECK_THROWS_WITH_AS(Safetensors::load(folder.path()), doctest::Contains("is not a regular file"),
                       std::runtime_error);
  CHECK_THROWS_WITH_AS(Safetensors::load("/dev/zero"), doctest::Contains("is not a regular file"), std::runtime_error);
}

TEST_CASE("A failed save leaves the older file unchanged") {
  const TemporaryFolder folder;
  const std::string before = example_file(folder);
  SafetensorsWriter writer;
  writer.add<float>("w", {1}, {1});
  CHECK_THROWS_AS(writer.save(folder / "none/file"), std::runtime_error);
  CHECK_THROWS_AS(writer.save(folder.path()), std::runtime_error);
  CHECK(read_bytes(folder / "example.safetensors") == before);
  CHECK(folder.count() == 1);
}

TEST_CASE("The checksum is zlib's CRC-32 of the whole file with zeros in place of its own digits") {
  formats::Crc32 crc;
  crc.add("1234567");
  crc.add("89");
  CHECK(crc.text() == "cbf43926");  // the check value of the CRC catalogues
  const TemporaryFolder folder;
  SafetensorsWriter writer;
  writer.add<float>("w", {3}, {1, 2, 3});
  writer.save(folder / "file");
  // from Python: zlib.crc32() of the bytes with the digits replaced
  CHECK(read_bytes(folder / "file").find("\"repopt.crc32\":\"316f7e55\"") != std::string::npos);
  CHECK(Safetensors::load(folder / "file").has_checksum());
}

TEST_CASE("Every flipped bit of a file is detected, except in the name of the checksum, where it is harmless") {
  const TemporaryFolder folder;
  const std::string whole = example_file(folder);
  const std::size_t name = whole.find("repopt.crc32");
  for (std::size_t bit = 0; bit < 8 * whole.size(); ++bit) {
    std::string flipped = whole;
    flipped[bit / 8] = char(flipped[bit / 8] ^ (1 << bit % 8));
    CAPTURE(bit / 8);
    try {
      const auto file = parse(flipped);
      CHECK_FALSE(file.has_checksum());
      CHECK(bit / 8 >= name);
      CHECK(bit / 8 < name + formats::Checksum::key.size());
    } catch (const std::runtime_error&) {
    }
  }
  const auto refuses = [](const std::string& damaged, const char* message) {
    CHECK_THROWS_WITH_AS(parse(damaged), doctest::Contains(message), std::runtime_error);
  };
  std::string flipped = whole;
  flipped.back() = char(flipped.back() ^ 1);
  refuses(flipped, "the file is damaged, or another program changed it: its checksum does not fit");
  refuses(whole.substr(0, whole.size() - 1), " for them (the file is damaged: its checksum does not fit)");
}

TEST_CASE("Damaged files without a checksum are either read or refused with runtime_error, never anything else") {
  const TemporaryFolder folder;
  std::string whole = example_file(folder);
  whole.replace(whole.find("repopt.crc32"), formats::Checksum::key.size(), "some.message");
  testing::Random random(20220530);
  std::size_t refused = 0;
  constexpr std::size_t tries = 20000;
  for (std::size_t i = 0; i < tries; ++i) {
    std::string damaged = whole;
    for (std::size_t change = random.integer(1, 3); change > 0; --change) {
      const std::size_t place = random.integer(0, damaged.size() - 1);
      switch (random.integer(0, 3)) {
        case 0: damaged[place] = char(damaged[place] ^ (1 << random.integer(0, 7))); break;
        case 1: damaged[place] = "0123456789{}[]\",:-.e\\"[random.integer(0, 20)]; break;
        case 2: damaged.resize(place + 1); break;
        default: damaged.insert(place, 1, damaged[random.integer(0, damaged.size() - 1)]);
      }
    }
    try {
      const auto file = parse(damaged);
      for (const std::string& name : file.names())
        if (file.info(name).dtype == formats::dtype_of<float>) file.tensor<float>(name);
    } catch (const std::runtime_error&) {
      ++refused;
    }
  }
  CHECK(refused > tries / 2);
  CHECK(refused < tries);  // without a checksum a flipped bit of the data cannot be detected
}
