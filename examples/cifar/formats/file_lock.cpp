#include "formats/file_lock.hpp"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <cerrno>

#include "repopt/formats/file.hpp"

namespace repopt_cifar {

using repopt::formats::require_file;

FileLock::FileLock(const std::filesystem::path& path, Wait wait)
    : descriptor_(::open(path.c_str(), O_RDWR | O_CREAT, 0666)) {
  require_file(descriptor_ >= 0, "cannot open ", path.string(), ": ", repopt::formats::reason(errno));
  const int operation = wait == Wait::yes ? LOCK_EX : LOCK_EX | LOCK_NB;
  int status = 0;
  do status = ::flock(descriptor_, operation);
  while (status != 0 && errno == EINTR);
  held_ = status == 0;
  if (held_ || errno == EWOULDBLOCK) return;
  const int error = errno;
  ::close(descriptor_);
  require_file(false, "cannot lock ", path.string(), ": ", repopt::formats::reason(error));
}

FileLock::~FileLock() { ::close(descriptor_); }

}  // namespace repopt_cifar
