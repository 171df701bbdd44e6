// The engine, compiled once for all tests and examples.
#include "repopt/engine/conv.hpp"

REPOPT_INSTANTIATE_ENGINE(template, float);
REPOPT_INSTANTIATE_ENGINE(template, double);
