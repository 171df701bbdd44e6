# The library's targets, each on what it needs:
#   repopt::core      base, core, optim              the standard library only
#   repopt::formats   formats                        repopt::core, nlohmann_json
#   repopt::nn        tensor, engine, nn, quant      repopt::core, Eigen
#   repopt::repopt    repopt.hpp                     repopt::nn
#   repopt::io        io                             repopt::repopt, repopt::formats
#   repopt::libtorch  libtorch, on request           repopt::core, LibTorch
#   repopt::mpi       mpi, on request                repopt::nn, MPI
# A header is part of the target of its folder: there is nothing to list. A target whose packages are missing is left out.

# repopt_add_library(NAME HEADERS pattern... LINKS target...)
function(repopt_add_library name)
  cmake_parse_arguments(PARSE_ARGV 1 arg "" "" "HEADERS;LINKS")
  list(TRANSFORM arg_HEADERS PREPEND "${PROJECT_SOURCE_DIR}/include/repopt/")
  file(GLOB_RECURSE headers CONFIGURE_DEPENDS ${arg_HEADERS})

  add_library(repopt_${name} INTERFACE)
  add_library(repopt::${name} ALIAS repopt_${name})
  set_target_properties(repopt_${name} PROPERTIES EXPORT_NAME ${name} VERIFY_INTERFACE_HEADER_SETS ON)
  target_compile_features(repopt_${name} INTERFACE cxx_std_20)
  target_sources(repopt_${name} INTERFACE FILE_SET HEADERS BASE_DIRS "${PROJECT_SOURCE_DIR}/include"
                                          FILES ${headers})
  target_link_libraries(repopt_${name} INTERFACE ${arg_LINKS})
  set_property(GLOBAL APPEND PROPERTY REPOPT_COMPONENTS ${name})
endfunction()

repopt_add_library(core HEADERS version.hpp base/*.hpp core/*.hpp optim/*.hpp)

find_package(nlohmann_json CONFIG QUIET)
if(nlohmann_json_FOUND)
  repopt_add_library(formats HEADERS formats/*.hpp LINKS repopt::core nlohmann_json::nlohmann_json)
else()
  message(STATUS "repopt: no nlohmann_json, so no repopt::formats and no repopt::io")
endif()

include(cmake/find_eigen.cmake)
if(NOT Eigen3_FOUND AND REPOPT_FETCH_EIGEN AND NOT TARGET Eigen3::Eigen)
  include(cmake/fetch_eigen.cmake)
endif()
if(Eigen3_FOUND)
  repopt_add_library(nn HEADERS tensor/*.hpp engine/*.hpp nn/*.hpp quant/*.hpp LINKS repopt::core Eigen3::Eigen)
  repopt_add_library(repopt HEADERS repopt.hpp LINKS repopt::core repopt::nn)
  if(TARGET repopt::formats)
    repopt_add_library(io HEADERS io/*.hpp LINKS repopt::repopt repopt::formats)
  endif()
else()
  set(found_eigen "none")
  if(Eigen3_VERSION)
    set(found_eigen "${Eigen3_VERSION} in ${Eigen3_DIR}")
  endif()
  message(STATUS "repopt: no repopt::nn, and nothing that stands on it, without Eigen 3.4 or newer (found: "
                 "${found_eigen}). REPOPT_FETCH_EIGEN=ON downloads it where there is none")
endif()

if(REPOPT_MPI)
  if(NOT TARGET repopt::nn)
    message(FATAL_ERROR "REPOPT_MPI needs repopt::nn, which needs Eigen 3.4 or newer")
  endif()
  find_package(MPI REQUIRED COMPONENTS CXX)
  repopt_add_library(mpi HEADERS mpi/*.hpp LINKS repopt::nn MPI::MPI_CXX)
endif()

if(REPOPT_LIBTORCH)
  find_package(Torch REQUIRED)
  repopt_add_library(libtorch HEADERS libtorch/*.hpp LINKS repopt::core)
  # LibTorch's paths belong to the machine that builds with it: an installed repopt looks for them again.
  target_link_libraries(repopt_libtorch INTERFACE "$<BUILD_INTERFACE:${TORCH_LIBRARIES}>")
endif()
