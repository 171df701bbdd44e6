# Finds Eigen 3.4 or newer: Eigen3::Eigen and Eigen3_FOUND. Used by the build and, installed, by the package. Eigen 5 says
# it is no match for a request of 3.4, hence the request without a version.
if(TARGET Eigen3::Eigen)
  set(Eigen3_FOUND TRUE)
else()
  find_package(Eigen3 CONFIG QUIET)
  if(Eigen3_FOUND AND Eigen3_VERSION VERSION_LESS 3.4)
    set(Eigen3_FOUND FALSE)
  endif()
endif()
