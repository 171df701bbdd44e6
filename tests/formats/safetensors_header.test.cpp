// Safetensors files whose headers a program wrote by itself: legal ones are read, all others are refused.
#include <doctest/doctest.h>

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include "support/parse_safetensors.hpp"

using namespace repopt;
using testing::parse;

namespace {

/// A file with this header, valid or not, and `data` bytes of data.
std::string file_of(std::string_view header, std::size_t data) {
  const std::uint64_t length = header.size();
  std::string file(8, '\0');
  std::memcpy(file.data(), &length, 8);
  return file.append(header).append(data, '\x01');
}

/// The header of a file with one tensor `w` of type F32 and 8 bytes. One part of it is replaced.
std::string header_with(std::string_view part, std::string_view replacement) {
  std::string header = R"({"w":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}})";
  return header.replace(header.find(part), part.size(), replacement);
}

}  // namespace

TEST_CASE("The valid header from which the next test makes invalid ones is read") {
  CHECK(parse(file_of(header_with("w", "w"), 8)).tensor<float>("w").size() == 2);
  CHECK(parse(file_of("{}", 0)).names().empty());
  // The header may list tensors in any order if the data are contiguous. An empty tensor begins where another tensor
  // begins.
  CHECK(parse(file_of(R"({"b":{"dtype":"U8","shape":[1],"data_offsets":[1,2]},
                          "e":{"dtype":"U8","shape":[0],"data_offsets":[1,1]},
                          "a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}}   )",
                      2))
            .names()
            .size() == 3);
  // Types that cannot be read as tensors are legal in a file.
  CHECK(parse(file_of(header_with("F32\",\"shape\":[2", "BF16\",\"shape\":[4"), 8)).info("w").dtype.name == "BF16");
}

TEST_CASE("Each breach of the format is refused, and the message names the tensor and both values") {
  struct Breach {
    std::string file, message;
  };
  const auto tensor = [](std::string_view part, std::string_view replacement, const char* message) {
    return Breach{file_of(header_with(part, replacement), 8), message};
  };
  const std::string two = R"({"a":{"dtype":"U8","shape":[4],"data_offsets":[0,4]},"b":{"dtype":"U8",)";
  const Breach breaches[] = {
      {"", "it has 0 bytes, the header's length alone takes 8"},
      {"1234567", "it has 7 bytes"},
      {std::string("\xff\xff\xff\xff\0\0\0\0{}", 10), "would have 4294967295 bytes, at most 100000000 are legal"},
      {std::string("\x10\0\0\0\0\0\0\0{}", 10), "would have 16 bytes, the file has 2 after the length"},
      {file_of("", 0), "does not start with {"},
      {file_of(" {}", 0), "does not start with {"},
      {file_of("[]", 0), "does not start with {"},
      {file_of("{", 0), "header: "},
      {file_of("{} x", 0), "header: "},
      {file_of(std::string("{}\0 hidden", 10), 0), "zero byte at index 2"},
      {file_of("{\"\xff\":1}", 0), "header: "},
      {file_of(
           R"({"w":{"dtype":"U8","shape":[0],"data_offsets":[0,0]},"w":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}})",
           1),
       "duplicate key 'w'"},
      tensor("\"shape\":[2]", R"("shape":[3],"shape":[2])", "duplicate key 'shape'"),
      {file_of(R"({"__metadata__":{"a":"1","a":"2"}})", 0), "duplicate key 'a'"},
      {file_of(R"({"__metadata__":{"a":1}})", 0), "__metadata__ 'a' must be a string, it is 1"},
      {file_of(R"({"__metadata__":["a"]})", 0), "__metadata__ must be an object, it is [\"a\"]"},
      {file_of(R"({"w":7})", 0), "tensor 'w' must be an object, it is 7"},
      tensor(",\"shape\":[2]", "", "tensor 'w' lacks 'shape'"),
      tensor("\"shape\":[2]", R"("shape":[2],"strides":[1])", "tensor 'w' has 4 members"),
      tensor("\"F32\"", "\"F31\"", "tensor 'w' has the unknown dtype 'F31'"),
      tensor("\"F32\"", "32", "dtype must be a string, it is 32"),
      tensor("[2]", "2", "shape must be an array, it is 2"),
      tensor("[2]", "[-2]", "shape must be a non-negative integer, it is -2"),
      tensor("[2]", "[2.0]", "shape must be a non-negative integer, it is 2.0"),
      tensor("[2]", "[3]", "F32 of shape [3] takes 12 bytes, data_offsets span 8"),
      tensor("[2]", "[4611686018427387906]", "has too many elements"),
      tensor("[2]", "[4294967296,4294967296,2]", "has too many elements"),
      tensor("[2]", "[99999999999999999999]", "shape must be a non-negative integer"),
      tensor("[0,8]", "[-1,8]", "data_offsets must be a non-negative integer, it is -1"),
      tensor("[0,8]", "[0,2.7]", "data_offsets must be a non-negative integer, it is 2.7"),
      tensor("[0,8]", "[0,8,9]", "data_offsets has 3 elements, it must have 2"),
      tensor("[0,8]", "[8,0]", "data_offsets begin at 8 and end at 0"),
      tensor("[0,8]", "[1,9]", "tensor 'w' begins at 1, the one before it ends at 0"),
      {file_of(header_with("w", "w"), 7), "the tensors take 8 bytes, the file has 7 for them"},
      {file_of(header_with("w", "w"), 9), "the tensors take 8 bytes, the file has 9 for them"},
      {file_of("{}", 1), "the tensors take 0 bytes, the file has 1 for them"},
      {file_of(two + R"("shape":[4],"data_offsets":[5,9]}})", 9),
       "tensor 'b' begins at 5, the one before it ends at 4"},
      {file_of(two + R"("shape":[4],"data_offsets":[3,7]}})", 7),
       "tensor 'b' begins at 3, the one before it ends at 4"},
      {file_of(two + R"("shape":[4],"data_offsets":[0,4]}})", 4), "begins at 0, the one before it ends at 4"},
  };
  for (const Breach& breach : breaches) {
    CAPTURE(breach.message);
    CHECK_THROWS_WITH_AS(parse(breach.file), doctest::Contains(breach.message.c_str()), std::runtime_error);
    CHECK_THROWS_WITH_AS(parse(breach.file), doctest::Contains("the file"), std::runtime_error);
  }
}

TEST_CASE("A header that nests a million levels deep is refused without a crash") {
  constexpr std::size_t depth = 1'000'000;
  std::string objects;
  for (std::size_t i = 0; i < depth; ++i) objects += "{\"a\":";
  CHECK_THROWS_WITH_AS(parse(file_of(objects, 0)), doctest::Contains("nested deeper than 16"), std::runtime_error);
  CHECK_THROWS_WITH_AS(parse(file_of("{\"a\":" + std::string(depth, '['), 0)),
                       doctest::Contains("nested deeper than 16"), std::runtime_error);
}

TEST_CASE("The message for another kind of file says what the file looks like") {
  struct Kind {
    std::string bytes;
    const char* kind;
  };
  const Kind kinds[] = {{std::string("PK\x03\x04", 4) + std::string(60, 'x'), "zip archive"},
                        {std::string("\x80\x02\x8a\nl\xfc\x9c", 7) + std::string(60, 'x'), "pickle"},
                        {"\n<!DOCTYPE html><html></html>", "HTML"},
                        {"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "Git LFS pointer"},
                        {"\x89HDF\r\n\x1a\n01234567", "HDF5"},
                        {R"({"a": 1, "b": 2})", "JSON text"}};
  for (const Kind& kind : kinds)
    CHECK_THROWS_WITH_AS(parse(kind.bytes), doctest::Contains(kind.kind), std::runtime_error);
}

TEST_CASE("Files without the checksum and with another program's metadata are read") {
  CHECK_FALSE(parse(file_of("{}", 0)).has_checksum());
  const auto file =
      parse(file_of(R"({"__metadata__":{"crc32":"12345678","note":"\"repopt.crc32\":\"00000000\""}})", 0));
  CHECK_FALSE(file.has_checksum());
  CHECK(file.metadata("note") == R"("repopt.crc32":"00000000")");
}
