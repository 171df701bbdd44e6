// Trainer: one training run, from options to files.
#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <cstdio>
#include <filesystem>
#include <map>
#include <optional>
#include <span>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "commands.hpp"
#include "data/pictures.hpp"
#include "repopt/formats/atomic_file.hpp"
#include "repopt/formats/scales_file.hpp"
#include "repopt/nn/models/folded_priors.hpp"
#include "repopt/nn/models/folded_training.hpp"
#include "repopt/nn/models/hyper_search.hpp"
#include "repopt/optim/ema.hpp"
#include "repopt/repopt.hpp"
#include "training/classify.hpp"
#include "training/faults.hpp"
#include "training/interrupt.hpp"
#include "training/metrics.hpp"
#include "training/network.hpp"
#include "training/processes.hpp"
#include "training/progress.hpp"
#include "training/run_file.hpp"
#include "training/scales_option.hpp"

namespace repopt_cifar {

/// The constants of the run's CSLA blocks; empty for the modes without.
template <class T>
repopt::Scales<T> run_scales(const TrainOptions& options, const repopt::nn::VggConfig& config) {
  if (options.scales.empty()) return {};
  const bool is_file = options.scales != "sqrt" && options.scales != "ones";
  const bool saved =
      is_file && options.resume && options.mode != "hyper_search" && !std::filesystem::exists(options.scales);
  const repopt::nn::Prior prior = repopt::nn::prior_of_name(options.prior);
  if (saved) return repopt::nn::ones_scales<T>(config, prior);  // stand-ins: the checkpoint holds the real ones
  auto scales = named_scales<T>(options.scales, config, prior);
  if (options.average_scales)
    scales = repopt::formats::bind_scales(repopt::nn::averaged_over_channels(std::move(scales)),
                                          repopt::nn::scale_lengths(config, prior),
                                          options.scales + ", averaged over the channels");
  return options.identity_init == "one" ? repopt::nn::with_identity_one(config, std::move(scales)) : scales;
}

/// The network of a run, as it starts.
template <class T>
repopt::nn::Vgg<T> initial_model(const TrainOptions& options, const repopt::nn::VggConfig& config,
                                 const repopt::Scales<T>& scales) {
  if (trains_folded(options.mode)) return repopt::nn::plain_vgg<T>(config, options.seed);
  if (options.mode != "rep") return repopt::nn::build_vgg<T>(config, network_mode(options.mode), options.seed, scales);
  if (options.initialization == "ordinary") return repopt::nn::plain_vgg<T>(config, options.seed);
  return repopt::nn::target_from_prior<T>(config, options.seed, scales);
}

template <class Rule, class T>
class Trainer {
 public:
  Trainer(const TrainOptions& options, const repopt::nn::VggConfig& config, const typename Rule::Options& rule_options,
          PictureSets pictures)
      : options_(options),
        pictures_(std::move(pictures)),
        normalisation_(repopt::io::channel_statistics(pictures_.train)),
        scales_(run_scales<T>(options, config)),
        model_(initial_model(options, config, scales_)),
        whole_batch_(options.batch_size * Processes::size()),
        steps_per_epoch_((pictures_.train.labels.size() + whole_batch_ - 1) / whole_batch_),
        schedule_{.lr = rule_options.lr,
                  .warmup_steps = std::size_t(std::lround(options.warmup_epochs * double(steps_per_epoch_))),
                  .total_steps = options.epochs * steps_per_epoch_} {
    add_parameters(config, rule_options);
    const std::size_t last = pictures_.train.labels.size() % whole_batch_;
    repopt::require(last == 0 || last >= 2 * Processes::size(), "--batch-size ", options.batch_size, " leaves ", last,
                    " of ", pictures_.train.labels.size(),
                    " pictures for the last batch; batch norm needs 2, in each process");
    schedule_(0);  // throws, before anything is written, if the warm-up is too long
    repopt::require(pictures_.test.size() >= Processes::size(), "there are ", pictures_.test.size(),
                    " test pictures for ", Processes::size(), " processes");
    if (options.sync_bn) Processes::synchronize_batch_norms(model_);
    if (options.ema) average_weights(*options.ema);
  }

  Json run() {
    if (options_.resume) load_checkpoint();
    require_same_network();
    if (Processes::is_first()) {
      std::filesystem::create_directories(options_.out);
      repopt::formats::AtomicFile{
          checkpoint_path()};  // throws if there is no writing, which an epoch later were a pity
    }
    const Interrupt interrupt;
    while (progress_.step < schedule_.total_steps) {
      train_epoch(interrupt);
      finish_epoch();
      if (stop_requested_ && progress_.step < schedule_.total_steps) stop();
    }
    if (ema_) ema_->swap();  // what is kept is the average
    if (Processes::is_first()) write_model();
    return result();
  }

 private:
  /// Makes the optimizer train the network or, in the modes whose branches train folded, its branches.
  void add_parameters(const repopt::nn::VggConfig& config, const typename Rule::Options& rule_options) {
    if (trains_folded(options_.mode)) {
      const repopt::nn::Prior prior = repopt::nn::prior_of_name(options_.prior);
      folded_.emplace(model_, repopt::nn::folded_kernels(config, prior, scales_, options_.mode == "hyper_search"));
      repopt::nn::init_branches(*folded_, options_.seed);
      repopt::nn::add_parameters(optimizer_, *folded_, rule_options);
      return;
    }
    const bool re_parameterized = options_.mode == "rep" && options_.grad_mult == "on";
    repopt::nn::add_parameters(
        optimizer_, model_, rule_options,
        re_parameterized ? repopt::nn::prior_blocks(config, scales_) : std::map<std::string, repopt::CslaBlock<T>>{});
  }

  /// use(what is trained and saved): the folded branches with all else that the network has, or the network itself.
  auto with_trained(auto use) { return folded_ ? use(*folded_) : use(model_); }

  std::filesystem::path checkpoint_path() const { return options_.out / "checkpoint.safetensors"; }

  /// The epoch's steps from where progress_ stands.
  void train_epoch(const Interrupt& interrupt) {
    const std::size_t count = pictures_.train.labels.size(), epoch = progress_.step / steps_per_epoch_;
    const std::vector<std::size_t> order = shuffled(count, options_.seed, epoch);
    epoch_start_ = seconds_now();
    std::size_t images_now = 0;
    const ProcessorTime timer(processor_seconds_);
    while (true) {
      const std::size_t first = progress_.step % steps_per_epoch_ * whole_batch_;
      const std::size_t size = std::min(whole_batch_, count - first);
      train_step(std::span(order).subspan(first, size), epoch, interrupt);
      images_now += size;
      images_since_start_ += size;
      images_per_second_ = double(images_now) / (seconds_now() - epoch_start_);
      if (Processes::is_first())
        progress_line_.show(repopt::concat("epoch ", epoch + 1, "/", options_.epochs), first + size, count,
                            images_per_second_, (options_.epochs - epoch) * count - first - size);
      if (progress_.step % steps_per_epoch_ == 0) break;  // finish_epoch() saves
      const bool due = options_.checkpoint_every > 0 && progress_.step % options_.checkpoint_every == 0;
      if (due || stop_requested_) save_checkpoint();
      if (stop_requested_) stop();
    }
    progress_line_.clear();
  }

  [[noreturn]] void stop() {
    progress_line_.clear();
    throw Interrupted(repopt::concat("stopped after step ", progress_.step, " of ", schedule_.total_steps,
                                     "; --resume continues from ", checkpoint_path().string()));
  }

  /// One iteration on the pictures of these indices, of which this process takes its share.
  void train_step(std::span<const std::size_t> batch, std::size_t epoch, const Interrupt& interrupt) {
    const repopt::Share share = Processes::share_of(batch.size());
    write_batch(
        pictures_.train, batch.subspan(share.first, share.size), normalisation_,
        [&](std::size_t picture) { return Augmentation::random(options_.seed, epoch, picture); }, images_, labels_);
    if (folded_) folded_->fold();
    model_.zero_grad();
    const repopt::nn::Tensor<T>& logits = model_.forward(images_, repopt::nn::Phase::train);
    const double share_loss = repopt::nn::cross_entropy<T>(logits, labels_, options_.label_smoothing, grad_logits_);
    std::array<double, 3> sums{share_loss * double(share.size),
                               double(repopt::nn::correct_predictions<T>(logits, labels_)),
                               double(interrupt.requested())};
    Processes::sum(sums);  // so that all see the same, and stop together
    const auto [loss_sum, correct, stops] = sums;
    const double loss = loss_sum / double(batch.size());
    require_no(fault_of_loss("loss", loss));
    const T weight = T(double(share.size * Processes::size()) / double(batch.size()));  // 1, but where shares differ
    for (T& grad : grad_logits_.values()) grad *= weight;
    model_.backward(grad_logits_);
    Processes::average(model_);
    if (folded_) folded_->add_gradients();
    require_no(gradient_fault(optimizer_));
    optimizer_.set_lr(schedule_(progress_.step));
    if (options_.clip_grad_norm) optimizer_.clip_grad_norm(*options_.clip_grad_norm);
    optimizer_.step();
    if (ema_) ema_->update();
    progress_.loss_sum += loss_sum;
    progress_.correct += std::size_t(correct);
    stop_requested_ = stops > 0;
    ++progress_.step;
  }

  /// As loss_fault(); in the modes whose branches train folded, it looks at the branches before their kernels.
  std::optional<std::string> fault_of_loss(std::string_view name, double loss) {
    if (std::isfinite(loss) || !folded_) return loss_fault(name, loss, model_);
    if (const auto fault = network_fault(*folded_)) return repopt::concat("the ", name, " is ", loss, ": ", *fault);
    return repopt::concat("the ", name, " is ", loss, ": the branches are finite, but ",
                          network_fault(model_).value_or("the logits are not"));
  }

  /// Throws unless all processes have the same network, the folded branches included.
  void require_same_network() {
    if (folded_) folded_->fold();
    Processes::require_same(model_);
  }

  /// Ends a run that diverged, before the fault reaches the checkpoint.
  void require_no(const std::optional<std::string>& fault) const {
    if (!fault) return;
    throw std::runtime_error(repopt::concat(
        *fault, " after step ", progress_.step, " of ", schedule_.total_steps, ". A lower --lr may help; ",
        std::filesystem::exists(checkpoint_path()) ? "the last checkpoint is kept" : "there is no checkpoint yet"));
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

  /// Mean loss and accuracy on the test pictures, of which each process takes its share.
  Classified test_all() {
    if (folded_) folded_->fold();
    const std::size_t count = pictures_.test.size();
    const repopt::Share share = Processes::share_of(count);
    Classified test = classify(model_, pictures_.test, normalisation_, 256, share);
    std::array<double, 2> sums{test.loss * double(share.size), double(test.correct)};
    Processes::sum(sums);
    test.loss = sums[0] / double(count);
    test.accuracy = sums[1] / double(count);
    return test;
  }

  /// Test, one line, and everything on disk.
  void finish_epoch() {
    require_same_network();
    if (ema_) ema_->swap();
    const Classified test = test_all();
    require_no(fault_of_loss("test loss", test.loss));
    if (ema_) ema_->swap();
    const double images = double(pictures_.train.labels.size());
    const EpochMetrics m{.epoch = progress_.step / steps_per_epoch_,
                         .lr = schedule_(progress_.step - 1),
                         .train_loss = progress_.loss_sum / images,
                         .train_accuracy = double(progress_.correct) / images,
                         .test_loss = test.loss,
                         .test_accuracy = test.accuracy,
                         .images_per_second = images_per_second_,
                         .seconds = seconds_now() - epoch_start_};
    progress_.metrics.push_back(m);
    progress_.loss_sum = 0;
    progress_.correct = 0;
    if (!Processes::is_first()) return;
    std::fprintf(stderr,
                 "epoch %zu/%zu  lr %.4f  train loss %.4f  accuracy %.2f %%  test loss %.4f  accuracy %.2f %%  "
                 "%.0f images/s  %.1f s\n",
                 m.epoch, options_.epochs, m.lr, m.train_loss, 100 * m.train_accuracy, m.test_loss,
                 100 * m.test_accuracy, m.images_per_second, m.seconds);
    repopt::formats::write_file(options_.out / "metrics.csv", to_csv(progress_.metrics));
    repopt::formats::write_file(options_.out / "curves.svg", curves_svg({{options_.mode, progress_.metrics}}));
    save_checkpoint();
  }

  std::map<std::string, std::string> run_options() const {
    return binding_options(options_, pictures_.train.name, pictures_.train.labels.size());
  }

  void save_checkpoint() {
    require_no(with_trained([](auto& trained) { return network_fault(trained); }));
    if (!Processes::is_first()) return;
    with_trained([&](auto& trained) {
      write_checkpoint(checkpoint_path(), run_options(), options_.seed, steps_per_epoch_, trained, optimizer_,
                       ema_ ? &*ema_ : nullptr, progress_);
    });
  }

  void load_checkpoint() {
    progress_ = with_trained([&](auto& trained) {
      return read_checkpoint(checkpoint_path(), run_options(), trained, optimizer_, ema_ ? &*ema_ : nullptr);
    });
    if (progress_.metrics.size() != progress_.step / steps_per_epoch_)
      throw std::runtime_error(repopt::concat(checkpoint_path().string(), " holds ", progress_.metrics.size(),
                                              " finished epochs, its step says ", progress_.step / steps_per_epoch_));
    if (progress_.step > schedule_.total_steps)
      throw std::runtime_error(repopt::concat(checkpoint_path().string(), " is at step ", progress_.step,
                                              ", the run has ", schedule_.total_steps));
    if (Processes::is_first())
      std::fprintf(stderr, "resumed at step %zu of %zu\n", progress_.step, schedule_.total_steps);
  }

  /// --scales, if the run's multiplier is what that says alone.
  std::string recorded_scales() const {
    if (options_.grad_mult == "off") return "none";
    return options_.average_scales ? "" : options_.scales;
  }

  void write_model() {
    const ModelInfo info{.mode = options_.mode,
                         .model = options_.model,
                         .data = pictures_.train.name,
                         .prior = options_.prior,
                         .classes = pictures_.train.classes,
                         .epochs = options_.epochs,
                         .train_loss = progress_.metrics.back().train_loss,
                         .scales = recorded_scales(),
                         .normalisation = normalisation_};
    with_trained([&](auto& trained) { save_network(options_.out / "model.safetensors", info, trained); });
    if (options_.mode != "hyper_search") return;
    const repopt::nn::Prior prior = repopt::nn::prior_of_name(options_.prior);
    const repopt::Scales<T> found =
        repopt::nn::searched_scales(*folded_, repopt::nn::scale_lengths(model_.config(), prior));
    repopt::formats::save_scales<T>(
        options_.out / "scales.safetensors", found,
        {{"model", options_.model}, {"prior", options_.prior}, {"data", pictures_.train.name}});
    diagnostics_ = repopt::nn::diagnose(found, scales_);
    std::fprintf(stderr,
                 "scales: %zu, mean %.3f; those of convolutions moved by %.1f %%, identities by %.1f %%; %zu negative, "
                 "%zu near zero\n",
                 diagnostics_.count, diagnostics_.mean, 100 * diagnostics_.movement,
                 100 * diagnostics_.identity_movement, diagnostics_.negative, diagnostics_.near_zero);
    if (diagnostics_.movement < 0.05)
      std::fprintf(stderr, "warning: the scales hardly moved: a longer search would say more\n");
  }

  /// Of training, all threads together, by what this process trained; null if that is nothing.
  Json processor_seconds_per_epoch() const {
    if (images_since_start_ == 0) return {};
    return processor_seconds_ / double(images_since_start_) * double(pictures_.train.size());
  }

  Json result() {
    const auto& metrics = progress_.metrics;
    double seconds = 0;
    std::vector<double> speeds;
    for (const EpochMetrics& m : metrics) {
      seconds += m.seconds;
      speeds.push_back(m.images_per_second);
    }
    std::ranges::nth_element(speeds, speeds.begin() + std::ptrdiff_t(speeds.size() / 2));
    Json json{{"command", "train"},
              {"mode", options_.mode},
              {"model", options_.model},
              {"prior", trains_folded(options_.mode) ? Json(options_.prior) : Json()},
              {"data", pictures_.train.name},
              {"optimizer", std::string(Rule::name)},
              {"precision", options_.precision},
              {"scales", options_.scales},
              {"initialization", options_.initialization},
              {"grad_mult", options_.grad_mult},
              {"seed", options_.seed},
              {"epochs", options_.epochs},
              {"classes", pictures_.train.classes},
              {"train_images", pictures_.train.labels.size()},
              {"batch_size", whole_batch_},
              {"test_images", pictures_.test.labels.size()},
              {"parameters", with_trained([](auto& trained) { return trained.parameter_count(); })},
              {"test_accuracy", metrics.back().test_accuracy},
              {"train_loss", metrics.back().train_loss},
              {"images_per_second", speeds[speeds.size() / 2]},
              {"seconds", seconds},
              {"processor_seconds_per_epoch", processor_seconds_per_epoch()},
              {"peak_rss_mb", peak_rss_mb()},
              {"threads", repopt::thread_count()},
              {"processes", Processes::size()},
              {"out", options_.out.string()}};
    if (options_.mode == "hyper_search")
      json["scale_diagnostics"] = {
          {"count", diagnostics_.count},       {"mean", diagnostics_.mean},
          {"movement", diagnostics_.movement}, {"identity_movement", diagnostics_.identity_movement},
          {"negative", diagnostics_.negative}, {"near_zero", diagnostics_.near_zero}};
    return json;
  }

  TrainOptions options_;
  PictureSets pictures_;
  repopt::io::ChannelStatistics normalisation_;
  repopt::Scales<T> scales_;
  repopt::nn::Vgg<T> model_;
  std::optional<repopt::nn::FoldedTraining<T>> folded_;  ///< of model_, in the modes whose branches train folded
  repopt::RepOptimizer<Rule, T> optimizer_;
  std::optional<repopt::Ema<T>> ema_;
  std::size_t whole_batch_;  ///< pictures of a step, of all processes
  std::size_t steps_per_epoch_;
  repopt::WarmupCosineLr schedule_;
  RunProgress progress_;
  repopt::nn::Tensor<T> images_, grad_logits_;
  std::vector<int> labels_;
  Progress progress_line_;
  bool stop_requested_ = false;
  double epoch_start_ = 0, images_per_second_ = 0, processor_seconds_ = 0;
  std::size_t images_since_start_ = 0;  ///< of this process, not of a run that is resumed
  repopt::nn::ScaleDiagnostics diagnostics_;
};

}  // namespace repopt_cifar
