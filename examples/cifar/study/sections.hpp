// The sections of study.html, one for each thing that the study looks at.
#pragma once

#include <string>
#include <vector>

#include "options.hpp"
#include "study/int8.hpp"
#include "study/summary.hpp"

namespace repopt_cifar::study {

/// Accuracy, time, memory and parameters of each variant, beside what the article reports.
std::string accuracy_section(const ModelSummary& summary);

/// Every seed's accuracy, variant by variant.
std::string spread_section(const ModelSummary& summary);

/// Test accuracy over the epochs.
std::string curves_section(const ModelSummary& summary, const StudyOptions& options);

/// Test accuracy over the time of training, and what is reached in the time that RepVGG's blocks need.
std::string time_section(const ModelSummary& summary, const StudyOptions& options);

/// Learning rates and numbers of epochs.
std::string rates_section(const ModelSummary& summary);

/// What Hyper-Search found: the scales over the depth, and a layer's GradMult.
std::string scales_section(const ModelSummary& summary, const StudyOptions& options);

/// A layer's kernels as deployed, batch norms folded in: their distribution and standard deviation.
std::string kernels_section(const ModelSummary& summary, const StudyOptions& options);

/// Accuracy in 8-bit integers.
std::string int8_section(const ModelSummary& summary, const std::vector<Int8Result>& results);

}  // namespace repopt_cifar::study
