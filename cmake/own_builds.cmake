# What the tests and examples need beyond the library. Users of the library get none of it.

if(NOT TARGET repopt::io)
  set(missing "")
  if(NOT TARGET repopt::nn)
    list(APPEND missing "Eigen 3.4 or newer")
  endif()
  if(NOT TARGET repopt::formats)
    list(APPEND missing "nlohmann_json")
  endif()
  list(JOIN missing " and " missing)
  message(FATAL_ERROR "The tests and examples need ${missing}. `sh tests/run.sh` installs what is missing. "
                      "-DREPOPT_BUILD_TESTS=OFF -DREPOPT_BUILD_EXAMPLES=OFF configures the library alone")
endif()

# Every program of ours links it.
add_library(repopt_program INTERFACE)
if(REPOPT_OPENMP)
  find_package(OpenMP COMPONENTS CXX)
  if(OpenMP_CXX_FOUND)
    target_link_libraries(repopt_program INTERFACE OpenMP::OpenMP_CXX)
  else()
    message(STATUS "repopt: no OpenMP was found, so the tests and examples run on one thread")
  endif()
endif()
if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU" AND CMAKE_CXX_COMPILER_VERSION VERSION_LESS 13)
  # False warnings about "text" + std::string, https://gcc.gnu.org/bugzilla/show_bug.cgi?id=105651, and about the
  # compiler's own AVX-512 intrinsics, https://gcc.gnu.org/bugzilla/show_bug.cgi?id=105593.
  target_compile_options(repopt_program INTERFACE -Wno-restrict -Wno-uninitialized -Wno-maybe-uninitialized)
endif()

# Every program of ours that has networks links it.
add_library(repopt_engine STATIC "${CMAKE_CURRENT_LIST_DIR}/engine.cpp")
target_compile_definitions(repopt_engine INTERFACE REPOPT_EXTERN_ENGINE)
target_link_libraries(repopt_engine PUBLIC repopt::nn repopt_program)
# With debug information, compilers need many minutes for the engine's deeply inlined code.
target_compile_options(repopt_engine PRIVATE -g0)
