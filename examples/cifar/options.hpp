// What the command line can say.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

namespace repopt_cifar {

/// `repopt-cifar train`. The defaults are the CIFAR recipe; what is empty gets its default from resolved().
struct TrainOptions {
  std::string data, mode = "rep", model = "cifar-deep", prior = "repvgg";
  std::vector<std::string> train_files;  ///< of a CIFAR folder, by name; none: all
  std::size_t classes = 0;               ///< pictures with labels below it only; 0: all
  std::size_t epochs = 8, batch_size = 128;
  std::string optimizer = "sgd";
  std::optional<double> lr;            ///< the optimizer's default
  std::optional<double> momentum;      ///< momentum of sgd; empty: 0.9
  std::optional<double> weight_decay;  ///< the optimizer's default
  double label_smoothing = 0.1, warmup_epochs = 0.5;
  std::string scales;                      ///< a file, "sqrt" or "ones"; sqrt in modes that have scales
  bool average_scales = false;             ///< over the channels
  std::string identity_init = "searched";  ///< "searched", "one", or a number
  double scale_factor = 1;                 ///< multiplies all scales but the identities' weights
  bool custom_l2 = false;                  ///< RepVGG's, in place of the weight decay of its branches
  std::string initialization = "rule", grad_mult = "on";
  std::optional<double> clip_grad_norm;
  std::optional<double> ema;  ///< decay of an average of the weights, which is what is tested and kept
  bool sync_bn = false;       ///< batch norms see the parts of all processes
  std::string precision = "float", conv_algorithm = "fastest";
  std::uint64_t seed = 0;
  int threads = 0;  ///< 0: as many as there are cores
  std::filesystem::path out;
  bool resume = false, overwrite = false;
  std::size_t checkpoint_every = 0;  ///< steps, besides each epoch's end; 0: only there
  std::size_t limit = 0;             ///< training and test pictures at most; 0: all
};

/// `repopt-cifar eval`.
struct EvalOptions {
  std::filesystem::path weights;
  std::string data;
  std::size_t classes = 0;  ///< pictures with labels below it only; 0: all
  std::size_t batch_size = 256, limit = 0;
  int threads = 0;
};

/// `repopt-cifar convert`.
struct ConvertOptions {
  std::filesystem::path weights, out = "plain.safetensors";
  int threads = 0;
};

/// `repopt-cifar quantize`.
struct QuantizeOptions {
  std::filesystem::path weights, out;
  std::string data, scheme = "per-channel", calibration = "mse";
  int weight_bits = 8, activation_bits = 8;
  int split_identity = 0;            ///< bits of the centre diagonals that are split off kernels, 8 or 16; 0: none are
  std::optional<double> percentile;  ///< share kept by calibration by percentile; empty: 99.99
  std::size_t calibration_images = 512, batch_size = 128;
  std::size_t classes = 0, limit = 0;  ///< as EvalOptions'; limit for training pictures, too
  std::size_t fine_tune_epochs = 0;
  std::optional<double> lr;  ///< learning rate of fine-tuning; empty: 1e-3
  std::string scales;        ///< scales to fine-tune a network of mode rep by, or "none"; empty: those of its training
  std::uint64_t seed = 0;
  int threads = 0;
};

/// `repopt-cifar sweep`. What it does not say is as in QuantizeOptions.
struct SweepOptions {
  std::filesystem::path weights;
  std::string data;
  std::size_t classes = 0, limit = 0;
  int threads = 0;
};

/// `repopt-cifar export-onnx`.
struct ExportOnnxOptions {
  std::filesystem::path out = "model.onnx";
  bool int8 = false, signed_weights = false;
  QuantizeOptions quantization;  ///< the weights, and with `int8` how to quantize those in floats
};

/// `repopt-cifar study`.
struct StudyOptions {
  std::string data = "";
  std::filesystem::path out = "study";
  std::vector<std::string> models{"cifar-small", "cifar-deep"};
  std::vector<std::string> variants{};  ///< by name; none: all
  std::vector<std::size_t> epochs{12};
  std::size_t search_epochs = 0;                ///< the length of Hyper-Search; 0: the first of `epochs`
  double search_lr = 0.1;                       ///< the learning rate of Hyper-Search
  std::vector<double> lr{0.1}, adamw_lr{1e-3};  ///< of the variants with sgd, and with adamw
  std::size_t seeds = 3;                        ///< 0, 1, ...
  std::size_t batch_size = 128, limit = 0;
  int threads = 1;
  std::string layer = "";  ///< whose kernels the page shows; "": the last block with an identity
  bool int8 = false, smoke = false, page_only = false;
  std::size_t fine_tune_epochs = 0;  ///< how long networks are fine-tuned for 5 and 4 bits; 0: they are not
};

/// `repopt-cifar plot`.
struct PlotOptions {
  std::vector<std::filesystem::path> runs;
  std::filesystem::path out = "curves.svg";
};

/// `repopt-cifar scales`.
struct ScalesOptions {
  std::filesystem::path file, out = "scales.svg";
};

}  // namespace repopt_cifar
