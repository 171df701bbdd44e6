// safetensors_copy FROM TO: reads a safetensors file of float and double tensors, and writes it again.
#include <cstdio>
#include <exception>

#include "repopt/base/error.hpp"
#include "repopt/formats/safetensors.hpp"

int main(int argc, char** argv) try {
  using namespace repopt::formats;
  repopt::require(argc == 3, "usage: safetensors_copy FROM TO");
  const auto file = Safetensors::load(argv[1]);
  SafetensorsWriter copy;
  for (const auto& [key, value] : file.metadata()) copy.add_metadata(key, value);
  for (const std::string& name : file.names()) {
    const TensorInfo& info = file.info(name);
    if (info.dtype == dtype_of<double>)
      copy.add(name, info.shape, file.tensor<double>(name));
    else
      copy.add(name, info.shape, file.tensor<float>(name));
  }
  copy.save(argv[2]);
} catch (const std::exception& error) {
  std::fprintf(stderr, "%s\n", error.what());
  return 1;
}
