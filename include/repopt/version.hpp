// The library's version. CMake reads it from this file; the only other copy is in cmake/packaging.
#pragma once

/// Grows with incompatible changes. 0 until the interface is settled.
#define REPOPT_VERSION_MAJOR 0
/// Grows with new features and, before 1.0, with incompatible changes too.
#define REPOPT_VERSION_MINOR 2
/// Grows with corrections.
#define REPOPT_VERSION_PATCH 0

/// The version as one number, major * 10000 + minor * 100 + patch, for comparisons such as `#if REPOPT_VERSION >= 102`.
#define REPOPT_VERSION (REPOPT_VERSION_MAJOR * 10000 + REPOPT_VERSION_MINOR * 100 + REPOPT_VERSION_PATCH)
