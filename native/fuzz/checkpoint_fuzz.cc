// Any bytes as a checkpoint: opened, named, written to the tape, every storage and tensor read; the
// same once more where damage is put up with.
#include "fuzz/guarded.h"
#include "test/checkpoint_check.h"

using namespace torchmap;
using fuzz::require;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const auto source = std::make_shared<fuzz::GuardedSource>(data, size);
  bool is_whole = false;
  for (const bool salvage : {false, true}) {
    auto opened = Checkpoint::open(source, {fuzz::small_limits(), false, nullptr, salvage});
    if (opened.ok()) {
      require(check::problem_of(**opened).empty());
      require((*opened)->salvaged() == (salvage && !is_whole));
      is_whole = true;
    } else {
      require(!opened.status().failure().message.empty());
      require(!is_whole);
    }
  }
  return 0;
}
