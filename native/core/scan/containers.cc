// What has pickles and other bytes in turns: the legacy stream, tar archives, arrays of objects,
// and series of archives.
#include <algorithm>
#include <array>

#include "core/archive/tar.h"
#include "core/scan/scanner.h"
#include "core/scan/zip_scan.h"
#include "core/torch/globals.h"

namespace torchmap {

// magic number, protocol version, system info, object, keys of storages, then the storages.
Status Scanner::legacy(Source& source, const PicklePlace& place, uint64_t& at, bool& whole) {
  whole = false;
  for (int i = 0; i < 4; ++i) {
    if (at == source.size()) {
      broken("the file ends where a pickle of the legacy stream should be", place,
             place.offset + at);
      return {};
    }
    TRY_ASSIGN(const Attempt next, attempt(source, place, at, Sure::kExpected));
    at = next.next;
    if (!next.ok) return {};
    if (i == 3) return legacy_storages(source, place, at, next, whole);
  }
  return {};
}

Status Scanner::legacy_storages(Source& source, const PicklePlace& place, uint64_t& at,
                                const Attempt& keys, bool& whole) {
  const Pool& pool = *keys.pool;
  const Node& list = pool[keys.decoded.root];
  if (list.tag != Tag::kList) {
    broken("the storage keys of the legacy stream are no list", place, place.offset + at);
    return {};
  }
  for (const uint32_t word : pool.list(Pool::items_of(list))) {
    const Node& key = pool[word];
    const auto use =
        key.tag == Tag::kStr ? storages_.find(std::string(key.text())) : storages_.end();
    int64_t numel = -1;
    if (use != storages_.end() && source.size() - at >= sizeof numel) {
      TRY(source.read(at, std::as_writable_bytes(std::span(&numel, 1))));
      numel = load_le<int64_t>(&numel);
    }
    const uint64_t bytes = use == storages_.end() ? 0 : use->second;
    const bool fitting = numel > 0 ? bytes % static_cast<uint64_t>(numel) == 0 : bytes == 0;
    if (numel < 0 || !fitting || !fits(at + sizeof numel, bytes, source.size())) {
      unread("the storages of the legacy stream are not as long as its tensors need them", place,
             place.offset + at);
      return {};
    }
    at += sizeof numel + bytes;
  }
  whole = true;
  return {};
}

// Archives one behind the other, each up to the end record that counts to just where it stands.
Status Scanner::series(Source& source, const PicklePlace& place) {
  constexpr std::string_view kEnd("PK\5\6", 4);
  constexpr size_t kEndBytes = 22;
  report_.content = "zip";
  uint64_t begin = 0;
  std::vector<std::byte> chunk;
  for (uint64_t start = 0; start < source.size(); start += kSearchChunk) {
    TRY(stopped());
    chunk.resize(
        static_cast<size_t>(std::min<uint64_t>(kSearchChunk + kEndBytes, source.size() - start)));
    TRY(source.read(start, chunk));
    const std::string_view text = as_text(chunk);
    for (size_t i = text.find(kEnd); i < kSearchChunk && i + kEndBytes <= text.size();
         i = text.find(kEnd, i + 1)) {
      const uint64_t size = load_le<uint32_t>(&chunk[i + 12]),
                     at = load_le<uint32_t>(&chunk[i + 16]);
      const uint64_t end = start + i;
      // Or in a zip64 record right before it.
      if (end < begin || (at != UINT32_MAX && (at + size > end - begin))) continue;
      const uint64_t behind = end + kEndBytes + load_le<uint16_t>(&chunk[i + 20]);
      std::array<std::byte, 4> next{};
      if (behind > source.size()) continue;
      if (source.size() - behind >= next.size()) TRY(source.read(behind, next));
      if (behind != source.size() && as_text(next) != "PK\3\4") continue;
      SourcePart part(source, begin, behind - begin);
      PicklePlace here = place;
      here.base += begin;
      std::array<std::byte, 4> head{};
      TRY(part.read(0, head));
      if (as_text(head) != "PK\3\4") {
        unread("no archive begins at byte " + std::to_string(begin) + " of the series", place,
               begin);
      } else {
        storages_.clear();
        TRY(ZipScan(*this, part, here).run());
      }
      begin = behind;
    }
  }
  if (begin == source.size()) return {};
  SourcePart rest(source, begin, source.size() - begin);
  PicklePlace here = place;
  here.base += begin;
  unread("the series of archives ends at byte " + std::to_string(begin) + " of " +
             std::to_string(source.size()),
         place, begin);
  return behind(rest, here, 0, false);
}

Status Scanner::npy(Source& source, const PicklePlace& place) {
  constexpr uint64_t kMostHeader = 1 << 20;
  std::array<std::byte, 12> head{};
  if (source.size() < head.size()) {
    unread("the NumPy array ends inside its header", place, place.offset);
    return {};
  }
  TRY(source.read(0, head));
  const bool wide = head[6] > std::byte{1};
  const uint64_t length = wide ? load_le<uint32_t>(&head[8]) : load_le<uint16_t>(&head[8]);
  const uint64_t start = wide ? 12 : 10;
  if (length > kMostHeader || !fits(start, length, source.size())) {
    unread("the header of the NumPy array has " + bytes_text(length), place, place.offset);
    return {};
  }
  std::vector<std::byte> text(static_cast<size_t>(length));
  TRY(source.read(start, text));
  // Types are written as '|O', 'O', '|O8' or inside of the fields of a structure.
  const std::string_view header = as_text(text);
  const bool objects = header.find("|O") != std::string_view::npos ||
                       header.find("'O") != std::string_view::npos ||
                       header.find("object") != std::string_view::npos;
  // Python reads the header as a literal: other quotes, byte orders and escapes mean the same.
  if (!objects && header.find_first_of("O\\") == std::string_view::npos) return {};
  PicklePlace behind_header = place;
  behind_header.offset += start + length;
  SourcePart part(source, start + length, source.size() - start - length);
  if (part.size() == 0) return {};
  TRY_ASSIGN(const Attempt first,
             attempt(part, behind_header, 0, objects ? Sure::kExpected : Sure::kPossible));
  if (!objects && !first.counted) return {};
  return behind(part, behind_header, first.next, first.ok);
}

Status Scanner::tar(Source& source, const PicklePlace& place) {
  std::vector<std::string> links;
  auto members = read_tar(source, options_.limits, &links);
  for (const std::string& name : links) {
    add_finding(report_, "safe/link",
                "member '" + name + "' of the tar archive is a link or device", place,
                place.offset);
  }
  if (!members.ok()) {
    const Code code = members.status().code();
    if (code == Code::kIo || code == Code::kFileChanged) return std::move(members).status();
    unread(members.status().failure().message, place, place.offset);
    return behind(source, place, 0, false);
  }
  const bool is_torch =
      find_member(*members, "pickle") != nullptr && find_member(*members, "storages") != nullptr;
  for (const TarMember& member : *members) {
    if (leads_outside(member.name)) {
      add_finding(report_, "safe/outside-name",
                  "the name of member '" + member.name + "' leads out of the tar archive's folder",
                  place, place.offset);
    }
    if (member.size == 0) continue;
    PicklePlace here = place;
    here.record = place.record.empty() ? member.name : place.record + "/" + member.name;
    here.base = place.base + place.offset + member.offset;
    here.offset = 0;
    here.depth = place.depth + 1;
    SourcePart part(source, member.offset, member.size);
    if (is_torch && (member.name == "storages" || member.name == "tensors")) {
      TRY(tar_numbers(part, here, member.name == "storages"));
    } else {
      TRY(scan(part, here));
    }
  }
  return {};
}

// A count, and as often a pickle and numbers: see format/tar_reader.cc.
Status Scanner::tar_numbers(Source& source, const PicklePlace& place, bool has_elements) {
  TRY_ASSIGN(const Attempt count, attempt(source, place, 0, Sure::kExpected));
  uint64_t at = count.next;
  if (!count.ok) return behind(source, place, at, false);
  const Node& number = (*count.pool)[count.decoded.root];
  const int64_t rows = number.tag == Tag::kInt ? number.integer : 0;
  for (int64_t i = 0; i < rows && at < source.size(); ++i) {
    TRY_ASSIGN(const Attempt header, attempt(source, place, at, Sure::kExpected));
    at = header.next;
    if (!header.ok) break;
    int64_t numel = 0;
    if (source.size() - at < sizeof numel) break;
    TRY(source.read(at, std::as_writable_bytes(std::span(&numel, 1))));
    numel = load_le<int64_t>(&numel);
    std::optional<uint64_t> skipped;
    if (has_elements) {
      const Pool& pool = *header.pool;
      const Node& items = pool[header.decoded.root];
      const uint32_t type =
          items.tag == Tag::kTuple && items.a == 3 ? pool.words[items.b + 2] : Pool::kNoneNode;
      const auto meant =
          pool[type].tag == Tag::kGlobal
              ? classify_global(pool.globals[pool[type].a].module, pool.globals[pool[type].a].name)
              : GlobalMeaning();
      if (meant.kind == GlobalKind::kStorage && numel >= 0)
        skipped = checked_mul(static_cast<uint64_t>(numel), info(meant.dtype).bytes);
    } else {
      // An int32 of dimensions, 4 bytes unused; sizes, strides and an offset.
      const auto dims = static_cast<uint32_t>(numel & 0xFFFFFFFF);
      skipped = 16 * uint64_t{dims} + 8;
    }
    at += sizeof numel;
    if (!skipped || *skipped > source.size() - at) {
      unread("what stands between the pickles of the member is not as long as it says", place, at);
      break;
    }
    at += *skipped;
  }
  if (at == source.size()) return {};
  // The views of storages.
  if (has_elements) {
    TRY_ASSIGN(const Attempt views, attempt(source, place, at, Sure::kPossible));
    if (views.counted) at = views.next;
  }
  return behind(source, place, at);
}

}  // namespace torchmap
