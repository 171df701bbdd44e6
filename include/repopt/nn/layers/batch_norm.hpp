// BatchNorm2d: batch norm, with or without the ReLU that follows it.
#pragma once

#include <array>
#include <cmath>
#include <cstddef>
#include <span>
#include <string>
#include <vector>

#include "repopt/base/error.hpp"
#include "repopt/nn/layers/parameter.hpp"
#include "repopt/tensor/channel_moments.hpp"
#include "repopt/tensor/channel_sums.hpp"
#include "repopt/tensor/input_affine.hpp"
#include "repopt/tensor/lazy_tensor.hpp"
#include "repopt/tensor/simd.hpp"
#include "repopt/tensor/tensor.hpp"

namespace repopt::nn {

/// The activation that follows a batch norm.
enum class Activation { none, relu };

/// An affine map for each channel: y = scale * x + shift.
template <class T>
struct ChannelAffine {
  Vector<T> scale;  ///< (channels)
  Vector<T> shift;  ///< (channels)
};

/// Returns the map outer(inner(x)).
template <class T>
ChannelAffine<T> composed(const ChannelAffine<T>& outer, const ChannelAffine<T>& inner) {
  return {outer.scale * inner.scale, outer.scale * inner.shift + outer.shift};
}

/// torch.nn.BatchNorm2d. It normalises by the batch's biased variance in training and by the running statistics in
/// evaluation. running_var averages the unbiased variance.
template <class T>
class BatchNorm2d {
 public:
  double eps = 1e-5;          ///< added to the variance
  double momentum = 0.1;      ///< share of the newest batch in the running statistics
  Parameter<T> weight;        ///< (channels), starts at 1
  Parameter<T> bias;          ///< (channels), starts at 0
  Parameter<T> running_mean;  ///< (channels), starts at 0
  Parameter<T> running_var;   ///< (channels), starts at 1

  /// Sums numbers over all processes, so that the layer is a torch.nn.SyncBatchNorm; empty if each process has whole
  /// batches. The gradients of weight and bias are still those of this process's part: they are averaged together with
  /// all other gradients.
  AllReduce all_reduce;

  /// With Activation::relu the layer is batch norm followed by ReLU.
  explicit BatchNorm2d(std::size_t channels, Activation activation = Activation::none)
      : weight(Parameter<T>::vector(channels, T(1))),
        bias(Parameter<T>::vector(channels, T(0))),
        running_mean(Parameter<T>::constant(channels, T(0))),
        running_var(Parameter<T>::constant(channels, T(1))),
        activation_(activation),
        mean_(Eigen::Index(channels)),
        inv_std_(Eigen::Index(channels)) {}

  /// Returns y, which has the shape of x. `x` must exist until backward(). If `moments` of x are given, they save a
  /// pass over x. Throws std::invalid_argument in training if there is only one value for each channel.
  const Tensor<T>& forward(const Tensor<T>& x, Phase phase, const ChannelMoments* moments = nullptr) {
    measure(x, phase, moments);
    y_.resize(x.shape());
    for_each_pixel(x, [&](std::size_t p) {
      if (activation_ == Activation::relu)
        affine_view().apply(x.pixel(p), y_.pixel(p), 0, x.shape().channels);
      else
        y_.channels(p) = normalised(p);
    });
    return y_;
  }

  /// The same for a batch norm with ReLU, but y is not computed: its readers compute it. The result is valid until the
  /// next forward pass.
  LazyTensor<T> forward_lazily(const Tensor<T>& x, Phase phase, const ChannelMoments* moments = nullptr) {
    require(activation_ == Activation::relu, "only a batch norm with ReLU can be lazy");
    measure(x, phase, moments);
    return {x, affine_view()};
  }

  /// Prepares normalised(), which gives the output pixel by pixel; no y is computed. `x` must exist until backward().
  /// Throws in the same cases as forward().
  void measure(const Tensor<T>& x, Phase phase, const ChannelMoments* moments = nullptr) {
    require(x.shape().channels == weight.value.size(), "the images have ", x.shape().channels,
            " channels, the batch norm has ", weight.value.size());
    if (phase == Phase::train) {
      if (!moments) {
        own_moments_.measure(x);
        moments = &own_moments_;
      }
      if (all_reduce) moments = &(own_moments_ = moments->over_processes(all_reduce, weight.value.size()));
      require(moments->count() > 1, "batch norm needs more than 1 value per channel in training, it got ",
              describe(x.shape()));
      use_batch_statistics(*moments);
    } else {
      use_running_statistics();
    }
    x_ = &x;
    set_affine(mean_, inv_std_, affine_);
  }

  /// The channels of one pixel of the measured x, normalised but without activation, as an Eigen expression.
  auto normalised(std::size_t pixel) const { return affine_.scale * x_->channels(pixel) + affine_.shift; }

  /// The result of the last forward().
  const Tensor<T>& output() const { return y_; }

  /// The affine map that the last forward pass applied: scale = weight / std, shift = bias - mean * scale.
  const ChannelAffine<T>& affine() const { return affine_; }

  /// The affine map in evaluation, from the running statistics.
  ChannelAffine<T> eval_affine() const {
    ChannelAffine<T> result;
    set_affine(as_double(running_mean), running_inv_std(), result);
    return result;
  }

  /// Computes dL/dx in `grad_x` after a forward pass in training, and adds to weight.grad and bias.grad. `grad_x` may
  /// be `grad_y`, or x itself, which is not needed afterwards. The pass then needs no further memory. Throws
  /// std::invalid_argument if there was no such pass, or if grad_y has another shape than the output.
  Tensor<T>& backward(const Tensor<T>& grad_y, Tensor<T>& grad_x) {
    require(count_ > 0, "backward() needs a forward pass in training before it");
    require_grad_shape(grad_y.shape(), x_->shape());
    if (activation_ == Activation::relu)
      backward_through<true>(grad_y, grad_x);
    else
      backward_through<false>(grad_y, grad_x);
    if (&grad_x == x_) count_ = 0;  // x is gone
    return grad_x;
  }

  /// The same, in the memory of `grad_y`.
  Tensor<T>& backward(Tensor<T>& grad_y) { return backward(grad_y, grad_y); }

  /// Visits `prefix`.weight, .bias, .running_mean and .running_var.
  void visit_parameters(const std::string& prefix, const ParameterVisitor<T>& visit) {
    visit(prefix + ".weight", weight);
    visit(prefix + ".bias", bias);
    visit(prefix + ".running_mean", running_mean);
    visit(prefix + ".running_var", running_var);
  }

 private:
  /// Working memory of the backward pass, allocated only once.
  struct Backward {
    Vector<T> mean;                     ///< mean of x
    Vector<T> of_grad, of_x, constant;  ///< dL/dx = of_grad * dL/dy + of_x * x + constant
  };

  /// Returns a packet of dL/d(normalised x) at a pixel; `x` is the packet of x there.
  template <bool has_relu, class Packet>
  Packet grad_of_normalised(const Tensor<T>& grad_y, const Packet& x, std::size_t pixel, std::size_t channel) const {
    const auto g = Eigen::internal::ploadu<Packet>(grad_y.pixel(pixel) + channel);
    if constexpr (has_relu)
      return engine::where_positive(affine_view().template of_packet<Packet>(channel).before_relu(x), g);
    return g;
  }

  template <bool has_relu>
  void backward_through(const Tensor<T>& grad_y, Tensor<T>& grad_x) {
    namespace packet = Eigen::internal;
    backward_.mean = mean_.template cast<T>();
    auto [sum, sum_deviation] = channel_sums<2>(grad_y, [&]<class Packet>(std::size_t p, std::size_t c, Packet* sums) {
      const Packet x = packet::ploadu<Packet>(x_->pixel(p) + c), g = grad_of_normalised<has_relu>(grad_y, x, p, c);
      sums[0] = packet::padd(sums[0], g);
      sums[1] = packet::pmadd(g, packet::psub(x, packet::ploadu<Packet>(backward_.mean.data() + c)), sums[1]);
    });
    add_to(bias.grad, sum);
    add_to(weight.grad, sum_deviation * inv_std_);
    if (all_reduce) {
      all_reduce({sum.data(), std::size_t(sum.size())});
      all_reduce({sum_deviation.data(), std::size_t(sum_deviation.size())});
    }

    // dL/dx = scale * (g - mean(g) - x^ * mean(g * x^)) with x^ = (x - mean) * inv_std, written as an affine map of g
    // and x.
    const auto pixels = double(count_);
    const auto scale = as_double(weight) * inv_std_;
    const auto slope = -scale * inv_std_.square() * sum_deviation / pixels;
    backward_.of_grad = scale.template cast<T>();
    backward_.of_x = slope.template cast<T>();
    backward_.constant = (-scale * sum / pixels - slope * mean_).template cast<T>();
    grad_x.resize(grad_y.shape());
    const auto at = [](const Vector<T>& values, std::size_t c) { return values.data() + c; };
    for_each_pixel(grad_y, [&](std::size_t p) {
      engine::for_each_packet<T>(x_->shape().channels, [&]<class Packet>(std::size_t c) {
        const Packet x = packet::ploadu<Packet>(x_->pixel(p) + c), g = grad_of_normalised<has_relu>(grad_y, x, p, c);
        const Packet of_x = packet::pmadd(packet::ploadu<Packet>(at(backward_.of_x, c)), x,
                                          packet::ploadu<Packet>(at(backward_.constant, c)));
        packet::pstoreu(grad_x.pixel(p) + c, packet::pmadd(packet::ploadu<Packet>(at(backward_.of_grad, c)), g, of_x));
      });
    });
  }

  /// The parameter's values as an Eigen expression.
  static auto as_double(const Parameter<T>& parameter) {
    return Eigen::Map<const Vector<T>>(parameter.value.data(), Eigen::Index(parameter.value.size()))
        .template cast<double>();
  }

  static void add_to(std::vector<T>& grad, const auto& sum) {
    Eigen::Map<Vector<T>>(grad.data(), sum.size()) += sum.template cast<T>();
  }

  /// affine_ in the form that readers of a lazy tensor take.
  InputAffine<T> affine_view() const {
    const auto view = [](const Vector<T>& values) {
      return std::span<const T>(values.data(), std::size_t(values.size()));
    };
    return {view(affine_.scale), view(affine_.shift)};
  }

  void use_batch_statistics(const ChannelMoments& moments) {
    count_ = moments.count();
    const double unbiased = double(count_) / double(count_ - 1);
    for (std::size_t c = 0; c < weight.value.size(); ++c) {
      mean_[Eigen::Index(c)] = moments.mean(c);
      inv_std_[Eigen::Index(c)] = 1 / std::sqrt(moments.variance(c) + eps);
      T &mean = running_mean.value[c], &var = running_var.value[c];
      mean = T((1 - momentum) * double(mean) + momentum * moments.mean(c));
      var = T((1 - momentum) * double(var) + momentum * unbiased * moments.variance(c));
    }
  }

  void use_running_statistics() {
    count_ = 0;
    mean_ = as_double(running_mean);
    inv_std_ = running_inv_std();
  }

  auto running_inv_std() const { return 1 / (as_double(running_var) + eps).sqrt(); }

  void set_affine(const auto& mean, const auto& inv_std, ChannelAffine<T>& affine) const {
    const auto scale = as_double(weight) * inv_std;
    affine.scale = scale.template cast<T>();
    affine.shift = (as_double(bias) - mean * scale).template cast<T>();
  }

  Activation activation_;
  const Tensor<T>* x_ = nullptr;
  Tensor<T> y_;
  /// The number of values of each channel from which mean_ and inv_std_ are computed; 0 if backward() cannot be called.
  std::size_t count_ = 0;
  Vector<double> mean_, inv_std_;
  ChannelAffine<T> affine_;
  ChannelMoments own_moments_;  ///< used if x comes without moments or is spread over processes
  Backward backward_;
};

}  // namespace repopt::nn
