#include "quantization/fine_tune.hpp"

#include <algorithm>
#include <map>
#include <optional>
#include <span>
#include <stdexcept>
#include <string>

#include "repopt/nn/layers/cross_entropy.hpp"
#include "repopt/nn/models/hyper_search.hpp"
#include "repopt/nn/models/reparameterize.hpp"
#include "repopt/optim/lr_schedule.hpp"
#include "repopt/optim/rep_optimizer.hpp"
#include "repopt/quant/fake_quant.hpp"
#include "training/faults.hpp"
#include "training/progress.hpp"
#include "training/scales_option.hpp"

namespace repopt_cifar {

namespace {

using Blocks = std::map<std::string, repopt::CslaBlock<float>>;

/// Returns the blocks that the deployed network's kernels stand for, by name. There are none if the network was not
/// trained by the rules.
Blocks blocks_of(const Network& network, std::string scales) {
  if (network.info.mode != "rep") {
    repopt::require(scales.empty(), "a network of mode ", network.info.mode, " takes no --scales");
    return {};
  }
  const double factor = scales.empty() ? network.info.scale_factor() : 1;
  if (scales.empty()) scales = network.info.scales;
  repopt::require(!scales.empty(), "the network's file does not say which scales it was trained with: use --scales");
  if (scales == "none") return {};
  repopt::require(!network.info.deployed,
                  "a converted network of mode rep has lost its batch norms' scales, which its multiplier needs: "
                  "fine-tune the run's model.safetensors");
  return repopt::nn::deployed_blocks(
      network.model, repopt::nn::with_scale_factor(named_scales<float>(scales, network.model.config()), factor));
}

void require_no(const std::optional<std::string>& fault, std::size_t step) {
  if (fault)
    throw std::runtime_error(repopt::concat(*fault, " after step ", step, " of fine-tuning. A lower --lr may help"));
}

}  // namespace

repopt::nn::Vgg<float> fine_tuned(const Network& network, const std::vector<repopt::quant::Quantization>& activations,
                                  const repopt::quant::WeightOptions& weights, const repopt::io::ImageDataset& pictures,
                                  const FineTuneOptions& options) {
  auto model = repopt::quant::fake_quantized(network.model, activations, weights);
  repopt::RepSgd<float> optimizer;
  repopt::nn::add_parameters(optimizer, model, {.lr = options.lr, .momentum = 0.9, .nesterov = true},
                             blocks_of(network, options.scales));
  const std::size_t count = pictures.size(), batches = (count + options.batch_size - 1) / options.batch_size;
  const repopt::WarmupCosineLr schedule{.lr = options.lr, .total_steps = options.epochs * batches};
  repopt::nn::Tensor<float> images, grad_logits;
  std::vector<int> labels;
  Progress progress;
  const double start = seconds_now();
  for (std::size_t step = 0; step < schedule.total_steps; ++step) {
    const std::size_t epoch = step / batches, first = step % batches * options.batch_size;
    const std::size_t size = std::min(options.batch_size, count - first);
    const std::vector<std::size_t> order = shuffled(count, options.seed, epoch);
    write_batch(
        pictures, std::span(order).subspan(first, size), network.info.normalisation,
        [&](std::size_t picture) { return Augmentation::random(options.seed, epoch, picture); }, images, labels);
    model.zero_grad();
    const auto& logits = model.forward(images, repopt::nn::Phase::train);
    const double loss = repopt::nn::cross_entropy<float>(logits, labels, 0.1, grad_logits);
    require_no(loss_fault("loss", loss, model), step);
    model.backward(grad_logits);
    require_no(gradient_fault(optimizer), step);
    optimizer.set_lr(schedule(step));
    optimizer.step();
    const std::size_t done = epoch * count + first + size;
    progress.show(repopt::concat("fine-tuning, epoch ", epoch + 1, "/", options.epochs), first + size, count,
                  double(done) / (seconds_now() - start), options.epochs * count - done);
  }
  progress.clear();
  return model;
}

}  // namespace repopt_cifar
