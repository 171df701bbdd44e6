// Learner: what a run trains, and one iteration of it.
#pragma once

#include <array>
#include <cmath>
#include <cstddef>
#include <map>
#include <optional>
#include <span>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include "options.hpp"
#include "repopt/nn/layers/cross_entropy.hpp"
#include "repopt/nn/models/custom_l2.hpp"
#include "repopt/nn/models/folded_training.hpp"
#include "repopt/nn/models/reparameterize.hpp"
#include "repopt/optim/ema.hpp"
#include "repopt/optim/rep_optimizer.hpp"
#include "training/classify.hpp"
#include "training/faults.hpp"
#include "training/processes.hpp"
#include "training/starting_point.hpp"

namespace repopt_cifar {

/// Thrown when a loss, a gradient or a trained number is not finite. The message says which number, and where.
struct Diverged : std::runtime_error {
  using std::runtime_error::runtime_error;
};

/// Throws Diverged if there is a fault.
inline void require_no(const std::optional<std::string>& fault) {
  if (fault) throw Diverged(*fault);
}

/// What an iteration measured, summed over the pictures of all processes.
struct StepSums {
  double loss = 0;
  std::size_t correct = 0;
  bool stop = false;  ///< whether any process is to stop
};

/// The network of a run, its branches where they train folded, its optimizer, and the averages of its weights.
template <class Rule, class T>
class Learner {
 public:
  /// `resumes` says whether a checkpoint will be read, which holds the scales.
  Learner(const TrainOptions& options, const repopt::nn::VggConfig& config, const typename Rule::Options& rule,
          bool resumes)
      : label_smoothing_(options.label_smoothing),
        clip_grad_norm_(options.clip_grad_norm),
        scales_(run_scales<T>(options, config, resumes)),
        model_(initial_model(options, config, scales_)) {
    add_parameters(options, rule);
    if (options.sync_bn) Processes::synchronize_batch_norms(model_);
    if (options.ema) average_weights(*options.ema);
  }

  Learner(const Learner&) = delete;
  Learner& operator=(const Learner&) = delete;

  /// Returns use(what is trained and saved): the folded branches with all else that the network has, or the network.
  auto with_trained(auto use) { return folded_ ? use(*folded_) : use(model_); }

  const repopt::Scales<T>& initial_scales() const { return scales_; }
  repopt::RepOptimizer<Rule, T>& optimizer() { return optimizer_; }
  repopt::Ema<T>* averages() { return ema_ ? &*ema_ : nullptr; }

  /// The scales as a search has trained them. Only in the modes whose branches train folded.
  repopt::Scales<T> trained_scales(repopt::nn::Prior prior) {
    return repopt::nn::searched_scales(*folded_, repopt::nn::scale_lengths(model_.config(), prior));
  }

  /// One iteration on a batch of `batch_size` pictures, of which this process has the share `images`. `stop` says
  /// whether this process is to stop. Throws Diverged before a number that is not finite reaches the weights.
  StepSums step(const repopt::nn::Tensor<T>& images, std::span<const int> labels, std::size_t batch_size, double lr,
                bool stop) {
    if (folded_) folded_->fold();
    model_.zero_grad();
    const repopt::nn::Tensor<T>& logits = model_.forward(images, repopt::nn::Phase::train);
    const double share = double(labels.size());
    const double share_loss = repopt::nn::cross_entropy<T>(logits, labels, label_smoothing_, grad_logits_);
    std::array<double, 3> sums{share_loss * share, double(repopt::nn::correct_predictions<T>(logits, labels)),
                               double(stop)};
    Processes::sum(sums);  // so that all see the same, and stop together
    const auto [loss_sum, correct, stops] = sums;
    require_no(fault_of_loss("loss", loss_sum / double(batch_size)));
    const T weight = T(share * double(Processes::size()) / double(batch_size));  // 1, but where shares differ
    for (T& grad : grad_logits_.values()) grad *= weight;
    model_.backward(grad_logits_);
    Processes::average(model_);
    if (custom_l2_) custom_l2_->add_gradients();
    if (folded_) folded_->add_gradients();
    require_no(gradient_fault(optimizer_));
    optimizer_.set_lr(lr);
    if (clip_grad_norm_) optimizer_.clip_grad_norm(*clip_grad_norm_);
    optimizer_.step();
    if (ema_) ema_->update();
    return {loss_sum, std::size_t(correct), stops > 0};
  }

  /// Returns the mean loss and accuracy of the averaged weights, or of the weights if there are no averages. Each
  /// process classifies its share of the pictures. Throws Diverged if the loss is not finite.
  Classified test(const repopt::io::ImageDataset& pictures, const repopt::io::ChannelStatistics& normalisation) {
    use_averages();
    if (folded_) folded_->fold();
    const repopt::Share share = Processes::share_of(pictures.size());
    Classified test = classify(model_, pictures, normalisation, 256, share);
    std::array<double, 2> sums{test.loss * double(share.size), double(test.correct)};
    Processes::sum(sums);
    test.loss = sums[0] / double(pictures.size());
    test.accuracy = sums[1] / double(pictures.size());
    require_no(fault_of_loss("test loss", test.loss));
    use_averages();
    return test;
  }

  /// Exchanges the weights and their averages, if there are any.
  void use_averages() {
    if (ema_) ema_->swap();
  }

  /// Throws Diverged if a trained number is not finite.
  void require_finite() {
    require_no(with_trained([](auto& trained) { return network_fault(trained); }));
  }

  /// Throws unless all processes have the same network, the folded branches included.
  void require_same_network() {
    if (folded_) folded_->fold();
    Processes::require_same(model_);
  }

 private:
  /// Gives all that is trained to the optimizer: the folded branches, or the network's own parameters.
  void add_parameters(const TrainOptions& options, const typename Rule::Options& rule) {
    const repopt::nn::VggConfig& config = model_.config();
    if (trains_folded(options.mode)) {
      const repopt::nn::Prior prior = repopt::nn::prior_of_name(options.prior);
      folded_.emplace(model_, repopt::nn::folded_kernels(config, prior, scales_, options.mode == "hyper_search"));
      repopt::nn::init_branches(*folded_, options.seed);
      repopt::nn::add_parameters(optimizer_, *folded_, rule);
      return;
    }
    if (options.custom_l2) custom_l2_.emplace(model_, rule.weight_decay);
    const bool re_parameterized = options.mode == "rep" && options.grad_mult == "on";
    repopt::nn::add_parameters(
        optimizer_, model_, rule,
        re_parameterized ? repopt::nn::prior_blocks(config, scales_) : std::map<std::string, repopt::CslaBlock<T>>{});
  }

  /// Averages every trained number and the running statistics.
  void average_weights(double decay) {
    ema_.emplace(decay);
    with_trained([&](auto& trained) {
      trained.visit_parameters([&](const std::string&, auto&& parameter) {
        if (parameter.requires_grad) ema_->add_param(parameter.value);
      });
    });
    for (const auto& block : model_.blocks())
      block->visit_batch_norms([&](repopt::nn::BatchNorm2d<T>& bn) {
        ema_->add_param(bn.running_mean.value);
        ema_->add_param(bn.running_var.value);
      });
  }

  /// As loss_fault(); in the modes whose branches train folded, it looks at the branches before their kernels.
  std::optional<std::string> fault_of_loss(std::string_view name, double loss) {
    if (std::isfinite(loss) || !folded_) return loss_fault(name, loss, model_);
    if (const auto fault = network_fault(*folded_)) return repopt::concat("the ", name, " is ", loss, ": ", *fault);
    return repopt::concat("the ", name, " is ", loss, ": the branches are finite, but ",
                          network_fault(model_).value_or("the logits are not"));
  }

  double label_smoothing_;
  std::optional<double> clip_grad_norm_;
  repopt::Scales<T> scales_;
  repopt::nn::Vgg<T> model_;
  std::optional<repopt::nn::FoldedTraining<T>> folded_;  ///< folds model_ in the modes whose branches train folded
  std::optional<repopt::nn::CustomL2<T>> custom_l2_;     ///< decays model_ with --custom-l2
  repopt::RepOptimizer<Rule, T> optimizer_;
  std::optional<repopt::Ema<T>> ema_;
  repopt::nn::Tensor<T> grad_logits_;
};

}  // namespace repopt_cifar
