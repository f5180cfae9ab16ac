#include "core/archive/gzip.h"

#include <algorithm>

#include "core/archive/crc32.h"
#include "core/archive/inflate.h"

namespace torchmap {
namespace {

// RFC 1952, section 2.3.1: flags, and how long what they announce is.
constexpr unsigned kHasHeaderCrc = 1 << 1, kHasExtra = 1 << 2, kHasName = 1 << 3,
                   kHasComment = 1 << 4, kReservedFlags = 0xE0;
constexpr size_t kGzipHeader = 10, kGzipTrailer = 8;
constexpr std::string_view kGzipMagic = "\x1F\x8B";
constexpr unsigned kDeflateMethod = 8;
// Deflated bytes that are read first, so that many small members cost what they have.
constexpr size_t kFirstRead = 512;

Status wrong_sum(const char* what) {
  return Status(Code::kChecksumMismatch,
                std::string("the bytes do not match the checksum of the ") + what + " stream");
}

class DeflatedFeed final : public InflateStream {
 public:
  DeflatedFeed(Feed& feed, Unpacked& out) : feed_(feed), out_(out) {}

  Result<size_t> read(std::span<std::byte> target) override {
    TRY(out_.stopped());
    const size_t count = std::min(target.size(), at_once_);
    at_once_ *= 4;
    return feed_.read(target.first(count));
  }
  Result<bool> take(ByteSpan inflated) override {
    TRY(out_.append(inflated));
    return true;
  }

 private:
  Feed& feed_;
  Unpacked& out_;
  size_t at_once_ = kFirstRead;
};

// Behind the next byte 0.
Status skip_text(Feed& feed) {
  for (;;) {
    TRY_ASSIGN(const ByteSpan byte, feed.take(1));
    if (byte[0] == std::byte{}) return {};
  }
}

Status skip_header(Feed& feed) {
  TRY_ASSIGN(const ByteSpan head, feed.take(kGzipHeader));
  if (std::to_integer<unsigned>(head[2]) != kDeflateMethod)
    return Status(Code::kUnsupportedCompression, "the method of the gzip stream is unknown");
  const auto flags = std::to_integer<unsigned>(head[3]);
  if ((flags & kReservedFlags) != 0)
    return Status(Code::kBadRecord, "the gzip stream has flags that have no meaning");
  if ((flags & kHasExtra) != 0) {
    TRY_ASSIGN(const ByteSpan length, feed.take(2));
    TRY(feed.pass(load_le<uint16_t>(length.data())));
  }
  if ((flags & kHasName) != 0) TRY(skip_text(feed));
  if ((flags & kHasComment) != 0) TRY(skip_text(feed));
  // Python and gzip do not compare it.
  if ((flags & kHasHeaderCrc) != 0) TRY(feed.pass(2));
  return {};
}

}  // namespace

uint32_t adler32(uint32_t adler, ByteSpan bytes) {
  constexpr uint32_t kPrime = 65521;
  // So many sums fit into 32 bits.
  constexpr size_t kBetween = 5552;
  uint32_t a = adler & 0xFFFF, b = adler >> 16;
  while (!bytes.empty()) {
    const ByteSpan part = bytes.first(std::min(bytes.size(), kBetween));
    for (const std::byte byte : part) {
      a += std::to_integer<uint32_t>(byte);
      b += a;
    }
    a %= kPrime;
    b %= kPrime;
    bytes = bytes.subspan(part.size());
  }
  return b << 16 | a;
}

Status unpack_deflate(Feed& feed, Unpacked& out) {
  const uint64_t begin = feed.position();
  DeflatedFeed stream(feed, out);
  TRY_ASSIGN(const Inflated done, inflate(stream));
  feed.seek(begin + done.used);
  return {};
}

Status unpack_gzip(Feed& feed, Unpacked& out) {
  do {
    TRY(skip_header(feed));
    const size_t start = out.size();
    TRY(unpack_deflate(feed, out));
    TRY_ASSIGN(const ByteSpan trailer, feed.take(kGzipTrailer));
    const ByteSpan made = out.bytes().subspan(start);
    if (load_le<uint32_t>(trailer.data()) != crc32(0, made) ||
        load_le<uint32_t>(&trailer[4]) != static_cast<uint32_t>(made.size()))
      return wrong_sum("gzip");
    TRY_ASSIGN(const ByteSpan next, feed.ahead(kGzipMagic.size()));
    if (!as_text(next).starts_with(kGzipMagic)) return {};
  } while (true);
}

Status unpack_zlib(Feed& feed, Unpacked& out) {
  constexpr unsigned kLargestWindow = 7, kDictionary = 1 << 5;
  TRY_ASSIGN(const ByteSpan head, feed.take(2));
  const auto method = std::to_integer<unsigned>(head[0]),
             flags = std::to_integer<unsigned>(head[1]);
  if ((method & 15) != kDeflateMethod || method >> 4 > kLargestWindow ||
      (method << 8 | flags) % 31 != 0)
    return Status(Code::kBadRecord, "the header of the zlib stream is none");
  if ((flags & kDictionary) != 0)
    return Status(Code::kUnsupportedCompression, "the zlib stream needs a dictionary");
  const size_t start = out.size();
  TRY(unpack_deflate(feed, out));
  TRY_ASSIGN(const ByteSpan trailer, feed.take(4));
  uint32_t wanted = 0;
  for (const std::byte byte : trailer) wanted = wanted << 8 | std::to_integer<uint32_t>(byte);
  if (wanted != adler32(1, out.bytes().subspan(start))) return wrong_sum("zlib");
  return {};
}

}  // namespace torchmap
