// The sections of study.html.
#pragma once

#include <string>
#include <vector>

#include "repopt/nn/models/vgg_config.hpp"
#include "study/fine_tuning.hpp"
#include "study/int8.hpp"
#include "study/layers.hpp"
#include "study/records.hpp"
#include "study/summary.hpp"

namespace repopt_cifar::study {

/// Accuracy, time, memory and parameters of each variant, beside the accuracy that the article reports.
std::string accuracy_section(const ModelSummary& summary);

/// The accuracy of every seed, variant by variant.
std::string spread_section(const ModelSummary& summary);

/// Test accuracy over the epochs.
std::string curves_section(const ModelSummary& summary, const Records& records);

/// Test accuracy over the time of training, and the accuracy of each variant in the time that RepVGG's blocks need.
std::string time_section(const ModelSummary& summary, const Records& records);

/// Test accuracy for each learning rate and number of epochs.
std::string rates_section(const ModelSummary& summary);

/// The scales that Hyper-Search found, over the depth, and the GradMult of the block `shown`.
std::string scales_section(const ModelSummary& summary, const Records& records, const repopt::nn::BlockSpec& shown);

/// The distribution and the standard deviation of the deployed kernels of the block `shown`, with batch norms folded
/// in.
std::string kernels_section(const ModelSummary& summary, const Records& records, const repopt::nn::BlockSpec& shown);

/// Accuracy in integers of 8 bits as a table, and of 8 to 4 bits in pictures, with pictures of the layers.
std::string int8_section(const ModelSummary& summary, const std::vector<Int8Result>& results,
                         const std::vector<LayerResult>& layers);

/// Accuracy before and after fine-tuning for few bits.
std::string fine_tuning_section(const ModelSummary& summary, const std::vector<FineTuningResult>& results);

}  // namespace repopt_cifar::study
