// A byte that says how, then what is compressed that way: from memory and brought in piece by piece
// the same comes out, with less room the beginning of it. Of an archive, or the header of one whose
// checksums are right, every member is in bounds.
#include <algorithm>

#include "core/archive/crc32.h"
#include "core/archive/gzip.h"
#include "core/archive/lzma.h"
#include "core/archive/seven_zip.h"
#include "core/archive/xz.h"
#include "fuzz/guarded.h"

using namespace torchmap;
using fuzz::require;

namespace {

constexpr uint64_t kRoom = uint64_t{1} << 18;

class Held final : public Source {
 public:
  explicit Held(fuzz::GuardedSource& of) : of_(of) { identity_.size = of.size(); }
  Result<ByteSpan> view(uint64_t offset, uint64_t length) override {
    return of_.view(offset, length);
  }
  Status read(uint64_t offset, std::span<std::byte> target) override {
    return of_.read(offset, target);
  }
  ByteSpan held() const override { return of_.bytes(); }

 private:
  fuzz::GuardedSource& of_;
};

Status lzma2(Feed& feed, Unpacked& out) { return unpack_lzma2(feed, 20, out); }

using Unpack = Status (*)(Feed&, Unpacked&);
constexpr Unpack kUnpack[] = {unpack_gzip,      unpack_zlib, unpack_deflate,
                              unpack_lzma_file, lzma2,       unpack_xz};

struct Outcome {
  bool ok = false;
  uint64_t position = 0;
  std::vector<std::byte> bytes;
  bool operator==(const Outcome&) const = default;
};

Outcome run(Source& source, Unpack unpack, uint64_t most) {
  Feed feed(source, 0, source.size());
  Unpacked out(most);
  Outcome found;
  found.ok = unpack(feed, out).ok();
  found.position = feed.position();
  found.bytes.assign(out.bytes().begin(), out.bytes().end());
  require(found.bytes.size() <= most && found.position <= source.size());
  return found;
}

void run_archive(Source& source) {
  auto archive = SevenZip::read(source, fuzz::small_limits(), nullptr);
  if (!archive.ok()) return;
  require(archive->end() <= source.size());
  uint64_t left = kRoom;
  uint32_t open = SevenZipMember::kNone;
  for (const SevenZipMember& member : archive->members()) {
    fuzz::touch(as_bytes(archive->name(member)));
    if (member.folder == SevenZipMember::kNone) continue;
    require(member.folder < archive->folders().size());
    const SevenZipFolder& folder = archive->folders()[member.folder];
    require(fits(member.offset, member.size, folder.size));
    if (member.folder == std::exchange(open, member.folder)) continue;
    Unpacked out(std::min(left, folder.size));
    static_cast<void>(archive->unpack(source, folder, out).ok());
    require(out.size() <= folder.size);
    left -= out.size();
  }
}

// These bytes, packed as they are said to be by the header that they are as well.
std::vector<uint8_t> archive_of(ByteSpan bytes) {
  std::vector<std::byte> made(32);
  const auto put = [&](size_t at, uint64_t value, size_t count) {
    for (size_t i = 0; i < count; ++i)
      made[at + i] = static_cast<std::byte>(value >> (8 * i) & 0xFF);
  };
  put(0, 0x04001C27AFBC7A37, 8);
  put(12, bytes.size(), 8);
  put(20, bytes.size(), 8);
  put(28, crc32(0, bytes), 4);
  put(8, crc32(0, ByteSpan(made).subspan(12)), 4);
  for (int i = 0; i < 2; ++i) made.insert(made.end(), bytes.begin(), bytes.end());
  const auto* first = reinterpret_cast<const uint8_t*>(made.data());
  return {first, first + made.size()};
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  const size_t kind = data[0] % (std::size(kUnpack) + 2);
  std::vector<uint8_t> given(data + 1, data + size);
  if (kind > std::size(kUnpack)) given = archive_of(std::as_bytes(std::span(given)));
  fuzz::GuardedSource source(given.data(), given.size());
  Held held(source);
  if (kind >= std::size(kUnpack)) {
    run_archive(held);
    run_archive(source);
    return 0;
  }
  const Outcome whole = run(held, kUnpack[kind], kRoom);
  require(whole == run(source, kUnpack[kind], kRoom));
  const Outcome part = run(held, kUnpack[kind], whole.bytes.size() / 2);
  require(std::equal(part.bytes.begin(), part.bytes.end(), whole.bytes.begin()));
  return 0;
}
