// What the machine can do at best, and parts of the core alone: the jobs of memory_bench.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>

namespace torchmap::bench {

// One run. `held` is freed after the clock has stopped.
struct Run {
  double ms = 0;
  uint64_t count = 0;  // of tensors, records or opcodes
  uint64_t sum = 0;    // of the bytes, or their CRC-32
  std::shared_ptr<void> held;
};

// (what to do, path or number of bytes) -> what it took. Ends the process when it cannot.
using Job = std::function<Run(const std::string& what, const std::string& subject)>;

// Empty for an unknown name.
Job find_job(const std::string& name);

}  // namespace torchmap::bench
