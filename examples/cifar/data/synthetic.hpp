// A generated picture set for machines without CIFAR: gratings that only a net with a sense of pattern tells apart.
#pragma once

#include <cstddef>
#include <cstdint>

#include "repopt/io/cifar.hpp"

namespace repopt_cifar {

/// `count` pictures of 32x32, in 10 classes: five slopes times two widths of stripes, in random colours, phases, mirror
/// images and noise. The phase is random, so the mean picture of every class is grey and a linear classifier fails.
/// Picture i depends on (seed, i) only.
repopt::io::ImageDataset synthetic_pictures(std::size_t count, std::uint64_t seed);

}  // namespace repopt_cifar
