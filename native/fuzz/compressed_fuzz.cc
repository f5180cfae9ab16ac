// A byte that says how, then what is compressed that way: from memory and brought in piece by piece
// the same comes out, with less room the beginning of it, and of an archive every member is in
// bounds.
#include <algorithm>

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

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  fuzz::GuardedSource source(data + 1, size - 1);
  Held held(source);
  const size_t kind = data[0] % (std::size(kUnpack) + 1);
  if (kind == std::size(kUnpack)) {
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
