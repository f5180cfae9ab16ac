// Pickles one behind the other, as legacy and tar checkpoints have them: each is read exactly up to
// its STOP.
#pragma once

#include "core/pickle/decoder.h"
#include "core/source/source.h"

namespace torchmap {

class PickleStream {
 public:
  PickleStream(Source& source, uint64_t begin, uint64_t end, const Limits& limits,
               const std::atomic<bool>* cancelled)
      : source_(source), at_(begin), end_(end), limits_(limits), cancelled_(cancelled) {}

  uint64_t position() const { return at_; }  // bytes from the start of the file
  uint64_t remaining() const { return end_ - at_; }

  // Decodes the next pickle into a fresh `pool`. Where the source has to be read rather than
  // mapped, only as much is read as the pickle needs, within a factor of two.
  Result<Decoded> next(std::unique_ptr<Pool>& pool);

  // An i64, such as a legacy storage's number of elements.
  Result<int64_t> read_int64();
  Result<int32_t> read_int32();
  Status skip(uint64_t bytes);

 private:
  Source& source_;
  uint64_t at_;
  uint64_t end_;
  Limits limits_;
  const std::atomic<bool>* cancelled_;
};

}  // namespace torchmap
