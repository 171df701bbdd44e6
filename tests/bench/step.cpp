// `repopt-bench step`: whole training steps, from images to updated weights.
#include <map>
#include <optional>
#include <string>

#include "bench.hpp"
#include "repopt/nn/models/folded_training.hpp"
#include "repopt/nn/models/hyper_search.hpp"
#include "repopt/repopt.hpp"

namespace repopt_bench {

namespace {

using namespace repopt;
using namespace repopt::nn;

Vgg<float> make_model(const VggConfig& config, const std::string& mode, const Scales<float>& scales) {
  if (mode == "rep") return target_from_prior<float>(config, 0, scales);
  if (mode == "csla") return csla_vgg(config, 0, scales);
  if (mode == "hyper_search_real") return hyper_search_vgg(config, 0, scales);
  if (mode == "qarepvgg") return qa_rep_vgg<float>(config, 0);
  return mode == "repvgg" ? rep_vgg<float>(config, 0) : plain_vgg<float>(config, 0);
}

}  // namespace

void bench_step(const Options& options) {
  const double start_mb = rss_mb();
  VggConfig config = vgg_preset(options.model.empty() ? "cifar-vgg" : options.model);
  if (options.conv_algorithm == "plain") config.algorithm = ConvAlgorithm::plain;
  const std::size_t size = picture_size(config);
  const Scales<float> scales = nn::sqrt_scales<float>(config);
  Vgg<float> model = make_model(config, options.mode, scales);
  RepSgd<float> optimizer;
  const Sgd::Options rule{.lr = 0.01, .momentum = 0.9, .weight_decay = 5e-4, .nesterov = true};
  std::optional<FoldedTraining<float>> folded;
  if (options.mode == "folded" || options.mode == "hyper_search")
    folded.emplace(model, folded_kernels(config, Prior::repvgg, scales, options.mode == "hyper_search"));
  if (folded) {
    init_branches(*folded, 0);
    add_parameters(optimizer, *folded, rule);
  } else {
    add_parameters(optimizer, model, rule,
                   options.mode == "rep" ? prior_blocks(config, scales) : std::map<std::string, CslaBlock<float>>{});
  }

  Tensor<float> images({options.batch, size, size, config.in_channels}), grad_logits;
  fill_random(images.values());
  std::vector<int> labels(options.batch);
  for (std::size_t i = 0; i < labels.size(); ++i) labels[i] = int(i * 7 % config.classes);

  double first_loss = 0, loss = 0;
  std::vector<double> times;
  for (std::size_t round = 0; round <= options.rounds; ++round) {
    const double ms = milliseconds([&] {
      if (folded) folded->fold();
      model.zero_grad();
      loss = cross_entropy<float>(model.forward(images, Phase::train), labels, 0, grad_logits);
      model.backward(grad_logits);
      if (folded) folded->add_gradients();
      optimizer.step();
    });
    if (round == 0)
      first_loss = loss;  // the first step allocates memory and is not counted
    else
      times.push_back(ms);
  }
  const double ms = median(times);
  print(options, {{"bench", "step"},
                  {"model", config.name},
                  {"mode", options.mode},
                  {"batch", options.batch},
                  {"threads", thread_count()},
                  {"conv_algorithm", options.conv_algorithm},
                  {"parameters", folded ? folded->parameter_count() : model.parameter_count()},
                  {"images_per_second", 1e3 * double(options.batch) / ms},
                  {"milliseconds_median", ms},
                  {"peak_rss_mb", peak_rss_mb() - start_mb},
                  {"first_loss", first_loss},
                  {"last_loss", loss}});
}

}  // namespace repopt_bench
