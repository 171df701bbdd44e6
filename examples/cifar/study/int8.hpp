// quant.csv: the accuracy of the networks in 8-bit integers.
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

  bool operator==(const Int8Key&) const = default;

  /// "cifar-small-plain-lr0.1-e12-s0-per-tensor-mse".
  std::string name() const;
};

/// The accuracy of the network of `key`.
struct Int8Result {
  Int8Key key{};
  double float_accuracy = 0, int8_accuracy = 0;

  bool operator==(const Int8Result&) const = default;
};

/// Lists the networks to quantize: those of plain, rep-searched, repvgg and qarepvgg, each with its best learning rate
/// and with all seeds. Each is quantized in four ways: kernels with one scale for all channels or one for each channel,
/// and activations with their whole range or with the range of the least mean squared error.
std::vector<Int8Key> int8_plan(const std::vector<RunResult>& results);

/// Writes results as the text of quant.csv.
std::string to_csv(const std::vector<Int8Result>& results);

/// Reads OUT/quant.csv. Returns nothing if there is no such file. Throws std::runtime_error that names a wrong line.
std::vector<Int8Result> read_int8_results(const std::filesystem::path& out);

/// Quantizes the networks of int8_plan() that quant.csv does not have yet, by `program`, and calls `finished` after
/// each. If one fails, adds the reason to `failures` under its name. Does nothing while another process does the same.
/// Throws Interrupted after Ctrl-C.
void measure_int8(const StudyOptions& options, const std::string& program, std::map<std::string, std::string>& failures,
                  const std::function<void()>& finished);

}  // namespace repopt_cifar::study
