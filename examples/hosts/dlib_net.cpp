// Trains a dlib network whose 3x3 convolution trains like the block s * conv3x3(x) + t * conv1x1(x). Beside it, dlib's
// own solver trains a network with the real branches. The program fails unless both networks agree.
#include <dlib/dnn.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "repopt/core/csla_block.hpp"
#include "repopt/core/grad_mult.hpp"

/// A dlib solver that gives GradMult * grad to dlib::sgd. A layer's parameters are one tensor: the filters
/// (num_filters, k, nr, nc) in OIHW, and then the biases, which stay ordinary parameters. dlib's velocity includes the
/// learning rate. Its step, momentum * velocity - lr * decay * params - lr * grad, is linear in parameters and
/// gradient, so this is exact. It would not be exact for dlib::adam.
class RepSgdSolver {
 public:
  RepSgdSolver(float weight_decay, float momentum, std::optional<repopt::CslaBlock<float>> block = {})
      : sgd_(weight_decay, momentum), block_(std::move(block)) {}

  /// Returns the step, which dlib adds to the parameters. Throws std::invalid_argument if the layer has fewer
  /// parameters than the block's kernel has weights.
  template <class Layer>
  const dlib::tensor& operator()(float learning_rate, const Layer& layer, const dlib::tensor& params_grad) {
    if (!block_) return sgd_(learning_rate, layer, params_grad);
    if (grad_mult_.size() == 0) {
      const std::vector<float> of_filters = repopt::GradMult<float>(*block_).dense();
      repopt::require(params_grad.size() >= of_filters.size(), "the layer has ", params_grad.size(),
                      " parameters, the block's filters are ", of_filters.size());
      grad_mult_.copy_size(params_grad);
      grad_mult_ = 1;
      std::ranges::copy(of_filters, grad_mult_.host());
      multiplied_.copy_size(params_grad);
    }
    dlib::tt::multiply(false, multiplied_, params_grad, grad_mult_);
    return sgd_(learning_rate, layer, multiplied_);
  }

 private:
  dlib::sgd sgd_;
  std::optional<repopt::CslaBlock<float>> block_;
  dlib::resizable_tensor grad_mult_, multiplied_;
};

/// A layer for the real branches: y = scale * x + bias for each channel. The scale is constant. The bias is trained,
/// and it is 0 before add_bias().
class constant_scale_ {
 public:
  std::vector<float> scale;

  template <class Subnet>
  void setup(const Subnet& sub) {
    scale.assign(std::size_t(sub.get_output().k()), 1);
  }
  void add_bias() {
    params_.set_size(1, long(scale.size()));
    params_ = 0;
  }
  template <class Subnet>
  void forward(const Subnet& sub, dlib::resizable_tensor& y) {
    const dlib::tensor& x = sub.get_output();
    y.copy_size(x);
    for (std::size_t i = 0; i < x.size(); ++i) {
      const std::size_t c = channel(x, i);
      y.host()[i] = scale[c] * x.host()[i] + (params_.size() != 0 ? params_.host()[c] : 0);
    }
  }
  template <class Subnet>
  void backward(const dlib::tensor& grad_y, Subnet& sub, dlib::tensor& params_grad) {
    dlib::tensor& grad_x = sub.get_gradient_input();
    if (params_.size() != 0) params_grad = 0;
    for (std::size_t i = 0; i < grad_y.size(); ++i) {
      const std::size_t c = channel(grad_y, i);
      grad_x.host()[i] += scale[c] * grad_y.host()[i];
      if (params_.size() != 0) params_grad.host()[c] += grad_y.host()[i];
    }
  }
  const dlib::tensor& get_layer_params() const { return params_; }
  dlib::tensor& get_layer_params() { return params_; }
  double get_weight_decay_multiplier() const { return 0; }  // as for the biases of con_

 private:
  static std::size_t channel(const dlib::tensor& x, std::size_t i) {
    return i / std::size_t(x.nr() * x.nc()) % std::size_t(x.k());
  }
  dlib::resizable_tensor params_;
};

using namespace dlib;
template <class Subnet>
using constant_scale = add_layer<constant_scale_, Subnet>;
template <class Subnet>
using stem = relu<con<4, 3, 3, 1, 1, Subnet>>;

using Target = loss_multiclass_log<fc<2, relu<con<8, 3, 3, 1, 1, stem<input<matrix<float>>>>>>>;
using Block = loss_multiclass_log<
    fc<2, relu<add_prev2<constant_scale<con<
              8, 1, 1, 1, 1, skip1<tag2<constant_scale<con<8, 3, 3, 1, 1, tag1<stem<input<matrix<float>>>>>>>>>>>>>>;

/// Makes pictures of stripes that rise (label 0) or fall (label 1), shifted by `seed`.
void make_pictures(unsigned long seed, std::vector<matrix<float>>& pictures, std::vector<unsigned long>& labels) {
  pictures.clear();
  labels.clear();
  for (unsigned long i = 0; i < 16; ++i) {
    matrix<float> picture(10, 10);
    for (long y = 0; y < 10; ++y)
      for (long x = 0; x < 10; ++x)
        picture(y, x) = std::sin(float(i % 2 == 0 ? x + y : x - y) + 0.37f * float(seed * 16 + i));
    pictures.push_back(picture);
    labels.push_back(i % 2);
  }
}

std::span<float> params(auto& layer) { return {layer.get_layer_params().host(), layer.get_layer_params().size()}; }

int main() try {
  using repopt::ConvShape;
  const ConvShape conv3x3{.in_channels = 4, .out_channels = 8};
  const ConvShape conv1x1{.in_channels = 4, .out_channels = 8, .kernel_size = {1, 1}, .padding = {0, 0}};
  const std::vector<float> s{.8f, -.6f, 1.1f, .4f, -1.2f, .9f, .7f, -.5f}, t{-.7f, .9f, .5f, -1.1f, .6f, 0, 1, -.3f};
  const repopt::CslaBlock<float> block(conv3x3, {{conv3x3, s}, {conv1x1, t}});

  // The two networks. dlib allocates the parameters at the first picture.
  std::vector<matrix<float>> pictures;
  std::vector<unsigned long> labels;
  make_pictures(0, pictures, labels);
  Target target;
  Block branches;
  auto& w3x3 = layer<9>(branches).layer_details();
  auto& w1x1 = layer<5>(branches).layer_details();
  const auto disable_bias = [](auto& conv) {
    conv.disable_bias();
    conv.set_bias_weight_decay_multiplier(1);  // dlib::sgd still takes the last num_filters weights for biases
  };
  disable_bias(w3x3);
  disable_bias(w1x1);
  target(pictures[0]);
  branches(pictures[0]);
  layer<8>(branches).layer_details().scale = s;
  layer<8>(branches).layer_details().add_bias();
  layer<4>(branches).layer_details().scale = t;
  layer<1>(target).layer_details() = layer<1>(branches).layer_details();
  layer<5>(target).layer_details() = layer<12>(branches).layer_details();

  // Rule of Initialization for the filters. The biases of both networks start at 0.
  auto& kernel = layer<3>(target).layer_details();
  const auto equivalent_kernel = [&](std::span<float> filters) {
    block.equivalent_kernel({params(w3x3), params(w1x1)}, filters);
  };
  equivalent_kernel(params(kernel).first(block.target().size()));

  // One solver for each computational layer, beginning at the loss: fc, relu, con 3x3, relu, con.
  std::vector<RepSgdSolver> solvers(target.num_computational_layers, RepSgdSolver(1e-3f, 0.9f));
  solvers[2] = RepSgdSolver(1e-3f, 0.9f, block);
  std::vector<sgd> branch_solvers(branches.num_computational_layers, sgd(1e-3f, 0.9f));

  double loss_error = 0;
  for (unsigned long step = 0; step < 30; ++step) {
    make_pictures(step, pictures, labels);
    const double ours = target.compute_parameter_gradients(pictures.begin(), pictures.end(), labels.begin());
    const double theirs = branches.compute_parameter_gradients(pictures.begin(), pictures.end(), labels.begin());
    loss_error = std::max(loss_error, std::abs(ours - theirs));
    if (step % 10 == 9) std::printf("step %2lu  loss %.5f, of the branches %.5f\n", step + 1, ours, theirs);
    const double lr = step < 20 ? 0.02 : 0.01;
    target.update_parameters(solvers, lr);
    branches.update_parameters(branch_solvers, lr);
  }

  std::vector<float> expected(params(kernel).size());
  equivalent_kernel(std::span(expected).first(block.target().size()));
  std::ranges::copy(params(layer<8>(branches).layer_details()), expected.begin() + long(block.target().size()));
  float largest = 0, difference = 0;
  for (std::size_t k = 0; k < expected.size(); ++k) {
    largest = std::max(largest, std::abs(expected[k]));
    difference = std::max(difference, std::abs(params(kernel)[k] - expected[k]));
  }
  std::printf("largest difference of losses %.1e, of filters and biases %.1e of the largest\n", loss_error,
              double(difference / largest));
  return loss_error < 1e-5 && difference < 1e-5f * largest ? 0 : 1;
} catch (const std::exception& error) {
  std::fprintf(stderr, "dlib_net: %s\n", error.what());
  return 1;
}
