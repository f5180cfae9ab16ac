// Any bytes as a checkpoint: opened, named, written to the tape, every storage and tensor read.
#include "fuzz/guarded.h"
#include "test/checkpoint_check.h"

using namespace torchmap;
using fuzz::require;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const auto source = std::make_shared<fuzz::GuardedSource>(data, size);
  auto opened = Checkpoint::open(source, {fuzz::small_limits(), false, nullptr});
  if (opened.ok()) {
    require(check::problem_of(**opened).empty());
  } else {
    require(!opened.status().failure().message.empty());
  }
  return 0;
}
