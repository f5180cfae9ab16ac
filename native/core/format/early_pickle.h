// The pickle of a large archive, decoded while another thread reads the archive's directory: with a
// hundred thousand records each takes milliseconds, and neither needs the other.
#pragma once

#include <optional>

#include "core/archive/zip.h"
#include "core/pickle/decoder.h"
#include "core/threads.h"

namespace torchmap {

class EarlyPickle {
 public:
  // `pool` is empty, and the options are for the pickle wherever it is.
  EarlyPickle(Source& source, Pool& pool, const DecodeOptions& options);

  // Calls `read_directory`, which gives a Status, and decodes meanwhile, where that is worth it.
  template <typename F>
  Status beside(const F& read_directory) {
    if (pickle_.empty()) return read_directory();
    FirstFailure outcome;
    in_parallel(2, 1, [&](uint64_t begin, uint64_t end) {
      for (uint64_t i = begin; i < end; ++i) {
        outcome.watch([&] { return i == 0 ? decode() : read_directory(); });
      }
    });
    return outcome.take();
  }

  // What became of `pickle`; nothing where it was not decoded, and the pool is empty then.
  std::optional<Result<Decoded>> take(ByteSpan pickle);

 private:
  Status decode();

  Pool& pool_;
  DecodeOptions options_;
  ByteSpan pickle_;
  std::optional<Result<Decoded>> decoded_;
};

}  // namespace torchmap
