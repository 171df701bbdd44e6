# Where no Eigen is installed: downloads it. Only its headers are wanted, so its own build is not entered, and an
# IMPORTED target keeps it out of repopt's exports: an installed repopt looks for Eigen again.
include(FetchContent)
message(STATUS "repopt: no Eigen 3.4 or newer, downloading it")
FetchContent_Declare(
  eigen
  URL https://gitlab.com/libeigen/eigen/-/archive/3.4.0/eigen-3.4.0.tar.gz
  URL_HASH SHA256=8586084f71f9bde545ee7fa6d00288b264a2b7ac3607b974e54d13e7162c1c72
  DOWNLOAD_EXTRACT_TIMESTAMP ON
  SOURCE_SUBDIR headers_only)
FetchContent_MakeAvailable(eigen)
add_library(Eigen3::Eigen INTERFACE IMPORTED GLOBAL)
set_target_properties(Eigen3::Eigen PROPERTIES INTERFACE_INCLUDE_DIRECTORIES "${eigen_SOURCE_DIR}")
set(Eigen3_FOUND TRUE)
