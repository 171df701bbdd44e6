// quant.csv: the accuracy of the networks in integers of 8 to 4 bits.
#pragma once

#include <filesystem>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "options.hpp"
#include "study/plan.hpp"
#include "study/results.hpp"

namespace repopt_cifar::study {

/// The network of a run, quantized in one way.
struct Int8Key {
  RunKey run{};
  std::string scheme = "", calibration = "";  ///< the values of `repopt-cifar quantize`'s options
  int weight_bits = 8, activation_bits = 8;   ///< likewise
  int split_identity = 0;                     ///< likewise

  bool operator==(const Int8Key&) const = default;
};

/// The accuracy of the network of `key`.
struct Int8Result {
  Int8Key key{};
  double float_accuracy = 0, int8_accuracy = 0;

  bool operator==(const Int8Result&) const = default;
};

/// Lists the networks to quantize: those of some variants, each with its best learning rate and with all seeds.
std::vector<RunKey> int8_plan(const std::vector<RunResult>& results);

/// Lists the ways in which each network is quantized: those of `repopt-cifar sweep`. Throws
/// std::invalid_argument if there is no model of that name.
std::vector<Int8Key> int8_keys(const RunKey& run);

/// Writes results as the text of quant.csv.
std::string to_csv(const std::vector<Int8Result>& results);

/// Reads OUT/quant.csv. Returns nothing if there is no such file. A file of an older version, without columns of bits
/// or of split_identity, has results of 8 bits and without the split. Throws std::runtime_error that names a wrong
/// line.
std::vector<Int8Result> read_int8_results(const std::filesystem::path& out);

/// Quantizes the networks of int8_plan() that quant.csv does not have in all ways yet or whose layers layers.csv does
/// not have. Writes both files after each network. Everything else is as in measure_networks().
void measure_int8(const StudyOptions& options, const std::string& program, std::map<std::string, std::string>& failures,
                  const std::function<void()>& finished);

}  // namespace repopt_cifar::study
