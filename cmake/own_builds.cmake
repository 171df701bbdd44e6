# What the tests and examples need beyond the library. Nothing here reaches a user of it.

if(NOT TARGET repopt::io)
  message(FATAL_ERROR "The tests and examples need Eigen and nlohmann_json: install it, or run `sh tests/run.sh`, which does")
endif()

# Linked by every program of ours.
add_library(repopt_program INTERFACE)
if(REPOPT_OPENMP)
  find_package(OpenMP COMPONENTS CXX)
  if(OpenMP_CXX_FOUND)
    target_link_libraries(repopt_program INTERFACE OpenMP::OpenMP_CXX)
  else()
    message(STATUS "repopt: no OpenMP, so the tests and examples run on one thread")
  endif()
endif()
if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU" AND CMAKE_CXX_COMPILER_VERSION VERSION_LESS 13)
  # Warns wrongly of "text" + std::string, https://gcc.gnu.org/bugzilla/show_bug.cgi?id=105651, and of its own AVX-512
  # intrinsics, https://gcc.gnu.org/bugzilla/show_bug.cgi?id=105593.
  target_compile_options(repopt_program INTERFACE -Wno-restrict -Wno-uninitialized -Wno-maybe-uninitialized)
endif()

# Linked by every program of ours that has networks.
add_library(repopt_engine STATIC "${CMAKE_CURRENT_LIST_DIR}/engine.cpp")
target_compile_definitions(repopt_engine INTERFACE REPOPT_EXTERN_ENGINE)
target_link_libraries(repopt_engine PUBLIC repopt::nn repopt_program)
# Debug information on code that is inlined so deeply takes compilers many minutes.
target_compile_options(repopt_engine PRIVATE -g0)
