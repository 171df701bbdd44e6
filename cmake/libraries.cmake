# The library's targets, the folders and headers of each, and what it links:
#   repopt::core      base, core, optim              the standard library only
#   repopt::formats   formats                        repopt::core, nlohmann_json
#   repopt::nn        tensor, engine, nn, quant      repopt::core, Eigen
#   repopt::repopt    repopt.hpp                     repopt::nn
#   repopt::io        io                             repopt::repopt, repopt::formats
#   repopt::libtorch  libtorch                       repopt::core, LibTorch, OpenMP; only if REPOPT_LIBTORCH is ON
#   repopt::mpi       mpi                            repopt::nn, MPI; only if REPOPT_MPI is ON
# Every header of a folder belongs to the folder's target. If nlohmann_json or Eigen is missing, the targets that need
# it are left out.

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

if(NOT TARGET nlohmann_json::nlohmann_json)
  find_package(nlohmann_json CONFIG QUIET)
endif()
if(TARGET nlohmann_json::nlohmann_json)
  repopt_add_library(formats HEADERS formats/*.hpp LINKS repopt::core nlohmann_json::nlohmann_json)
else()
  message(STATUS "repopt: no nlohmann_json was found, so repopt::formats and repopt::io are left out")
endif()

include(cmake/find_eigen.cmake)
if(REPOPT_FETCH_EIGEN AND NOT TARGET Eigen3::Eigen)
  include(cmake/fetch_eigen.cmake)
endif()
if(Eigen3_FOUND)
  repopt_add_library(nn HEADERS tensor/*.hpp engine/*.hpp nn/*.hpp quant/*.hpp LINKS repopt::core Eigen3::Eigen)
  repopt_add_library(repopt HEADERS repopt.hpp LINKS repopt::core repopt::nn)
  if(TARGET repopt::formats)
    repopt_add_library(io HEADERS io/*.hpp LINKS repopt::repopt repopt::formats)
  endif()
else()
  set(remedy "")
  if(NOT TARGET Eigen3::Eigen)
    set(remedy "; REPOPT_FETCH_EIGEN=ON downloads Eigen")
  endif()
  message(STATUS "repopt: ${repopt_no_eigen}, so repopt::nn, repopt::repopt and repopt::io are left out${remedy}")
endif()

if(REPOPT_MPI)
  if(NOT TARGET repopt::nn)
    message(FATAL_ERROR "REPOPT_MPI=ON needs repopt::nn, which needs Eigen 3.4 or newer")
  endif()
  find_package(MPI REQUIRED COMPONENTS CXX)
  repopt_add_library(mpi HEADERS mpi/*.hpp LINKS repopt::nn MPI::MPI_CXX)
endif()

if(REPOPT_LIBTORCH)
  # GLOBAL, because LibTorch's targets name each other in generator expressions. CMake looks these names up in the
  # directory that links repopt::libtorch, where targets that are local to this directory are unknown.
  find_package(Torch REQUIRED GLOBAL)
  repopt_add_library(libtorch HEADERS libtorch/*.hpp LINKS repopt::core)
  # TORCH_LIBRARIES holds paths of this machine, so it is not exported: an installed repopt looks for LibTorch again.
  target_link_libraries(repopt_libtorch INTERFACE "$<BUILD_INTERFACE:${TORCH_LIBRARIES}>")
  # LibTorch runs on OpenMP's threads but does not ask its users' compilers for OpenMP, and then a step has one thread.
  find_package(OpenMP QUIET GLOBAL COMPONENTS CXX)
  if(OpenMP_CXX_FOUND)
    target_link_libraries(repopt_libtorch INTERFACE "$<BUILD_INTERFACE:OpenMP::OpenMP_CXX>")
  else()
    message(STATUS "repopt: no OpenMP was found, so the steps of repopt::libtorch run on one thread")
  endif()
endif()
