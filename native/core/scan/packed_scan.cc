// What is compressed, with a name for what is in it or without.
#include <algorithm>

#include "core/archive/crc32.h"
#include "core/archive/gzip.h"
#include "core/archive/lzma.h"
#include "core/archive/seven_zip.h"
#include "core/archive/xz.h"
#include "core/scan/scanner.h"

namespace torchmap {
namespace {

// Failures that are not about what the file holds.
bool is_outside(const Status& status) {
  const Code code = status.code();
  return code == Code::kIo || code == Code::kFileChanged || code == Code::kCancelled;
}

Status unpack(Packing packing, Feed& feed, Unpacked& out) {
  switch (packing) {
    case Packing::kGzip:
      return unpack_gzip(feed, out);
    case Packing::kZlib:
      return unpack_zlib(feed, out);
    case Packing::kXz:
      return unpack_xz(feed, out);
    default:
      return unpack_lzma_file(feed, out);
  }
}

const char* packer_of(Packing packing) {
  switch (packing) {
    case Packing::kGzip:
      return "gzip";
    case Packing::kZlib:
      return "zlib";
    case Packing::kXz:
      return "xz";
    default:
      return "LZMA";
  }
}

// Why not all of it came out.
std::string why_unread(const Status& outcome, const Unpacked& out) {
  const bool is_full = outcome.code() == Code::kLimitStorage;
  return (is_full ? "more comes out than is looked at" : outcome.failure().message) +
         (out.size() == 0 ? "" : ", behind " + bytes_text(out.size()) + " that came out");
}

// Of what comes out of what is compressed there.
PicklePlace inside_packed(const PicklePlace& place) {
  PicklePlace here = place;
  here.base = place.base + place.offset;
  here.offset = 0;
  here.in_file = false;
  here.depth = place.depth + 1;
  return here;
}

// Where zeros end that fill up a file.
Result<uint64_t> skip_zeros(Feed feed) {
  for (;;) {
    TRY_ASSIGN(const ByteSpan bytes, feed.ahead(Feed::kMostAhead));
    const auto end =
        std::find_if(bytes.begin(), bytes.end(), [](std::byte b) { return b != std::byte{}; });
    feed.skip(static_cast<uint64_t>(end - bytes.begin()));
    if (bytes.empty() || end != bytes.end()) return feed.position();
  }
}

}  // namespace

uint64_t Scanner::room_for_inflated() const {
  return std::min(options_.limits.inflated_bytes, inflated_left_);
}

Status Scanner::packed(Source& source, const PicklePlace& place, Packing packing, bool is_known) {
  if (packing == Packing::kSevenZip) return seven_zip(source, place, is_known);
  const bool is_file = place.depth == wrappings_;
  const PicklePlace here = inside_packed(place);
  if (too_deep(here)) return {};
  Unpacked out(room_for_inflated(), options_.cancelled);
  Feed feed(source, 0, source.size());
  const Status outcome = unpack(packing, feed, out);
  if (!outcome.ok() && is_outside(outcome)) return Status(outcome.failure());
  inflated_left_ -= out.size();
  const uint64_t before = pickles_;
  {
    const OwnKeys keys(storages_);
    SpanSource bytes(out.bytes());
    if (is_file) ++wrappings_;
    Status looked = scan(bytes, here);
    if (is_file) --wrappings_;
    TRY(std::move(looked));
  }
  if (!outcome.ok()) {
    if (is_known || pickles_ > before) {
      unread(std::string(is_file ? "the file" : "the record") + " is compressed with " +
                 packer_of(packing) + " and cannot be unpacked whole: " + why_unread(outcome, out),
             place, place.offset);
    }
    return {};
  }
  return is_known ? behind_packed(source, place, feed.position()) : Status();
}

Status Scanner::behind_packed(Source& source, const PicklePlace& place, uint64_t at) {
  TRY_ASSIGN(const uint64_t next, skip_zeros(Feed(source, at, source.size())));
  if (next == source.size()) return {};
  add_finding(report_, "safe/hidden-bytes",
              bytes_text(source.size() - next) + " behind what is compressed belong to nothing",
              place, place.offset + next);
  return behind(source, place, next, false);
}

Status Scanner::seven_zip_member(Unpacked& folder, const SevenZipMember& member,
                                 const PicklePlace& place) {
  const ByteSpan all = folder.bytes();
  if (member.offset >= all.size()) return {};
  const uint64_t there = std::min(member.size, all.size() - member.offset);
  const ByteSpan bytes =
      all.subspan(static_cast<size_t>(member.offset), static_cast<size_t>(there));
  if (there == member.size && member.crc && *member.crc != crc32(0, bytes))
    unread("the bytes of the member do not match its checksum", place, 0);
  SpanSource part(bytes);
  return scan(part, place);
}

Status Scanner::seven_zip(Source& source, const PicklePlace& place, bool is_known) {
  auto archive = SevenZip::read(source, options_.limits, options_.cancelled);
  if (!archive.ok()) {
    if (is_outside(archive.status())) return std::move(archive).status();
    if (is_known) unread(archive.status().failure().message, place, place.offset);
    return {};
  }
  if (too_deep(inside_packed(place))) return {};
  TRY(seven_zip_members(source, *archive, place));
  return is_known ? behind_packed(source, place, archive->end()) : Status();
}

Status Scanner::seven_zip_members(Source& source, const SevenZip& archive,
                                  const PicklePlace& place) {
  const auto here_of = [&](const std::string& name) {
    PicklePlace here = inside_packed(place);
    here.record = place.record.empty() ? name : place.record + "/" + name;
    return here;
  };
  const OwnKeys keys(storages_);
  uint32_t open = SevenZipMember::kNone;
  std::optional<Unpacked> folder;
  for (const SevenZipMember& member : archive.members()) {
    TRY(stopped());
    const std::string name = archive.name(member);
    const PicklePlace here = here_of(name);
    if (leads_outside(name)) {
      add_finding(report_, "safe/outside-name",
                  "the name of member '" + name + "' leads out of the 7-Zip archive's folder", here,
                  0);
    }
    if (member.is_link) {
      add_finding(report_, "safe/link", "member '" + name + "' of the 7-Zip archive is a link",
                  here, 0);
    }
    if (member.folder == SevenZipMember::kNone) continue;
    if (member.folder != open) {
      open = member.folder;
      const SevenZipFolder& packed = archive.folders()[open];
      folder.emplace(std::min(packed.size, room_for_inflated()), options_.cancelled);
      const Status outcome = archive.unpack(source, packed, *folder);
      if (!outcome.ok() && is_outside(outcome)) return Status(outcome.failure());
      inflated_left_ -= folder->size();
      if (!outcome.ok()) {
        const uint32_t others = packed.streams - 1;
        unread(
            "member '" + name + "'" +
                (others == 0 ? "" : " and " + std::to_string(others) + " others") +
                " of the 7-Zip archive cannot be unpacked whole: " + why_unread(outcome, *folder),
            here, 0);
      } else if (packed.crc && packed.streams > 1 && *packed.crc != crc32(0, folder->bytes())) {
        unread("the bytes of a folder of the 7-Zip archive do not match its checksum", here, 0);
      }
    }
    TRY(seven_zip_member(*folder, member, here));
  }
  return {};
}

}  // namespace torchmap
