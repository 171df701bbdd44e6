// CustomL2: the term of RepVGG's loss that takes the place of weight decay.
#pragma once

#include <cmath>
#include <cstddef>
#include <map>
#include <string>
#include <vector>

#include "repopt/base/error.hpp"
#include "repopt/nn/layers/parameter.hpp"
#include "repopt/nn/models/vgg.hpp"
#include "repopt/nn/models/vgg_config.hpp"

namespace repopt::nn {

/// RepVGG's custom L2 of a network of RepVggBlock. It decays the kernels that the branches can be merged into. With
/// K3 and K1 for the kernels of a block's 3x3 and 1x1 convolutions, and K3c for the centre tap of K3,
///
///     value = weight_decay / 2 * sum over blocks of
///               sum of K3^2 without the centre tap + sum (t3 * K3c + t1 * K1)^2 / (t3^2 + t1^2),
///
/// where t = weight / sqrt(running_var + eps) belongs to an output channel of the kernel's batch norm. In the gradient
/// the factors t are constants. A channel whose t3 and t1 are both 0 adds nothing to the second sum.
///
///     CustomL2<float> custom_l2(model, options.weight_decay);
///     add_parameters(optimizer, model, options);
///     ...
///     model.backward(grad_logits);  // of all micro-batches; then the average over processes
///     custom_l2.add_gradients();
///     optimizer.step();
///
/// Source: get_custom_L2() in the code that the authors of arXiv 2101.03697 published. arXiv 2212.01593 finds that the
/// term costs accuracy in 8-bit integers. The authors' training adds the term to each batch's loss after the forward
/// pass, so t has the running variance of this batch, too. It does not clip gradients. Here only the gradient is added;
/// before optimizer.clip_grad_norm() it is clipped as a part of the loss.
template <class T>
class CustomL2 {
 public:
  /// Ends the weight decay of the kernels K3 and K1 by setting Parameter::decays, so it must come before
  /// add_parameters(). All other parameters keep their weight decay. `model` must outlive this object. Throws
  /// std::invalid_argument, and leaves the model unchanged, if `weight_decay` is negative or not finite or if a block
  /// is no RepVggBlock; the message names the first parameter that the model lacks.
  CustomL2(Vgg<T>& model, double weight_decay) : weight_decay_(weight_decay), eps_(model.config().bn_eps) {
    require(weight_decay >= 0 && std::isfinite(weight_decay), "weight_decay must be finite and >= 0, it is ",
            weight_decay);
    std::map<std::string, Parameter<T>*> parameters;
    model.visit_parameters([&](const std::string& name, Parameter<T>& parameter) { parameters[name] = &parameter; });
    for (const BlockSpec& spec : model.config().block_specs()) {
      const auto find = [&](const char* name) {
        const auto found = parameters.find(concat(spec.name, ".", name));
        require(found != parameters.end(), "the custom L2 is for RepVGG's blocks: the model has no '", spec.name, ".",
                name, "'");
        return found->second;
      };
      blocks_.push_back({{find("conv_3x3.weight"), find("bn_3x3.weight"), find("bn_3x3.running_var")},
                         {find("conv_1x1.weight"), find("bn_1x1.weight"), find("bn_1x1.running_var")}});
    }
    for (const Branches& block : blocks_) block.of_3x3.kernel->decays = block.of_1x1.kernel->decays = false;
  }

  /// The term of the loss, for the current kernels and batch norms.
  double value() const {
    double sum = 0;
    for (const Branches& block : blocks_)
      for_each_term(
          block, [&](std::size_t index) { sum += square(block.of_3x3.kernel->value[index]); },
          [&](std::size_t, std::size_t, double merged, double t3, double t1) {
            sum += square(merged) / (square(t3) + square(t1));
          });
    return weight_decay_ / 2 * sum;
  }

  /// Adds the gradient of value() to the gradients of the kernels.
  void add_gradients() {
    for (const Branches& block : blocks_) {
      std::vector<T>&grad_3x3 = block.of_3x3.kernel->grad, &grad_1x1 = block.of_1x1.kernel->grad;
      for_each_term(
          block,
          [&](std::size_t index) { grad_3x3[index] += T(weight_decay_ * double(block.of_3x3.kernel->value[index])); },
          [&](std::size_t centre, std::size_t index, double merged, double t3, double t1) {
            const double common = weight_decay_ * merged / (square(t3) + square(t1));
            grad_3x3[centre] += T(common * t3);
            grad_1x1[index] += T(common * t1);
          });
    }
  }

 private:
  /// A convolution and its batch norm.
  struct ConvBn {
    Parameter<T>* kernel;  ///< (kh, kw, in_channels, out_channels)
    const Parameter<T>* weight;
    const Parameter<T>* running_var;

    double t(std::size_t channel, double eps) const {
      return double(weight->value[channel]) / std::sqrt(double(running_var->value[channel]) + eps);
    }
  };

  /// The two convolutions of a RepVggBlock.
  struct Branches {
    ConvBn of_3x3, of_1x1;
  };

  static double square(auto value) { return double(value) * double(value); }

  /// Calls off_centre(index in K3) for each weight off the centre tap, and at_centre(index in K3, index in K1,
  /// t3 * K3c + t1 * K1, t3, t1) for each weight of the centre tap whose t3 and t1 are not both 0.
  void for_each_term(const Branches& block, auto off_centre, auto at_centre) const {
    const std::vector<T>&k3 = block.of_3x3.kernel->value, &k1 = block.of_1x1.kernel->value;
    const std::size_t channels = block.of_3x3.weight->value.size();
    const std::size_t centre = (k3.size() - k1.size()) / 2;  // in HWIO a tap is as long as the 1x1 kernel
    for (std::size_t index = 0; index < centre; ++index) {
      off_centre(index);
      off_centre(centre + k1.size() + index);
    }
    for (std::size_t channel = 0; channel < channels; ++channel) {
      const double t3 = block.of_3x3.t(channel, eps_), t1 = block.of_1x1.t(channel, eps_);
      if (t3 == 0 && t1 == 0) continue;
      for (std::size_t index = channel; index < k1.size(); index += channels)
        at_centre(centre + index, index, t3 * double(k3[centre + index]) + t1 * double(k1[index]), t3, t1);
    }
  }

  double weight_decay_, eps_;
  std::vector<Branches> blocks_;
};

}  // namespace repopt::nn
