// For emulators: tests that try many shapes try fewer.
#pragma once

#include <cstdlib>

namespace repopt::testing {

/// Whether the environment variable REPOPT_FEWER_SHAPES is set, as tests/cross.sh sets it.
inline bool fewer_shapes() { return std::getenv("REPOPT_FEWER_SHAPES") != nullptr; }

}  // namespace repopt::testing
