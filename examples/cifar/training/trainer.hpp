// Trainer: one training run, from options to files.
#pragma once

#include <algorithm>
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
#include "training/interrupt.hpp"
#include "training/learner.hpp"
#include "training/metrics.hpp"
#include "training/network.hpp"
#include "training/processes.hpp"
#include "training/progress.hpp"
#include "training/report.hpp"
#include "training/run_file.hpp"
#include "training/run_folder.hpp"
#include "training/steps.hpp"

namespace repopt_cifar {

template <class Rule, class T>
class Trainer {
 public:
  /// `folder` must outlive the trainer.
  Trainer(const TrainOptions& options, const repopt::nn::VggConfig& config, const typename Rule::Options& rule,
          PictureSets pictures, RunFolder& folder)
      : options_(options),
        folder_(folder),
        pictures_(std::move(pictures)),
        normalisation_(repopt::io::channel_statistics(pictures_.train)),
        steps_(RunSteps::of(options, pictures_.train.size())),
        resumes_(folder.resumes()),
        learner_(options, config, rule, resumes_) {
    repopt::require(pictures_.test.size() >= Processes::size(), "there are ", pictures_.test.size(),
                    " test pictures for ", Processes::size(), " processes");
  }

  Json run() {
    Processes::require_same("a checkpoint to resume from", resumes_ ? "there" : "not there");
    if (resumes_) load_checkpoint();
    learner_.require_same_network();
    if (Processes::is_first()) folder_.claim();
    const Interrupt interrupt;
    try {
      while (progress_.step < steps_.total()) {
        train_epoch(interrupt);
        finish_epoch();
        if (stop_requested_ && progress_.step < steps_.total()) stop();
      }
    } catch (const Diverged& fault) {
      throw std::runtime_error(repopt::concat(
          fault.what(), " after step ", progress_.step, " of ", steps_.total(), ". A lower --lr may help; ",
          std::filesystem::exists(folder_.checkpoint()) ? "the last checkpoint is kept"
                                                        : "there is no checkpoint yet"));
    }
    learner_.use_averages();  // what is kept is the average
    if (Processes::is_first()) write_model();
    return run_result(options_, pictures_, steps_, summary());
  }

 private:
  /// The epoch's steps from where progress_ stands.
  void train_epoch(const Interrupt& interrupt) {
    const std::size_t count = steps_.images, epoch = progress_.step / steps_.per_epoch;
    const std::vector<std::size_t> order = shuffled(count, options_.seed, epoch);
    epoch_start_ = seconds_now();
    std::size_t images_now = 0;
    const ProcessorTime timer(processor_seconds_);
    while (true) {
      const std::size_t first = progress_.step % steps_.per_epoch * steps_.batch_size;
      const std::size_t size = std::min(steps_.batch_size, count - first);
      train_step(std::span(order).subspan(first, size), epoch, interrupt);
      images_now += size;
      images_since_start_ += size;
      images_per_second_ = double(images_now) / (seconds_now() - epoch_start_);
      if (Processes::is_first())
        progress_line_.show(repopt::concat("epoch ", epoch + 1, "/", options_.epochs), first + size, count,
                            images_per_second_, (options_.epochs - epoch) * count - first - size);
      if (progress_.step % steps_.per_epoch == 0) break;  // finish_epoch() saves
      const bool due = options_.checkpoint_every > 0 && progress_.step % options_.checkpoint_every == 0;
      if (due || stop_requested_) save_checkpoint();
      if (stop_requested_) stop();
    }
    progress_line_.clear();
  }

  [[noreturn]] void stop() {
    progress_line_.clear();
    throw Interrupted(repopt::concat("stopped after step ", progress_.step, " of ", steps_.total(),
                                     "; --resume continues from ", folder_.checkpoint().string()));
  }

  /// One iteration on the pictures of these indices, of which this process takes its share.
  void train_step(std::span<const std::size_t> batch, std::size_t epoch, const Interrupt& interrupt) {
    const repopt::Share share = Processes::share_of(batch.size());
    write_batch(
        pictures_.train, batch.subspan(share.first, share.size), normalisation_,
        [&](std::size_t picture) { return Augmentation::random(options_.seed, epoch, picture); }, images_, labels_);
    const StepSums sums =
        learner_.step(images_, labels_, batch.size(), steps_.schedule(progress_.step), interrupt.requested());
    progress_.loss_sum += sums.loss;
    progress_.correct += sums.correct;
    stop_requested_ = sums.stop;
    ++progress_.step;
  }

  /// Test, one line, and everything on disk.
  void finish_epoch() {
    learner_.require_same_network();
    const Classified test = learner_.test(pictures_.test, normalisation_);
    const double images = double(steps_.images);
    progress_.metrics.push_back({.epoch = progress_.step / steps_.per_epoch,
                                 .lr = steps_.schedule(progress_.step - 1),
                                 .train_loss = progress_.loss_sum / images,
                                 .train_accuracy = double(progress_.correct) / images,
                                 .test_loss = test.loss,
                                 .test_accuracy = test.accuracy,
                                 .images_per_second = images_per_second_,
                                 .seconds = seconds_now() - epoch_start_});
    progress_.loss_sum = 0;
    progress_.correct = 0;
    if (!Processes::is_first()) return;
    print_epoch(progress_.metrics.back(), options_.epochs);
    repopt::formats::write_file(folder_.metrics(), to_csv(progress_.metrics));
    repopt::formats::write_file(folder_.curves(), curves_svg({{options_.mode, progress_.metrics}}));
    save_checkpoint();
  }

  std::map<std::string, std::string> run_options() const {
    return binding_options(options_, pictures_.train.name, steps_.images);
  }

  void save_checkpoint() {
    learner_.require_finite();
    if (!Processes::is_first()) return;
    learner_.with_trained([&](auto& trained) {
      write_checkpoint(folder_.checkpoint(), run_options(), options_.seed, steps_.per_epoch, trained,
                       learner_.optimizer(), learner_.averages(), progress_);
    });
  }

  void load_checkpoint() {
    progress_ = learner_.with_trained([&](auto& trained) {
      return read_checkpoint(folder_.checkpoint(), run_options(), trained, learner_.optimizer(), learner_.averages());
    });
    const std::string source = folder_.checkpoint().string();
    if (progress_.metrics.size() != progress_.step / steps_.per_epoch)
      throw std::runtime_error(repopt::concat(source, " holds ", progress_.metrics.size(),
                                              " finished epochs, its step says ", progress_.step / steps_.per_epoch));
    if (progress_.step > steps_.total())
      throw std::runtime_error(
          repopt::concat(source, " is at step ", progress_.step, ", the run has ", steps_.total()));
    if (Processes::is_first()) std::fprintf(stderr, "resumed at step %zu of %zu\n", progress_.step, steps_.total());
  }

  void write_model() {
    const ModelInfo info = model_info(options_, pictures_.train, normalisation_, progress_);
    learner_.with_trained([&](auto& trained) { save_network(folder_.model(), info, trained); });
    if (options_.mode != "hyper_search") return;
    const repopt::Scales<T> found = learner_.trained_scales(repopt::nn::prior_of_name(options_.prior));
    repopt::formats::save_scales<T>(
        folder_.scales(), found,
        {{"model", options_.model}, {"prior", options_.prior}, {"data", pictures_.train.name}});
    diagnostics_ = repopt::nn::diagnose(found, learner_.initial_scales());
    print_scales(*diagnostics_);
  }

  RunSummary summary() {
    std::optional<double> processor_seconds;
    if (images_since_start_ > 0)
      processor_seconds = processor_seconds_ / double(images_since_start_) * double(steps_.images);
    return {.optimizer = Rule::name,
            .parameters = learner_.with_trained([](auto& trained) { return trained.parameter_count(); }),
            .progress = progress_,
            .processor_seconds_per_epoch = processor_seconds,
            .scales = diagnostics_};
  }

  TrainOptions options_;
  RunFolder& folder_;
  PictureSets pictures_;
  repopt::io::ChannelStatistics normalisation_;
  RunSteps steps_;
  bool resumes_;  ///< whether the run goes on from a checkpoint
  Learner<Rule, T> learner_;
  RunProgress progress_;
  repopt::nn::Tensor<T> images_;
  std::vector<int> labels_;
  Progress progress_line_;
  bool stop_requested_ = false;
  double epoch_start_ = 0, images_per_second_ = 0, processor_seconds_ = 0;
  std::size_t images_since_start_ = 0;  ///< of this process, not of a run that is resumed
  std::optional<repopt::nn::ScaleDiagnostics>
      diagnostics_;  ///< how a search changed its scales; only in the first process
};

}  // namespace repopt_cifar
