// Elements of a file straight into memory of the caller: read by position, on several threads,
// converted on the way where that is asked for.
#pragma once

#include <atomic>
#include <vector>

#include "core/source/source.h"
#include "core/torch/dtype.h"

namespace torchmap {

// Row-major elements that lie in the file in host order.
struct Load {
  uint64_t offset = 0;  // bytes from the start of the file to the first element
  uint64_t bytes = 0;   // in the file
  DType dtype = DType::kUInt8;
  bool to_float32 = false;      // else as they are
  std::byte* target = nullptr;  // room for all of it; for float32 at a multiple of 4
};

struct LoadOptions {
  const std::atomic<bool>* cancelled = nullptr;
  std::atomic<uint64_t>* done = nullptr;  // bytes of the file that were read
};

// `reader`: Source::reader(). kFileChanged when the file is no longer the one that was opened, as
// far as its size and age tell; what targets hold after a failure is not said.
Status load(Source& reader, const std::vector<Load>& loads, const LoadOptions& options);

// Fills `target`, which nothing was written to yet, with what lies at `offset` of the file, as they
// are: what is large by several threads. For the thread that uses `source`.
Status load_fresh(Source& source, uint64_t offset, std::span<std::byte> target);

}  // namespace torchmap
