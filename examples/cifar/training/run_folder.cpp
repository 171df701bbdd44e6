#include "training/run_folder.hpp"

#include "formats/output_file.hpp"
#include "repopt/base/error.hpp"
#include "repopt/formats/atomic_file.hpp"

namespace repopt_cifar {

void RunFolder::require_free() {
  if (std::filesystem::exists(lock_file())) lock();  // otherwise no training is here, and locking would leave a file
  require_no_run();
}

void RunFolder::claim() {
  create_folder(path_);
  repopt::formats::AtomicFile{checkpoint()};  // throws if the folder cannot be written
  if (!lock_) lock();
  require_no_run();  // another training may have come and gone since require_free()
  if (if_there_ != IfThere::overwrite) return;
  for (const std::filesystem::path& file : {checkpoint(), model(), scales(), metrics(), curves()})
    std::filesystem::remove(file);
}

void RunFolder::lock() {
  lock_.emplace(lock_file(), FileLock::Wait::no);
  repopt::require(lock_->held(), "another training is running in ", path_.string(), ": choose another --out");
}

void RunFolder::require_no_run() const {
  const bool there = std::filesystem::exists(checkpoint()) || std::filesystem::exists(model());
  repopt::require(!there || if_there_ != IfThere::refuse, path_.string(),
                  " holds a run: --resume goes on with it, --overwrite replaces it, or choose another --out");
}

}  // namespace repopt_cifar
