// FoldedTraining: trains the branches of a network that computes plain convolutions.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "repopt/base/error.hpp"
#include "repopt/core/folded_kernel.hpp"
#include "repopt/core/scales.hpp"
#include "repopt/nn/layers/init.hpp"
#include "repopt/nn/layers/parameter.hpp"
#include "repopt/nn/models/folded_priors.hpp"
#include "repopt/nn/models/parameter_groups.hpp"
#include "repopt/nn/models/vgg.hpp"
#include "repopt/nn/models/vgg_config.hpp"
#include "repopt/optim/rep_optimizer.hpp"

namespace repopt::nn {

/// The folded kernels of a plain network, by the kernels' names. The plain network is computed. The branches' weights
/// and scales are trained, saved and averaged, under the names of the real branches.
///
///     Vgg<float> model = plain_vgg<float>(config, seed);
///     FoldedTraining<float> folded(model, folded_kernels(config, Prior::repvgg, scales, true));
///     init_branches(folded, seed);
///     RepSgd<float> optimizer;
///     add_parameters(optimizer, folded, options);
///     ...
///     folded.fold();
///     model.zero_grad();
///     model.forward(images, Phase::train) ... model.backward(grad_logits);  // of all micro-batches
///     folded.add_gradients();
///     optimizer.step();
template <class T>
class FoldedTraining {
 public:
  /// `model` must outlive this object and must not be moved. Throws std::invalid_argument if a name is not a kernel of
  /// the model or the kernel has another shape.
  FoldedTraining(Vgg<T>& model, std::map<std::string, FoldedKernel<T>> kernels)
      : model_(&model), kernels_(std::move(kernels)) {
    std::map<std::string, Parameter<T>*> parameters;
    model.visit_parameters([&](const std::string& name, Parameter<T>& p) { parameters[name] = &p; });
    for (auto& [name, folded] : kernels_) {
      const auto found = parameters.find(name);
      require(found != parameters.end() && found->second->conv, "the model has no kernel '", name, "'");
      require(folded.target() == *found->second->conv, "the folded kernel of '", name, "' is for [",
              describe(folded.target()), "], the model's is [", describe(*found->second->conv), "]");
      folded_.push_back({&folded, found->second});
    }
  }

  /// The plain network, and its config.
  /// @{
  Vgg<T>& model() { return *model_; }
  const VggConfig& config() const { return model_->config(); }
  /// @}

  /// Writes the network's kernels from the current weights and scales. Call it before a forward pass.
  void fold() {
    for (const auto& [folded, kernel] : folded_) folded->fold(kernel->value);
  }

  /// Turns the gradients of the network's kernels, summed over all micro-batches, into gradients of the branches. Call
  /// it once before each step of the optimizer.
  void add_gradients() {
    for (const auto& [folded, kernel] : folded_) {
      folded->zero_grad();
      folded->add_gradients(kernel->grad);
    }
  }

  /// Calls visit(name, ParameterView<T>) for the branches' weights and scales, including constant scales, and for all
  /// other parameters of the network except the folded kernels, from input to output.
  void visit_parameters(auto visit) {
    model_->visit_parameters([&](const std::string& name, Parameter<T>& own) {
      const auto found = kernels_.find(name);
      if (found == kernels_.end()) return visit(name, view_of(own));
      for (const auto& parameter : found->second.parameters())
        if (!parameter.is_identity || parameter.shape) visit(parameter.name, view(parameter));
    });
  }

  /// Returns the number of trained numbers.
  std::size_t parameter_count() {
    std::size_t count = 0;
    visit_parameters([&](const std::string&, const ParameterView<T>& p) { count += p.grad.size(); });
    return count;
  }

 private:
  static ParameterView<T> view(const FoldedParameter<T>& parameter) {
    ParameterView<T> result{.dims = {parameter.value.size()},
                            .conv = parameter.shape,
                            .requires_grad = parameter.is_trained(),
                            .decays = parameter.decays,
                            .value = parameter.value,
                            .grad = parameter.grad};
    if (parameter.is_identity)
      result.conv.reset();  // in a network an identity is one number for each channel
    else if (parameter.shape)
      result.dims = parameter.shape->dims();
    return result;
  }

  Vgg<T>* model_;
  std::map<std::string, FoldedKernel<T>> kernels_;
  std::vector<std::pair<FoldedKernel<T>*, Parameter<T>*>> folded_;
};

/// Returns the folded kernels of a plain network with that prior, by the kernels' names. Throws std::invalid_argument
/// if a scale is missing or its length is wrong.
template <class T>
std::map<std::string, FoldedKernel<T>> folded_kernels(const VggConfig& config, Prior prior, const Scales<T>& scales,
                                                      bool train_scales) {
  std::map<std::string, FoldedKernel<T>> kernels;
  for (const BlockSpec& spec : config.block_specs())
    kernels.emplace(spec.name + ".conv.weight",
                    FoldedKernel<T>(spec.shape, folded_branches(spec, prior, scales, train_scales)));
  return kernels;
}

/// Draws the branches' kernels like init_weights() draws the kernels of real branches with the same names. Identities
/// and scales are not changed.
template <class T>
void init_branches(FoldedTraining<T>& folded, std::uint64_t seed) {
  folded.visit_parameters([&](const std::string& name, const ParameterView<T>& p) {
    if (p.conv) init_uniform(p, p.conv->taps() * p.conv->in_per_group(), seed, name);
  });
}

/// Adds every trained parameter to `optimizer`, in two groups: parameters that decay with options.weight_decay, and all
/// others without weight decay. Any rule can train them. `folded` must outlive the optimizer. Throws
/// std::invalid_argument, and leaves the optimizer unchanged, if an option is out of range or if the optimizer already
/// has the name or the memory of a parameter.
template <class Rule, class T>
void add_parameters(RepOptimizer<Rule, T>& optimizer, FoldedTraining<T>& folded,
                    const typename Rule::Options& options) {
  detail::add_parameter_groups(optimizer, folded, options, {});
}

}  // namespace repopt::nn
