#include "data/pictures.hpp"

#include <algorithm>
#include <cstdio>
#include <numeric>
#include <utility>

#include "data/synthetic.hpp"
#include "repopt/base/error.hpp"

namespace repopt_cifar {

namespace {

void keep_first(repopt::io::ImageDataset& pictures, std::size_t count) {
  pictures.labels.resize(count);
  pictures.pixels.resize(count * pictures.image);
}

void keep_classes(repopt::io::ImageDataset& pictures, std::size_t classes) {
  if (classes == 0) return;
  repopt::require(classes <= pictures.classes, pictures.name, " has ", pictures.classes, " classes, not ", classes);
  std::size_t kept = 0;
  for (std::size_t i = 0; i < pictures.size(); ++i) {
    if (pictures.labels[i] >= classes) continue;
    std::ranges::copy(pictures.picture(i), pictures.pixels.begin() + std::ptrdiff_t(kept * pictures.image));
    pictures.labels[kept++] = pictures.labels[i];
  }
  pictures.classes = classes;
  pictures.class_names.resize(classes);
  keep_first(pictures, kept);
}

/// Says what the folder lacks of a whole CIFAR, whose sets have 50,000 and 10,000 pictures.
std::string note_of(const std::string& data, const PictureSets& sets, bool some_files) {
  constexpr std::size_t whole_train = 50000, whole_test = 10000;
  if ((some_files || sets.train.size() == whole_train) && sets.test.size() == whole_test) return "";
  return repopt::concat(data, " holds only a part of ", sets.train.name, ": ", sets.train.size(), " of ", whole_train,
                        " training pictures and ", sets.test.size(), " of ", whole_test, " test pictures",
                        some_files ? ", the training pictures from --train-files" : "");
}

}  // namespace

PictureSets PictureSets::load(const std::string& data, std::size_t limit, std::size_t classes,
                              const std::vector<std::string>& train_files) {
  repopt::require(
      !data.empty(),
      "there is no --data: it names a folder of CIFAR-10 or CIFAR-100 (binary version), and `sh "
      "examples/run.sh` fetches CIFAR-10 into build/cifar;\n--data synthetic generates pictures and needs no "
      "files");
  repopt::require(classes != 1, "--classes is 1, but a network needs 2 classes to tell apart; 0 keeps all");
  PictureSets sets;
  if (data == "synthetic") {
    repopt::require(train_files.empty(), "synthetic pictures have no --train-files");
    const auto count = [&](std::size_t all) { return limit > 0 && classes == 0 ? std::min(limit, all) : all; };
    sets = {synthetic_pictures(count(10000), 1), synthetic_pictures(count(2000), 2), ""};
  } else {
    sets = {repopt::io::load_cifar_train(data, train_files), repopt::io::load_cifar_test(data), ""};
    sets.note = note_of(data, sets, !train_files.empty());
  }
  for (repopt::io::ImageDataset* const set : {&sets.train, &sets.test}) {
    keep_classes(*set, classes);
    if (limit > 0) keep_first(*set, std::min(limit, set->size()));
    repopt::require(set->size() > 0, data, " has no ", set == &sets.train ? "training" : "test", " pictures",
                    classes > 0 ? repopt::concat(" of its first ", classes, " classes") : "");
  }
  return sets;
}

void print_note(const PictureSets& pictures) {
  if (!pictures.note.empty()) std::fprintf(stderr, "note: %s\n", pictures.note.c_str());
}

std::vector<std::size_t> shuffled(std::size_t count, std::uint64_t seed, std::size_t epoch) {
  std::vector<std::size_t> order(count);
  std::iota(order.begin(), order.end(), std::size_t(0));
  for (std::size_t i = count; i > 1; --i) {
    const std::uint64_t bits = repopt::random_bits(seed, repopt::name_hash("shuffle"), epoch, i);
    std::swap(order[i - 1], order[bits % i]);
  }
  return order;
}

Augmentation Augmentation::random(std::uint64_t seed, std::size_t epoch, std::size_t picture) {
  constexpr std::uint64_t padding = 4, shifts = 2 * padding + 1;
  const std::uint64_t bits = repopt::random_bits(seed, repopt::name_hash("augment"), epoch, picture);
  return {.shift_y = std::ptrdiff_t(bits % shifts) - std::ptrdiff_t(padding),
          .shift_x = std::ptrdiff_t(bits / shifts % shifts) - std::ptrdiff_t(padding),
          .flip = bits / (shifts * shifts) % 2 == 1};
}

}  // namespace repopt_cifar
