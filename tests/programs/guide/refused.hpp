// What the guide's pages share: a mistake, and the error that it gets.
#pragma once

#include <cstdio>
#include <exception>

/// Prints the message of the exception that `mistake` throws, which must stand in the page.
void refused(auto mistake) {
  try {
    mistake();
    std::printf("not refused\n");
  } catch (const std::exception& error) {
    std::printf("%s\n", error.what());
  }
}
