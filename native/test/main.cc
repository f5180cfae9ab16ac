// core_tests [text]: runs the tests whose name contains `text`, or all, and ends with the line
// "N passed, N failed". Exit code 0 only when at least one ran and none failed.
#include <cstdio>
#include <cstring>
#include <exception>

#include "check.h"

int main(int argc, char** argv) {
  const char* wanted = argc > 1 ? argv[1] : "";
  int passed = 0;
  int failed = 0;
  for (const auto& test : torchmap::check::tests()) {
    if (std::strstr(test.name, wanted) == nullptr) continue;
    auto& failures = torchmap::check::failures();
    failures.clear();
    try {
      test.body();
    } catch (const std::exception& error) {
      failures.push_back(std::string("threw ") + error.what());
    }
    for (const auto& failure : failures) std::printf("%s: %s\n", test.name, failure.c_str());
    ++(failures.empty() ? passed : failed);
  }
  std::printf("%d passed, %d failed\n", passed, failed);
  return passed > 0 && failed == 0 ? 0 : 1;
}
