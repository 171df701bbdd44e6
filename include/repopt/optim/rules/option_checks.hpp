// The checks that several update rules share.
#pragma once

#include <array>
#include <cmath>
#include <cstddef>

#include "repopt/base/error.hpp"

namespace repopt {

/// Throws std::invalid_argument unless the option is finite and not negative.
inline void require_not_negative(const char* name, double value) {
  require(std::isfinite(value) && value >= 0, name, " must be finite and >= 0, it is ", value);
}

/// Throws std::invalid_argument unless both betas are in [0, 1).
inline void require_betas(const std::array<double, 2>& betas) {
  for (const double beta : betas) require(beta >= 0 && beta < 1, "betas must be in [0, 1), one is ", beta);
}

/// Throws std::invalid_argument unless a buffer that a rule reads or writes is as long as the weight.
inline void require_as_long(const char* name, std::size_t size, std::size_t weights) {
  require(size == weights, name, " has ", size, " elements, the weight has ", weights);
}

}  // namespace repopt
