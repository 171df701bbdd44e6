// FoldedParameters: the weights and scales of folded branches and their gradients. It owns the memory of all of them.
#pragma once

#include <algorithm>
#include <concepts>
#include <cstddef>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "repopt/base/error.hpp"
#include "repopt/core/conv_shape.hpp"
#include "repopt/core/folded_branch.hpp"

namespace repopt {

/// A weight or a scale of a folded branch.
template <std::floating_point T>
struct FoldedParameter {
  std::string name;                  ///< the branch's own name, or a default such as "0.weight" or "0.scale"
  std::span<T> value;                ///< the numbers
  std::span<T> grad;                 ///< dL/dvalue; empty for a constant scale
  std::optional<ConvShape> shape{};  ///< shape and layout of a weight; empty for a scale
  bool decays = false;               ///< whether weight decay applies: true for weights, false for scales
  bool is_identity = false;          ///< whether Branch::identity() made the branch
  /// Whether it is trained.
  bool is_trained() const { return !grad.empty(); }
};

/// The parameters of folded branches. The object owns their memory. Spans stay valid when it is moved.
template <std::floating_point T>
class FoldedParameters {
 public:
  /// Takes names and initial values from `branches`, which must be valid. Gradients start at 0. Throws
  /// std::invalid_argument if two parameters have the same name, or if there are more weights than memory can hold.
  explicit FoldedParameters(const std::vector<FoldedBranch<T>>& branches) {
    std::size_t values = 0, gradients = 0;
    for (const FoldedBranch<T>& branch : branches) {
      const std::size_t scales = branch.convolution.scale.size();
      for (const ConvShape& shape : branch.operators) {
        require(shape.size() <= values_.max_size() - values, "the branches have more weights than memory can hold");
        values += shape.size();
        gradients += shape.size();
      }
      values += scales;
      gradients += branch.trains_scale ? scales : 0;
    }
    values_.resize(values);
    gradients_.resize(gradients);
    std::span<T> free_values = values_, free_gradients = gradients_;
    for (const FoldedBranch<T>& branch : branches) add_branch(branch, free_values, free_gradients);
  }

  FoldedParameters(FoldedParameters&&) noexcept = default;
  FoldedParameters& operator=(FoldedParameters&&) noexcept = default;

  /// All parameters in the order of the branches; a branch's weights come before its scale.
  const std::vector<FoldedParameter<T>>& all() const { return parameters_; }

  /// A weight of a branch, by the index of its operator, and the scale of a branch.
  /// @{
  const FoldedParameter<T>& weight(std::size_t branch, std::size_t index = 0) const {
    return parameters_[first_of_branch_[branch] + index];
  }
  const FoldedParameter<T>& scale(std::size_t branch) const {
    const bool is_last = branch + 1 == first_of_branch_.size();
    return parameters_[(is_last ? parameters_.size() : first_of_branch_[branch + 1]) - 1];
  }
  /// @}

 private:
  void add_branch(const FoldedBranch<T>& branch, std::span<T>& free_values, std::span<T>& free_gradients) {
    const auto take = [](std::span<T>& free, std::size_t size) {
      const std::span<T> taken = free.first(size);
      free = free.subspan(size);
      return taken;
    };
    const std::size_t number = first_of_branch_.size(), weights = branch.operators.size();
    first_of_branch_.push_back(parameters_.size());
    for (std::size_t k = 0; k < weights; ++k) {
      const std::string default_name = weights == 1 ? concat(number, ".weight") : concat(number, ".", k, ".weight");
      const ConvShape& shape = branch.operators[k];
      const std::span<T> value = take(free_values, shape.size()), grad = take(free_gradients, shape.size());
      if (branch.initial_weights.empty())
        std::ranges::fill(value, branch.convolution.is_identity ? T(1) : T(0));
      else
        std::ranges::copy(branch.initial_weights[k], value.begin());
      add({branch.weight_names.empty() ? default_name : branch.weight_names[k], value, grad, shape, true,
           branch.convolution.is_identity});
    }
    const std::vector<T>& scale = branch.convolution.scale;
    const std::span<T> value = take(free_values, scale.size());
    const std::span<T> grad = take(free_gradients, branch.trains_scale ? scale.size() : 0);
    std::ranges::copy(scale, value.begin());
    add({branch.scale_name.empty() ? concat(number, ".scale") : branch.scale_name, value, grad, std::nullopt, false,
         branch.convolution.is_identity});
  }

  void add(FoldedParameter<T> parameter) {
    for (const FoldedParameter<T>& other : parameters_)
      require(other.name != parameter.name, "there are two parameters '", parameter.name, "'");
    parameters_.push_back(std::move(parameter));
  }

  std::vector<T> values_, gradients_;  ///< the memory of all spans in parameters_
  std::vector<FoldedParameter<T>> parameters_;
  std::vector<std::size_t> first_of_branch_;  ///< index in parameters_ of each branch's first parameter
};

}  // namespace repopt
