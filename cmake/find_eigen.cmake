# repopt_find_eigen(): defines Eigen3::Eigen if there is an Eigen 3.4 or newer. Used by the build and, installed, by
# the package. Eigen 5 says it is no match for a request of 3.4, hence the request without a version.
macro(repopt_find_eigen)
  if(NOT TARGET Eigen3::Eigen)
    find_package(Eigen3 CONFIG QUIET)
    if(Eigen3_FOUND AND Eigen3_VERSION VERSION_LESS 3.4)
      message(FATAL_ERROR "repopt::nn needs Eigen 3.4 or newer, found ${Eigen3_VERSION} in ${Eigen3_DIR}")
    endif()
  endif()
endmacro()
