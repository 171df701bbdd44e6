// The sections of study.html.
#pragma once

#include <string>
#include <vector>

#include "options.hpp"
#include "study/int8.hpp"
#include "study/summary.hpp"

namespace repopt_cifar::study {

/// Accuracy, time, memory and parameters of each variant, beside the accuracy that the article reports.
std::string accuracy_section(const ModelSummary& summary);

/// The accuracy of every seed, variant by variant.
std::string spread_section(const ModelSummary& summary);

/// Test accuracy over the epochs.
std::string curves_section(const ModelSummary& summary, const StudyOptions& options);

/// Test accuracy over the time of training, and the accuracy of each variant in the time that RepVGG's blocks need.
std::string time_section(const ModelSummary& summary, const StudyOptions& options);

/// Test accuracy for each learning rate and number of epochs.
std::string rates_section(const ModelSummary& summary);

/// The scales that Hyper-Search found, over the depth, and the GradMult of one layer.
std::string scales_section(const ModelSummary& summary, const StudyOptions& options);

/// The distribution and the standard deviation of one layer's deployed kernels, with batch norms folded in.
std::string kernels_section(const ModelSummary& summary, const StudyOptions& options);

/// Accuracy in 8-bit integers.
std::string int8_section(const ModelSummary& summary, const std::vector<Int8Result>& results);

}  // namespace repopt_cifar::study
