// The library's version. CMake reads it from here, so there is no other place to change but cmake/packaging.
#pragma once

/// Incompatible changes; 0 until the interface is settled.
#define REPOPT_VERSION_MAJOR 0
/// New features; before 1.0 incompatible changes, too.
#define REPOPT_VERSION_MINOR 2
/// Corrections.
#define REPOPT_VERSION_PATCH 0

/// One number to compare, as in `#if REPOPT_VERSION >= 102`: major * 10000 + minor * 100 + patch.
#define REPOPT_VERSION (REPOPT_VERSION_MAJOR * 10000 + REPOPT_VERSION_MINOR * 100 + REPOPT_VERSION_PATCH)
