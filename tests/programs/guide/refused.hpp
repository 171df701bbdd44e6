// refused(): the programs of the guide's pages make mistakes and print the library's messages.
#pragma once

#include <cstdio>
#include <exception>

/// Calls `mistake` and prints the message of the exception that it throws. check.sh looks for the message in the page.
void refused(auto mistake) {
  try {
    mistake();
    std::printf("not refused\n");
  } catch (const std::exception& error) {
    std::printf("%s\n", error.what());
  }
}
