// Compiles where the package's option `formats` is on, which brings JSON.
#include <repopt/formats/optimizer_file.hpp>
