#include "repopt/io/onnx_graph.hpp"

#include <doctest/doctest.h>

#include <cstddef>
#include <cstdint>
#include <limits>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include "repopt/formats/protobuf.hpp"

using namespace repopt::formats;
using namespace repopt::io;

namespace {

std::string hex(std::string_view bytes) {
  std::string text;
  for (const char byte : bytes) {
    constexpr const char* digits = "0123456789abcdef";
    text += digits[static_cast<unsigned char>(byte) >> 4];
    text += digits[static_cast<unsigned char>(byte) & 15];
  }
  return text;
}

template <class Value>
std::string field(std::uint32_t number, const Value& value) {
  ProtobufMessage message;
  message.add(number, value);
  return hex(message.bytes());
}

}  // namespace

TEST_CASE("Fields have the bytes that the wire format's documentation gives") {
  CHECK(field(1, 150) == "089601");
  CHECK(field(2, std::string_view("testing")) == "120774657374696e67");
  ProtobufMessage inner, outer;
  inner.add(1, 150);
  outer.add(3, inner);
  CHECK(hex(outer.bytes()) == "1a03089601");
}

TEST_CASE("Small, large and negative numbers and large field numbers are written as the format requires") {
  CHECK(field(1, 0) == "0800");
  CHECK(field(1, 127) == "087f");
  CHECK(field(1, 128) == "088001");
  CHECK(field(1, 300U) == "08ac02");
  CHECK(field(1, true) == "0801");
  CHECK(field(1, -1) == "08ffffffffffffffffff01");
  CHECK(field(1, std::int8_t(-2)) == "08feffffffffffffffff01");
  CHECK(field(1, std::numeric_limits<std::int64_t>::min()) == "0880808080808080808001");
  CHECK(field(1, std::numeric_limits<std::uint64_t>::max()) == "08ffffffffffffffffff01");
  CHECK(field(16, 1) == "800101");
  CHECK(field(536870911, 1) == "f8ffffff0f01");
  CHECK(field(2, 1.0f) == "150000803f");
  CHECK(field(2, -2.5f) == "15000020c0");
  CHECK(field(4, "") == "2200");
  CHECK(field(4, std::string(200, 'a')).substr(0, 8) == "22c80161");
  CHECK(field(4, std::string_view("\0\xff", 2)) == "220200ff");
}

TEST_CASE("A field that is too long for any reader is refused") {
  // The view has no memory behind it, because only its length is read.
  const std::string_view too_long(nullptr, ProtobufMessage::max_size + 1);
  CHECK_THROWS_WITH_AS(field(7, too_long), "field 7 has 2147483648 bytes, protocol buffers take at most 2147483647",
                       std::invalid_argument);
}

TEST_CASE("A graph has the bytes that python3-onnx 1.12 writes for it") {
  OnnxGraph graph;
  graph.input("x", {2});
  graph.initializer<float>("w", {2}, {1, -2});
  graph.node("Mul", {"x", "w"}, "y");
  graph.initializer<std::int8_t>("q", {1, 2}, {-1, 127});
  graph.node("Flatten", {"y"}, "z", {{"axis", std::int64_t(-1)}});
  graph.node("Conv", {"z", "", "q"}, "c", {{"pads", std::vector<std::int64_t>{1, 300}}});
  graph.output("c", {2});
  CHECK(
      hex(graph.model("g", "doc", {{"k", "v"}})) ==
      "080712067265706f70743203646f633abc010a110a01780a01771201791a017922034d756c0a280a017912017a1a017a2207466c61747465"
      "6e2a140a046178697318ffffffffffffffffff01a001020a240a017a0a000a01711201631a01632204436f6e762a0e0a0470616473400140"
      "ac02a001071201672a11080210014201774a080000803f000000c02a0d0801080210034201714a02ff7f5a180a017812130a110801120d0a"
      "07120562617463680a02080262180a016312130a110801120d0a07120562617463680a02080242040a00100d72060a016b120176");
}

TEST_CASE("A graph refuses calls that would make an invalid model") {
  OnnxGraph graph;
  graph.input("x", {2});
  CHECK_THROWS_WITH_AS(graph.node("Relu", {"y"}, "z"), "Relu 'z' reads 'y', which does not exist yet",
                       std::invalid_argument);
  CHECK_THROWS_WITH_AS(graph.node("Relu", {"x"}, "x"), "there is already a value 'x'", std::invalid_argument);
  CHECK_THROWS_WITH_AS(graph.input("x", {2}), "there is already a value 'x'", std::invalid_argument);
  CHECK_THROWS_WITH_AS(graph.output("y", {2}), "the output 'y' does not exist", std::invalid_argument);
  CHECK_THROWS_WITH_AS(graph.initializer<std::int8_t>("w", {2, 2}, {1, 2, 3}),
                       "'w' has 3 elements, its shape [2, 2] has another number", std::invalid_argument);
  CHECK_THROWS_WITH_AS(graph.initializer<float>("w", {2}, {1, std::numeric_limits<float>::infinity()}),
                       "'w' holds inf at index 1", std::invalid_argument);
  // The span has no memory behind it, because only its length is read.
  constexpr std::size_t too_long = std::size_t(1) << 31;
  CHECK_THROWS_AS(graph.initializer("w", {too_long},
                                    std::span<const std::int8_t>(static_cast<const std::int8_t*>(nullptr), too_long)),
                  std::invalid_argument);
  CHECK_THROWS_AS(graph.node("\xff", {"x"}, "z"), std::invalid_argument);
  CHECK_THROWS_WITH_AS(graph.input("\xff", {2}), doctest::Contains("a text for a file is not UTF-8"),
                       std::invalid_argument);
  CHECK_THROWS_WITH_AS(graph.output("w", {2}), "the output 'w' does not exist", std::invalid_argument);
  CHECK_THROWS_WITH_AS(graph.output("z", {2}), "the output 'z' does not exist", std::invalid_argument);
  graph.output("x", {2});
  const std::string refused_everything = graph.model("", "", {});
  OnnxGraph sound;
  sound.input("x", {2});
  sound.output("x", {2});
  CHECK(refused_everything == sound.model("", "", {}));
  CHECK_THROWS_WITH_AS(graph.model("\xff", "", {}), doctest::Contains("a text for a file is not UTF-8"),
                       std::invalid_argument);
  CHECK_THROWS_WITH_AS(graph.model("", "\xff", {}), doctest::Contains("a text for a file is not UTF-8"),
                       std::invalid_argument);
  CHECK_THROWS_WITH_AS(graph.model("", "", {{"\xff", ""}}), doctest::Contains("a text for a file is not UTF-8"),
                       std::invalid_argument);
}
