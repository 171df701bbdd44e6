#include "int8.hpp"

#include "../csv.hpp"

namespace repopt_cifar::study {

std::vector<Int8Result> read_int8_results(const std::filesystem::path& out) {
  const std::filesystem::path path = out / "quant.csv";
  std::vector<Int8Result> results;
  if (!std::filesystem::exists(path)) return results;
  for (const CsvLine& line :
       read_csv(read_text(path), "model,variant,seed,scheme,float_accuracy,int8_accuracy", path.string()))
    results.push_back({line.fields[0], line.fields[1], line.number<std::uint64_t>(2), line.fields[3],
                       line.number<double>(4), line.number<double>(5)});
  return results;
}

}  // namespace repopt_cifar::study
