#include "training/run_folder.hpp"

#include <algorithm>

#include "formats/output_file.hpp"
#include "repopt/base/error.hpp"
#include "repopt/formats/atomic_file.hpp"

namespace repopt_cifar {

void require_outside_runs(const std::filesystem::path& out) {
  const std::filesystem::path file =
      std::filesystem::weakly_canonical(std::filesystem::absolute(out));  // where a link leads
  const RunFolder folder(file.parent_path(), IfThere::refuse);
  const auto files = folder.files();
  repopt::require(!folder.holds_run() || std::ranges::find(files, file) == files.end(), "--out ", out.string(),
                  " belongs to the run in ", file.parent_path().string(), ": choose another --out");
}

void RunFolder::require_free() {
  if (std::filesystem::exists(lock_file())) lock();  // otherwise no training is here, and locking would leave a file
  require_usable();
  seen_ = checkpoint_time();
}

void RunFolder::claim() {
  create_folder(path_);
  repopt::formats::AtomicFile{checkpoint()};  // throws if the folder cannot be written
  if (!lock_) lock();
  require_usable();  // another training may have come and gone since require_free()
  repopt::require(if_there_ != IfThere::resume || checkpoint_time() == seen_,
                  "another training has changed the run in ", path_.string(),
                  " just now: start again to resume from its checkpoint");
  if (if_there_ != IfThere::overwrite) return;
  for (const std::filesystem::path& file : files()) std::filesystem::remove(file);
}

void RunFolder::lock() {
  lock_.emplace(lock_file(), FileLock::Wait::no);
  repopt::require(lock_->held(), "another training is running in ", path_.string(), ": choose another --out");
}

void RunFolder::require_usable() const {
  constexpr const char* ways_out = "--overwrite replaces it, or choose another --out";
  for (const std::filesystem::path& file : files())
    repopt::require(!std::filesystem::is_directory(file), file.string(),
                    " is a folder, but the run writes a file of this name: choose another --out");
  if (std::filesystem::exists(checkpoint()))
    repopt::require(if_there_ != IfThere::refuse, path_.string(), " holds a run: --resume goes on with it, ", ways_out);
  else if (std::filesystem::exists(model()))
    repopt::require(if_there_ == IfThere::overwrite, path_.string(),
                    " holds a network, but no checkpoint to resume from: ", ways_out);
}

std::optional<std::filesystem::file_time_type> RunFolder::checkpoint_time() const {
  if (!std::filesystem::exists(checkpoint())) return std::nullopt;
  return std::filesystem::last_write_time(checkpoint());
}

}  // namespace repopt_cifar
