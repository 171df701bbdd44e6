# The library's targets: repopt::core (core, optim), repopt::nn (nn, search, quant), repopt::io, and
# repopt::repopt = core + nn; repopt::torch and repopt::mpi on request. A header is part of the target of its folder:
# there is nothing to list.

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

repopt_add_library(core HEADERS version.hpp core/*.hpp optim/*.hpp)

if(NOT REPOPT_CORE_ONLY)
  include(cmake/find_eigen.cmake)
  if(NOT Eigen3_FOUND)
    if(TARGET Eigen3::Eigen)
      message(FATAL_ERROR "repopt::nn needs Eigen 3.4 or newer, found ${Eigen3_VERSION} in ${Eigen3_DIR}")
    endif()
    include(cmake/fetch_eigen.cmake)
  endif()
  repopt_add_library(nn HEADERS nn/*.hpp search/*.hpp quant/*.hpp LINKS repopt::core Eigen3::Eigen)
  repopt_add_library(repopt HEADERS repopt.hpp LINKS repopt::core repopt::nn)

  # Only the tests, the examples and whoever asks for repopt::io need JSON.
  find_package(nlohmann_json CONFIG QUIET)
  if(nlohmann_json_FOUND)
    repopt_add_library(io HEADERS io/*.hpp LINKS repopt::repopt nlohmann_json::nlohmann_json)
  else()
    message(STATUS "repopt: no nlohmann_json, so no repopt::io")
  endif()
endif()

if(REPOPT_MPI)
  find_package(MPI REQUIRED COMPONENTS CXX)
  repopt_add_library(mpi HEADERS mpi/*.hpp LINKS repopt::nn MPI::MPI_CXX)
endif()

if(REPOPT_TORCH)
  find_package(Torch REQUIRED)
  repopt_add_library(torch HEADERS torch/*.hpp LINKS repopt::core)
  # LibTorch's paths belong to the machine that builds with it: an installed repopt looks for them again.
  target_link_libraries(repopt_torch INTERFACE "$<BUILD_INTERFACE:${TORCH_LIBRARIES}>")
endif()
