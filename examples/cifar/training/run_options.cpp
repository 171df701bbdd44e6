#include "training/run_options.hpp"

#include <cstdint>
#include <optional>

#include "repopt/base/error.hpp"

namespace repopt_cifar {

namespace {

Json or_null(const std::optional<double>& value) { return value ? Json(*value) : Json(); }

}  // namespace

std::vector<RunOption> run_options(const TrainOptions& o) {
  return {{"mode", o.mode},
          {"model", o.model},
          {"prior", o.prior},
          {"train_files", o.train_files},
          {"classes", o.classes},
          {"limit", o.limit, false},  // a checkpoint binds the number of pictures
          {"scales", o.scales},
          {"average_scales", o.average_scales},
          {"identity_init", o.identity_init},
          {"scale_factor", o.scale_factor},
          {"custom_l2", o.custom_l2},
          {"initialization", o.initialization},
          {"grad_mult", o.grad_mult},
          {"epochs", o.epochs, false},  // a resumed run may go further
          {"batch_size", o.batch_size},
          {"optimizer", o.optimizer},
          {"lr", or_null(o.lr)},
          {"momentum", or_null(o.momentum)},
          {"weight_decay", or_null(o.weight_decay)},
          {"label_smoothing", o.label_smoothing},
          {"warmup_epochs", o.warmup_epochs},
          {"clip_grad_norm", or_null(o.clip_grad_norm)},
          {"ema", or_null(o.ema)},
          {"sync_bn", o.sync_bn},
          {"precision", o.precision, false},  // the tensors of a checkpoint bind it
          {"conv_algorithm", o.conv_algorithm},
          {"seed", o.seed},
          {"threads", o.threads, false}};  // changes rounding only
}

Json to_json(const std::vector<RunOption>& options) {
  Json json = Json::object();
  for (const RunOption& option : options) json[option.name] = option.value;
  return json;
}

std::string checkpoint_text(const Json& value) {
  if (value.is_null()) return "none";
  if (value.is_boolean()) return value.get<bool>() ? "yes" : "no";
  if (value.is_string()) return value.get<std::string>();
  if (value.is_number_float()) return repopt::concat(value.get<double>());
  if (value.is_number()) return repopt::concat(value.get<std::uint64_t>());
  std::string names;
  for (const Json& name : value) names.append(names.empty() ? "" : ", ").append(name.get<std::string>());
  return names.empty() ? "all" : names;
}

}  // namespace repopt_cifar
