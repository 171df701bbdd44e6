// RestOfPage: a page of the guide begins with a whole program; the page's other code is a function that runs before it.
#pragma once

#include <cstdlib>

/// Runs `rest` before main(). The program fails if `rest` does not return 0.
struct RestOfPage {
  explicit RestOfPage(int (*rest)()) {
    if (rest() != 0) std::exit(1);
  }
};
