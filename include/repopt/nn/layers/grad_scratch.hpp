// GradScratch: memory that the backward passes of a network's blocks share.
#pragma once

#include <array>

#include "repopt/tensor/tensor.hpp"

namespace repopt::nn {

/// Two tensors for the gradients of a block's branches. All blocks of a network share them, because one block's
/// backward pass ends before the next one begins.
template <class T>
using GradScratch = std::array<Tensor<T>, 2>;

}  // namespace repopt::nn
