#include "core/format/pickle_stream.h"

namespace torchmap {
namespace {

constexpr uint64_t kFirstRead = 1 << 16;

}  // namespace

Result<Decoded> PickleStream::next(std::unique_ptr<Pool>& pool) {
  DecodeOptions options{limits_, at_, cancelled_};
  uint64_t length = source_.mapped().empty() ? std::min(kFirstRead, remaining()) : remaining();
  for (;;) {
    TRY_ASSIGN(const ByteSpan bytes, source_.view(at_, length));
    pool = std::make_unique<Pool>();
    auto decoded = decode_pickle(bytes, *pool, options);
    if (decoded.ok()) {
      at_ += decoded->consumed;
      return decoded;
    }
    if (decoded.status().code() != Code::kTruncated || length == remaining()) return decoded;
    length = std::min(remaining(), length * 2);
  }
}

Result<int64_t> PickleStream::read_int64() {
  int64_t value = 0;
  if (remaining() < sizeof value) {
    return Status(Code::kTruncated, "the file ends where the size of a storage should be").at(at_);
  }
  TRY(source_.read(at_, std::as_writable_bytes(std::span(&value, 1))));
  at_ += sizeof value;
  return load_le<int64_t>(&value);
}

Result<int32_t> PickleStream::read_int32() {
  int32_t value = 0;
  if (remaining() < sizeof value) {
    return Status(Code::kTruncated, "the file ends where a number of dimensions should be").at(at_);
  }
  TRY(source_.read(at_, std::as_writable_bytes(std::span(&value, 1))));
  at_ += sizeof value;
  return load_le<int32_t>(&value);
}

Status PickleStream::skip(uint64_t bytes) {
  if (bytes > remaining()) {
    return Status(Code::kTruncated, "the file has " + std::to_string(remaining()) +
                                        " bytes left where " + std::to_string(bytes) +
                                        " are needed")
        .at(at_);
  }
  at_ += bytes;
  return {};
}

}  // namespace torchmap
