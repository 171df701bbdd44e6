// quant.csv: what is left of the networks' accuracy in 8-bit integers.
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
  std::string scheme = "", calibration = "";  ///< as of `repopt-cifar quantize`

  bool operator==(const Int8Key&) const = default;

  /// "cifar-small-plain-lr0.1-e12-s0-per-tensor-mse".
  std::string name() const;
};

/// Its accuracy.
struct Int8Result {
  Int8Key key{};
  double float_accuracy = 0, int8_accuracy = 0;

  bool operator==(const Int8Result&) const = default;
};

/// What there is to quantize: plain, rep-searched and repvgg, by each one's best learning rate, all seeds, the kernels
/// with a scale for all channels and for each, the activations with their whole ranges and with those of least error.
std::vector<Int8Key> int8_plan(const std::vector<RunResult>& results);

std::string to_csv(const std::vector<Int8Result>& results);

/// Reads OUT/quant.csv; nothing if there is no such file. Throws std::runtime_error that names the line.
std::vector<Int8Result> read_int8_results(const std::filesystem::path& out);

/// Makes what int8_plan() says and quant.csv lacks, by `program`, and calls `finished` after each. What fails goes into
/// `failures`, by name, with the reason. Does nothing while another process does the same. Throws Interrupted after
/// Ctrl-C.
void measure_int8(const StudyOptions& options, const std::string& program, std::map<std::string, std::string>& failures,
                  const std::function<void()>& finished);

}  // namespace repopt_cifar::study
