// `repopt-bench conv`: the 3x3 convolutions of cifar-vgg, pass by pass.
#include <cmath>

#include "bench.hpp"
#include "repopt/base/parallel.hpp"
#include "repopt/engine/conv.hpp"

namespace repopt_bench {

namespace {

struct Case {
  std::size_t in, out, size, stride;
};

void bench_case(const Options& options, const Case& c) {
  using namespace repopt;
  using namespace repopt::nn;
  const ConvShape shape{
      .in_channels = c.in, .out_channels = c.out, .stride = {c.stride, c.stride}, .layout = WeightLayout::hwio};
  const auto algorithm = options.conv_algorithm == "plain" ? ConvAlgorithm::plain : ConvAlgorithm::fastest;
  Tensor<float> x({options.batch, c.size, c.size, c.in}), grad_x(x.shape()), y(conv_output_shape(shape, x.shape()));
  Tensor<float> grad_y(y.shape());
  std::vector<float> weight(shape.size()), grad_weight(shape.size());
  fill_random(x.values());
  fill_random(grad_y.values());
  fill_random(weight, std::sqrt(2 / float(9 * c.in)));

  const double gigaflops = 2e-9 * double(y.size()) * double(9 * c.in);
  std::vector<double> forward, backward_data, backward_weight;
  for (std::size_t round = 0; round <= options.rounds; ++round) {  // the first round warms up and is not counted
    forward.push_back(milliseconds([&] { conv_forward<float>(shape, x, weight, y, nullptr, nullptr, algorithm); }));
    backward_data.push_back(milliseconds([&] { conv_backward_data<float>(shape, grad_y, weight, grad_x, algorithm); }));
    backward_weight.push_back(
        milliseconds([&] { conv_backward_weight<float>(shape, x, grad_y, grad_weight, nullptr, algorithm); }));
  }
  const auto report = [&](const char* pass, std::vector<double> times) {
    times.erase(times.begin());
    const double ms = median(times);
    print(options, {{"bench", "conv"},
                    {"in_channels", c.in},
                    {"out_channels", c.out},
                    {"size", c.size},
                    {"stride", c.stride},
                    {"pass", pass},
                    {"batch", options.batch},
                    {"threads", thread_count()},
                    {"conv_algorithm", options.conv_algorithm},
                    {"milliseconds_median", ms},
                    {"gigaflops_per_second", gigaflops / ms * 1e3}});
  };
  report("forward", forward);
  report("backward_data", backward_data);
  report("backward_weight", backward_weight);
}

}  // namespace

void bench_conv(const Options& options) {
  for (const Case& c : {Case{3, 64, 32, 1}, Case{64, 64, 32, 1}, Case{128, 128, 16, 1}, Case{256, 256, 8, 1},
                        Case{512, 512, 4, 1}, Case{64, 128, 32, 2}, Case{128, 256, 16, 2}, Case{256, 512, 8, 2}})
    bench_case(options, c);
}

}  // namespace repopt_bench
