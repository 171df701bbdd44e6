// Generated pictures for machines without CIFAR: striped patterns, which a linear classifier cannot tell apart.
#pragma once

#include <cstddef>
#include <cstdint>

#include "repopt/io/cifar.hpp"

namespace repopt_cifar {

/// Generates `count` pictures of 32x32 in 10 classes: five slopes of stripes, each in two widths. Colours, phase,
/// mirroring and noise are random. Because the phase is random, the mean picture of every class is grey, and a linear
/// classifier fails. Picture i depends only on (seed, i).
repopt::io::ImageDataset synthetic_pictures(std::size_t count, std::uint64_t seed);

}  // namespace repopt_cifar
