// The options of each subcommand.
#include "arguments.hpp"

#include <string>

#include "repopt/base/error.hpp"
#include "study/plan.hpp"

namespace repopt_cifar {

namespace {

constexpr const char* data_option = "folder of CIFAR-10 or CIFAR-100 (binary version), or 'synthetic'";

/// What `quantize` and `export-onnx --int8` both ask.
void add_calibration(CLI::App& app, QuantizeOptions& o) {
  app.add_option("--scheme", o.scheme, "scales of the kernels: per-tensor or per-channel")->capture_default_str();
  app.add_option("--calibration", o.calibration, "range of the activations: min-max, percentile, mse or entropy")
      ->capture_default_str();
  app.add_option("--weight-bits", o.weight_bits, "4 to 8")->capture_default_str();
  app.add_option("--activation-bits", o.activation_bits, "4 to 8; the pictures' and the pooled features', too")
      ->capture_default_str();
  app.add_flag("--split-identity{8}", o.split_identity,
               "give the centre diagonals of kernels, which carry the identity, a scale of their own and 8 bits; with "
               "--split-identity=16, 16 bits");
  app.add_option("--percentile", o.percentile, "what --calibration percentile keeps of each side [99.99]");
  app.add_option("--calibration-images", o.calibration_images, "training pictures to calibrate on")
      ->capture_default_str();
  app.add_option("--batch-size", o.batch_size, "pictures at once")->capture_default_str();
  app.add_option("--seed", o.seed, "of the choice of training pictures")->capture_default_str();
  app.add_option("--classes", o.classes, "keep the first classes only; 0: all")->capture_default_str();
  app.add_option("--limit", o.limit, "use at most so many training and test pictures; 0: all")->capture_default_str();
  app.add_option("--threads", o.threads, "0: one for each core")->capture_default_str();
}

}  // namespace

void add_train(CLI::App& app, TrainOptions& o) {
  app.add_option("--data", o.data, data_option);
  app.add_option("--train-files", o.train_files, "train on these files of the folder alone, e.g. data_batch_1.bin")
      ->delimiter(',');
  app.add_option("--classes", o.classes, "keep the first classes only, in training and test; 0: all")
      ->capture_default_str();
  app.add_option("--mode", o.mode,
                 "rep: plain network, both rules, RepOptimizer; plain: the same network, ordinary training; repvgg: "
                 "RepVGG's blocks; qarepvgg: QARepVGG's blocks, made for INT8; folded: branches with constant scales, "
                 "trained through the plain network; hyper_search: the same with trained scales; csla: the branches of "
                 "folded, each computed by itself")
      ->capture_default_str();
  app.add_option("--prior", o.prior,
                 "the branches of modes folded and hyper_search: repvgg, average, dbb, edge, asymmetric or orepa")
      ->capture_default_str();
  app.add_option("--model", o.model, "cifar-small, cifar-vgg, cifar-deep, A0, B1, B2, L1 or L2")->capture_default_str();
  app.add_option("--epochs", o.epochs, "passes over the training pictures")->capture_default_str();
  app.add_option("--batch-size", o.batch_size, "of each process")->capture_default_str();
  app.add_option("--optimizer", o.optimizer,
                 "sgd (Nesterov), adamw, lion, adam or lamb; mode rep takes only the first three")
      ->capture_default_str();
  app.add_option("--lr", o.lr, "learning rate after the warm-up [sgd: 0.1; adamw, adam: 1e-3; lion: 1e-4; lamb: 5e-3]");
  app.add_option("--momentum", o.momentum, "of sgd [0.9]");
  app.add_option("--weight-decay", o.weight_decay, "of kernels [sgd, adam: 5e-4; adamw, lamb: 5e-2; lion: 0.5]");
  app.add_option("--label-smoothing", o.label_smoothing, "the share of a label that is spread over all classes")
      ->capture_default_str();
  app.add_option("--warmup-epochs", o.warmup_epochs, "linear; then the learning rate falls as a cosine")
      ->capture_default_str();
  app.add_option(
      "--scales", o.scales,
      "a scales file, 'sqrt' (the start of a search; with --prior orepa OREPA's) or 'ones'; modes rep, csla, "
      "folded, hyper_search [sqrt]");
  app.add_flag("--average-scales", o.average_scales, "average the file's scales over the channels");
  app.add_option("--identity-init", o.identity_init,
                 "identities start at the file's scale_identity (searched), at one, or at a number, e.g. 0.3; modes "
                 "rep, csla, folded, hyper_search with --prior repvgg")
      ->capture_default_str();
  app.add_option("--scale-factor", o.scale_factor,
                 "multiplies all scales but the identities' weights; modes rep, csla, folded, hyper_search")
      ->capture_default_str();
  app.add_flag("--custom-l2", o.custom_l2,
               "of mode repvgg: --weight-decay acts on the merged kernels by RepVGG's custom L2, not on the branches");
  app.add_option("--initialization", o.initialization,
                 "of mode rep's kernels: the rule of initialization (rule), or ordinary, as plain's")
      ->capture_default_str();
  app.add_option("--grad-mult", o.grad_mult, "the rule of iteration of mode rep: on, or off for an ordinary optimizer")
      ->capture_default_str();
  app.add_option("--clip-grad-norm", o.clip_grad_norm,
                 "clip by the global norm of the gradients; of modes rep and folded, of those of all branches");
  app.add_option("--ema", o.ema, "decay of an average of the weights, e.g. 0.998: the average is tested and kept");
  app.add_flag("--sync-bn", o.sync_bn, "under mpirun: batch norms see the pictures of all processes");
  app.add_option("--precision", o.precision, "float or double")->capture_default_str();
  app.add_option("--conv-algorithm", o.conv_algorithm, "fastest (in float: Winograd where it pays) or plain")
      ->capture_default_str();
  app.add_option("--seed", o.seed, "of initial weights, order and augmentation of the pictures")->capture_default_str();
  app.add_option("--threads", o.threads, "of each process; 0: its share of the cores")->capture_default_str();
  app.add_option("--out", o.out,
                 "folder for metrics.csv, curves.svg, checkpoint.safetensors, model.safetensors and, of hyper_search, "
                 "scales.safetensors "
                 "[runs/MODEL-MODE]");
  app.add_flag("--resume", o.resume,
               "go on from --out's checkpoint, or start if there is none. With more --epochs than before, the learning "
               "rate continues on the cosine of the new length");
  app.add_flag("--overwrite", o.overwrite, "replace the run in --out; without it or --resume, a run there is refused");
  app.add_option("--checkpoint-every", o.checkpoint_every, "so many steps, besides each epoch's end; 0: only there")
      ->capture_default_str();
  app.add_option("--limit", o.limit, "use at most so many training and test pictures; 0: all")->capture_default_str();
}

void add_eval(CLI::App& app, EvalOptions& o) {
  app.add_option("--weights", o.weights, "model.safetensors of a run, or what convert or quantize wrote")->required();
  app.add_option("--data", o.data, data_option);
  app.add_option("--classes", o.classes, "keep the first classes only; 0: all")->capture_default_str();
  app.add_option("--batch-size", o.batch_size, "pictures that are classified at once")->capture_default_str();
  app.add_option("--limit", o.limit, "use at most so many test pictures; 0: all")->capture_default_str();
  app.add_option("--threads", o.threads, "0: one for each core")->capture_default_str();
}

void add_convert(CLI::App& app, ConvertOptions& o) {
  app.add_option("--weights", o.weights, "model.safetensors of a run, of any mode")->required();
  app.add_option("--out", o.out, "safetensors file to write")->capture_default_str();
  app.add_option("--threads", o.threads, "0: one for each core")->capture_default_str();
}

void add_quantize(CLI::App& app, QuantizeOptions& o) {
  app.add_option("--weights", o.weights, "model.safetensors of a run, or what convert wrote")->required();
  app.add_option("--data", o.data, data_option);
  app.add_option("--fine-tune-epochs", o.fine_tune_epochs, "quantization-aware training afterwards")
      ->capture_default_str();
  app.add_option("--lr", o.lr, "learning rate of fine-tuning, which falls as a cosine [1e-3]");
  app.add_option("--scales", o.scales,
                 "of fine-tuning a network of mode rep: a scales file, 'sqrt', 'ones' or 'none' [as it was trained]");
  add_calibration(app, o);
  app.add_option("--out", o.out, "safetensors file to write the quantized network to");
}

void add_sweep(CLI::App& app, SweepOptions& o) {
  app.add_option("--weights", o.weights, "model.safetensors of a run, or what convert wrote")->required();
  app.add_option("--data", o.data, data_option);
  app.add_option("--classes", o.classes, "keep the first classes only; 0: all")->capture_default_str();
  app.add_option("--limit", o.limit, "use at most so many training and test pictures; 0: all")->capture_default_str();
  app.add_option("--threads", o.threads, "0: one for each core")->capture_default_str();
}

void add_export_onnx(CLI::App& app, ExportOnnxOptions& o) {
  app.add_option("--weights", o.quantization.weights, "model.safetensors of a run, or what convert or quantize wrote")
      ->required();
  app.add_option("--out", o.out, "ONNX file to write")->capture_default_str();
  CLI::Option* const int8 = app.add_flag(
      "--int8", o.int8, "quantize weights in floats first, as `quantize` does; those it wrote are always INT8");
  app.add_flag(
      "--signed-weights", o.signed_weights,
      "INT8 kernels of type int8; as uint8, the default, ONNX Runtime is exact on processors without VNNI, too");
  app.add_option("--data", o.quantization.data, "pictures to quantize by, as `quantize --data`");
  add_calibration(app, o.quantization);
  for (const char* const option :
       {"--scheme", "--calibration", "--weight-bits", "--activation-bits", "--split-identity", "--percentile",
        "--calibration-images", "--batch-size", "--seed", "--classes", "--limit"})
    app.get_option(option)->needs(int8);
}

void add_study(CLI::App& app, StudyOptions& o) {
  app.add_option("--data", o.data, data_option);
  app.add_option("--out", o.out,
                 "folder for study.csv, study.html and the runs; what is there already is not run again")
      ->capture_default_str();
  app.add_option("--models", o.models, "as `train --model`")->delimiter(',')->capture_default_str();
  app.add_option("--variants", o.variants, "names from the list below [all]")->delimiter(',');
  app.add_option("--epochs", o.epochs, "several: every variant is trained for each")
      ->delimiter(',')
      ->capture_default_str();
  app.add_option("--search-epochs", o.search_epochs, "of Hyper-Search; 0: the first of --epochs")
      ->capture_default_str();
  app.add_option("--search-lr", o.search_lr, "of Hyper-Search")->capture_default_str();
  app.add_option("--lr", o.lr, "of variants with sgd; several: every variant is trained by each")
      ->delimiter(',')
      ->capture_default_str();
  app.add_option("--adamw-lr", o.adamw_lr, "of variants with adamw")->delimiter(',')->capture_default_str();
  app.add_option("--seeds", o.seeds, "so many seeds, from 0")->capture_default_str();
  app.add_option("--batch-size", o.batch_size, "of a run")->capture_default_str();
  app.add_option("--threads", o.threads, "of a run; 0: one for each core")->capture_default_str();
  app.add_option("--limit", o.limit, "use at most so many training and test pictures; 0: all")->capture_default_str();
  app.add_option("--layer", o.layer, "whose GradMult and kernels the page shows [the last block with an identity]");
  app.add_flag("--int8", o.int8, "then measure networks in integers of 8 to 4 bits, into quant.csv and layers.csv");
  app.add_option("--fine-tune-epochs", o.fine_tune_epochs,
                 "then fine-tune the networks of this command's runs for so many epochs, for 5 and 4 bits per tensor, "
                 "without and "
                 "with `quantize --split-identity`; fine_tuned.csv gets the accuracy; 0: do not")
      ->capture_default_str();
  app.add_flag("--page-only", o.page_only, "run nothing, write study.html from what is there");
  app.add_flag(
      "--smoke", o.smoke,
      "a few minutes of it all on generated pictures, whatever else is said but --out, --threads and --page-only");
  std::string variants = "Variants:\n";
  for (const study::Variant& variant : study::all_variants())
    variants += repopt::concat("  ", variant.name, ": ", variant.meaning, "\n");
  app.footer(variants);
}

void add_plot(CLI::App& app, PlotOptions& o) {
  app.add_option("runs", o.runs, "--out folders of runs")->required();
  app.add_option("--out", o.out, "SVG file to write")->capture_default_str();
}

void add_scales(CLI::App& app, ScalesOptions& o) {
  app.add_option("file", o.file, "safetensors file of scales, of whatever network")->required();
  app.add_option("--out", o.out, "SVG file to write")->capture_default_str();
}

}  // namespace repopt_cifar
