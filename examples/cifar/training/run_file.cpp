#include "training/run_file.hpp"

#include <stdexcept>
#include <string_view>
#include <utility>

#include "repopt/base/error.hpp"
#include "training/processes.hpp"
#include "training/run_options.hpp"

namespace repopt_cifar {

namespace {

constexpr const char* format_name(NetworkFormat format) {
  return format == NetworkFormat::floats ? "repopt-vgg" : "repopt-vgg-int8";
}

/// Whether a number of epochs is larger than another.
bool is_longer(const std::string& epochs, const std::string& other) {
  return other.size() < epochs.size() || (other.size() == epochs.size() && other < epochs);
}

/// The value of an option in checkpoints that were written before there was the option.
constexpr const char* value_before(std::string_view option) {
  if (option == "prior") return "repvgg";
  if (option == "scale_factor") return "1";
  if (option == "custom_l2") return "no";
  return "not there";
}

/// --scales, if the run's multiplier is what that says alone.
std::string recorded_scales(const TrainOptions& options) {
  if (options.grad_mult == "off") return "none";
  return options.average_scales ? "" : options.scales;
}

}  // namespace

repopt::nn::Mode network_mode(const std::string& mode) {
  using repopt::nn::Mode;
  if (mode == "csla") return Mode::csla;
  if (mode == "repvgg") return Mode::repvgg;
  if (mode == "qarepvgg") return Mode::qarepvgg;
  repopt::require(mode == "rep" || mode == "plain" || trains_folded(mode), "there is no mode '", mode, "'");
  return Mode::target;
}

bool trains_folded(const std::string& mode) { return mode == "folded" || mode == "hyper_search"; }

ModelInfo model_info(const TrainOptions& options, const repopt::io::ImageDataset& train,
                     const repopt::io::ChannelStatistics& normalisation, const RunProgress& progress) {
  Json all_options = to_json(run_options(options));
  all_options["earlier_epochs"] = progress.earlier_epochs;
  return {.mode = options.mode,
          .model = options.model,
          .data = train.name,
          .prior = options.prior,
          .classes = train.classes,
          .epochs = options.epochs,
          .train_loss = progress.metrics.back().train_loss,
          .scales = recorded_scales(options),
          .options = std::move(all_options),
          .normalisation = normalisation};
}

NetworkFormat network_format(const repopt::formats::Safetensors& file) {
  const auto found = file.metadata().find("format");
  const std::string format = found == file.metadata().end() ? "" : found->second;
  for (const NetworkFormat known : {NetworkFormat::floats, NetworkFormat::int8})
    if (format == format_name(known)) return known;
  throw std::runtime_error(file.name() + " is no network that repopt-cifar wrote: its metadata have no format '" +
                           format_name(NetworkFormat::floats) + "'");
}

void add_model_info(repopt::formats::SafetensorsWriter& writer, const ModelInfo& info, NetworkFormat format) {
  const Json json{{"mode", info.mode},
                  {"model", info.model},
                  {"prior", info.prior},
                  {"data", info.data},
                  {"deployed", info.deployed},
                  {"classes", info.classes},
                  {"epochs", info.epochs},
                  {"train_loss", info.train_loss},
                  {"scales", info.scales},
                  {"options", info.options},
                  {"mean", info.normalisation.mean},
                  {"std", info.normalisation.std}};
  writer.add_metadata("format", format_name(format));
  writer.add_metadata("run", json.dump());
}

ModelInfo read_model_info(const repopt::formats::Safetensors& file, NetworkFormat format) {
  if (network_format(file) != format)
    throw std::runtime_error(file.name() + " holds a network in format '" + file.metadata("format") + "', needed is '" +
                             format_name(format) + "'");
  try {
    const Json json = Json::parse(file.metadata("run"));
    ModelInfo info{.mode = json.at("mode"),
                   .model = json.at("model"),
                   .data = json.at("data"),
                   .prior = json.value("prior", "repvgg"),
                   .deployed = json.value("deployed", false),
                   .classes = json.at("classes"),
                   .epochs = json.at("epochs"),
                   .train_loss = json.at("train_loss"),
                   .scales = json.value("scales", ""),
                   .options = json.value("options", Json()),
                   .normalisation = {}};
    info.normalisation.mean = json.at("mean");
    info.normalisation.std = json.at("std");
    for (const double std : info.normalisation.std)
      if (!(std > 0))
        throw std::runtime_error(repopt::concat(file.name(), ": metadata 'run': std must be > 0, it is ", std));
    return info;
  } catch (const Json::exception& error) {
    throw std::runtime_error(repopt::concat(file.name(), ": metadata 'run': ", error.what()));
  }
}

std::map<std::string, std::string> binding_options(const TrainOptions& options, const std::string& data,
                                                   std::size_t train_images) {
  std::map<std::string, std::string> texts{{"data", data},
                                           {"train_images", repopt::concat(train_images)},
                                           {"epochs", repopt::concat(options.epochs)},
                                           {"processes", repopt::concat(Processes::size())}};
  for (const RunOption& option : run_options(options))
    if (option.binds) texts[option.name] = checkpoint_text(option.value);
  return texts;
}

void add_progress(std::map<std::string, std::string>& texts, const RunProgress& progress) {
  texts["progress.loss_sum"] = repopt::concat(progress.loss_sum);
  texts["progress.correct"] = repopt::concat(progress.correct);
  texts["progress.metrics"] = to_csv(progress.metrics);
  texts["progress.earlier_epochs"] = Json(progress.earlier_epochs).dump();
}

RunProgress take_progress(std::map<std::string, std::string>& texts, std::size_t step, const std::string& source) {
  const auto take = [&](const char* name) {
    const auto text = texts.extract(name);
    if (text.empty()) throw std::runtime_error(repopt::concat(source, " lacks '", name, "'"));
    return text.mapped();
  };
  try {
    RunProgress progress{.step = step,
                         .loss_sum = std::stod(take("progress.loss_sum")),
                         .correct = 0,
                         .metrics = {},
                         .earlier_epochs = {}};
    progress.correct = std::stoul(take("progress.correct"));
    progress.metrics = from_csv(take("progress.metrics"), source);
    if (const auto text = texts.extract("progress.earlier_epochs"); !text.empty())  // older checkpoints have none
      progress.earlier_epochs = Json::parse(text.mapped()).get<std::vector<std::size_t>>();
    return progress;
  } catch (const std::logic_error&) {
    throw std::runtime_error(repopt::concat(source, ": its progress is not a number"));
  } catch (const Json::exception& error) {
    throw std::runtime_error(repopt::concat(source, ": its earlier epochs: ", error.what()));
  }
}

void require_same_options(const std::map<std::string, std::string>& run,
                          const std::map<std::string, std::string>& saved, const std::string& source) {
  for (const auto& [name, value] : run) {
    const auto found = saved.find(name);
    const std::string other = found == saved.end() ? value_before(name) : found->second;
    if (name == "momentum" && value == "none") continue;  // once rules without momentum had a value of it, too
    if (other != value && !(name == "epochs" && is_longer(value, other)))
      throw std::runtime_error(
          repopt::concat(source, " belongs to another run: its ", name, " is ", other, ", here it is ", value));
  }
}

}  // namespace repopt_cifar
