# Downloads Eigen's headers. Eigen's own build is not entered. Eigen3::Eigen is an IMPORTED target, which is never
# exported: an installed repopt looks for an installed Eigen.
include(FetchContent)
message(STATUS "repopt: ${repopt_no_eigen}, so Eigen 3.4.0 is downloaded; REPOPT_FETCH_EIGEN=OFF prevents this")
FetchContent_Declare(
  eigen
  URL https://gitlab.com/libeigen/eigen/-/archive/3.4.0/eigen-3.4.0.tar.gz
  URL_HASH SHA256=8586084f71f9bde545ee7fa6d00288b264a2b7ac3607b974e54d13e7162c1c72
  DOWNLOAD_EXTRACT_TIMESTAMP ON
  SOURCE_SUBDIR headers_only)
FetchContent_MakeAvailable(eigen)
if(NOT TARGET Eigen3::Eigen)  # unless the project that uses repopt declared `eigen` first and builds it
  add_library(Eigen3::Eigen INTERFACE IMPORTED GLOBAL)
  set_target_properties(Eigen3::Eigen PROPERTIES INTERFACE_INCLUDE_DIRECTORIES "${eigen_SOURCE_DIR}")
endif()
set(Eigen3_FOUND TRUE)
