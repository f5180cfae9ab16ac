#include "core/verify/deflated.h"

#include <algorithm>

#include "core/archive/crc32.h"
#include "core/archive/inflate.h"

namespace torchmap {
namespace {

class Payload final : public InflateStream {
 public:
  Payload(Source& source, const VerifyOptions& options, const CheckedRecord& row)
      : source_(source),
        options_(options),
        at_(row.offset),
        left_(row.stored_size),
        wanted_(row.size) {}

  Result<size_t> read(std::span<std::byte> target) override {
    if (options_.cancelled != nullptr && options_.cancelled->load(std::memory_order_relaxed))
      return Status(Code::kCancelled, "the caller asked to stop");
    const auto taken = static_cast<size_t>(std::min<uint64_t>(target.size(), left_));
    TRY(source_.read(at_, target.first(taken)));
    at_ += taken;
    left_ -= taken;
    if (options_.done != nullptr) options_.done->fetch_add(taken, std::memory_order_relaxed);
    return taken;
  }

  Result<bool> take(ByteSpan inflated) override {
    crc_ = crc32(crc_, inflated);
    bytes_ += inflated.size();
    return bytes_ <= wanted_;
  }

  uint32_t crc() const { return crc_; }
  uint64_t bytes() const { return bytes_; }

 private:
  Source& source_;
  const VerifyOptions& options_;
  uint64_t at_, left_;
  const uint64_t wanted_;
  uint64_t bytes_ = 0;
  uint32_t crc_ = 0;
};

void fail(CheckedRecord& row, Verdict verdict, std::string fault) {
  row.verdict = verdict;
  row.fault = std::move(fault);
}

}  // namespace

bool is_inflatable(CheckedRecord& row, const Limits& limits) {
  if (row.size > limits.inflated_bytes) {
    fail(row, Verdict::kNone,
         "a deflated record inflates to " + std::to_string(row.size) +
             " bytes where limits.inflatedBytes allows " + std::to_string(limits.inflated_bytes));
    return false;
  }
  if (!can_inflate_to(row.stored_size, row.size)) {
    fail(row, Verdict::kMismatch,
         std::to_string(row.stored_size) + " deflated bytes cannot inflate to " +
             std::to_string(row.size) + " bytes");
    return false;
  }
  return true;
}

Status check_deflated(Source& source, const VerifyOptions& options, CheckedRecord& row) {
  Payload payload(source, options, row);
  auto done = inflate(payload);
  if (!done.ok()) {
    if (done.status().code() != Code::kBadRecord) return std::move(done).status();
    fail(row, Verdict::kMismatch,
         "a deflated record is damaged: " + done.status().failure().message);
  } else if (payload.bytes() != row.size) {
    const std::string size = std::to_string(row.size);
    const std::string found =
        payload.bytes() > row.size ? "more than " + size : std::to_string(payload.bytes());
    fail(row, Verdict::kMismatch,
         "a deflated record inflates to " + found + " bytes where the archive says " + size);
  } else {
    row.actual = payload.crc();
  }
  return {};
}

}  // namespace torchmap
