#include "core/scan/scanner.h"

#include <algorithm>
#include <array>

#include "core/archive/foreign.h"
#include "core/archive/tar.h"
#include "core/archive/zip_directory.h"
#include "core/format/legacy_reader.h"
#include "core/scan/zip_scan.h"

namespace torchmap {
namespace {

constexpr uint64_t kHead = 4096;
// The first look at a pickle that is expected, and at one that is only possible; then as much more
// each time as stands in the last constant.
constexpr uint64_t kFirstLook = uint64_t{1} << 16, kPossibleLook = 4096, kLookFactor = 4;
// For each byte of what is searched, and besides, how many may be decoded.
constexpr uint64_t kSearchPerByte = 4, kSearchAtLeast = uint64_t{1} << 20;
// Right behind a pickle one of any protocol is looked for; further on only what says its protocol.
constexpr uint64_t kNear = 64;
constexpr size_t kSearchChunk = size_t{1} << 18;
constexpr uint32_t kMostStacked = 100000;

bool starts_pickle(std::byte first) {
  const auto c = static_cast<char>(first);
  return c == '\x80' || c == 'c' || c == '(' || c == 'i' || c == ']' || c == '}';
}

bool starts_protocol(ByteSpan bytes) {
  return bytes.size() >= 2 && bytes[0] == std::byte{0x80} && bytes[1] <= std::byte{5};
}

// Formats of which something can be loaded that is not looked at here.
bool hides_something(std::string_view foreign) {
  return foreign.find("compressed with") != std::string_view::npos ||
         foreign.starts_with("an HDF5 file");
}

// Whether a pickle among these bytes could name something: a global takes two lines or two texts.
bool could_count(ByteSpan bytes) {
  const std::string_view text = as_text(bytes);
  if (starts_protocol(bytes) || text.starts_with('L') || text.starts_with('\x8A')) return true;
  if (text.find('\x93') != std::string_view::npos) return true;
  const size_t line = text.find('\n');
  return line != std::string_view::npos && text.find('\n', line + 1) != std::string_view::npos;
}

std::string bytes_text(uint64_t count) {
  return std::to_string(count) + (count == 1 ? " byte" : " bytes");
}

bool is_safetensors(ByteSpan head, uint64_t size) {
  if (head.size() < 10) return false;
  const auto length = load_le<uint64_t>(head.data());
  std::string_view text = as_text(head.subspan(8));
  text.remove_prefix(std::min(text.size(), text.find_first_not_of(" \t\r\n")));
  return length <= size - 8 && text.starts_with('{');
}

}  // namespace

Status Scanner::stopped() const {
  if (options_.cancelled != nullptr && options_.cancelled->load(std::memory_order_relaxed))
    return Status(Code::kCancelled, "the caller asked to stop");
  return {};
}

void Scanner::unread(std::string message, const PicklePlace& place, uint64_t offset) {
  report_.is_incomplete = true;
  add_finding(report_, "safe/unread", std::move(message), place, offset);
}

void Scanner::broken(std::string message, const PicklePlace& place, uint64_t offset) {
  report_.is_incomplete = true;
  add_finding(report_, "safe/broken-pickle", std::move(message), place, offset);
}

bool Scanner::too_deep(const PicklePlace& place) {
  if (place.depth <= kDeepest) return false;
  unread("what is inside of " + std::to_string(kDeepest) + " things is not looked into", place,
         place.offset);
  return true;
}

Status Scanner::scan(Source& source, const PicklePlace& place) {
  if (source.size() == 0 || too_deep(place)) return {};
  std::vector<std::byte> head(static_cast<size_t>(std::min(kHead, source.size())));
  TRY(source.read(0, head));
  search_room_ += kSearchAtLeast + kSearchPerByte * source.size();
  const std::string_view text = as_text(head);
  const bool outermost = place.depth == 0;
  const auto is = [&](std::string_view content) {
    if (outermost) report_.content = content;
  };
  if (text.starts_with("PK\3\4") || text.starts_with("PK\5\6")) {
    if (outermost && options_.series) return series(source, place);
    is("zip");
    return ZipScan(*this, source, place).run();
  }
  if (looks_like_tar(head)) {
    is("tar");
    TRY(tar(source, place));
  } else if (text.starts_with("\x93NUMPY")) {
    is("npy");
    TRY(npy(source, place));
  } else if (is_safetensors(head, source.size())) {
    is("safetensors");
    TRY_ASSIGN(const Attempt also, attempt(source, place, 0, Sure::kPossible));
    if (also.counted) {
      report_.is_incomplete = true;
      add_finding(report_, "safe/two-archives",
                  "the file is a safetensors file and a pickle at once", place, place.offset);
    }
  } else {
    TRY(stream(source, place, starts_protocol(head) ? Sure::kExpected : Sure::kPossible));
  }
  if (!outermost || source.size() < 22) return {};
  auto directory = find_zip_directory(source);
  if (!directory.ok() || directory->count == 0) return {};
  report_.is_incomplete = true;
  add_finding(report_, "safe/two-archives",
              "a zip archive of " + std::to_string(directory->count) +
                  " records ends the file, which begins as something else",
              place, directory->offset);
  return ZipScan(*this, source, place).run();
}

Status Scanner::stream(Source& source, const PicklePlace& place, Sure sure) {
  TRY_ASSIGN(const Attempt first, attempt(source, place, 0, sure));
  const bool outermost = place.depth == 0;
  if (!first.counted) {
    std::vector<std::byte> head(static_cast<size_t>(std::min(kHead, source.size())));
    TRY(source.read(0, head));
    const std::string foreign = describe_foreign(head, source.size());
    if (outermost) report_.foreign = foreign;
    if (hides_something(foreign)) {
      unread((outermost ? "the file is " : "the record is ") + foreign, place, place.offset);
    } else if (outermost && foreign.empty() && (first.next > 0 || head[0] == std::byte{0x80})) {
      unread("the file begins like a pickle and is none behind byte " + std::to_string(first.next),
             place, place.offset + first.next);
    }
    return {};
  }
  uint64_t at = first.next;
  if (outermost) report_.content = "pickle";
  bool whole = first.ok;
  if (first.ok && is_legacy_magic(*first.pool, first.decoded.root)) {
    if (outermost) report_.content = "legacy";
    TRY(legacy(source, place, at, whole));
  }
  return behind(source, place, at, whole);
}

Result<Scanner::Attempt> Scanner::attempt(Source& source, const PicklePlace& place, uint64_t at,
                                          Sure sure) {
  TRY(stopped());
  const uint64_t left = source.size() - at;
  PicklePlace here = place;
  here.offset += at;
  const uint64_t base = here.base + here.offset;
  Attempt result;
  Oddities oddities;
  std::vector<std::byte>& bytes = result.bytes;
  Status failure;
  uint64_t length = std::min(left, sure == Sure::kExpected ? kFirstLook : kPossibleLook);
  for (;;) {
    bytes.resize(static_cast<size_t>(length));
    TRY(source.read(at, bytes));
    if (sure == Sure::kPossible && length == left && place.depth > 0 && !could_count(bytes))
      return result;
    result.pool = std::make_unique<Pool>();
    oddities = {};
    auto decoded =
        decode_pickle(bytes, *result.pool, {options_.limits, base, options_.cancelled, &oddities});
    result.ok = decoded.ok();
    if (result.ok) {
      result.decoded = *decoded;
      result.next = at + decoded->consumed;
      break;
    }
    failure = std::move(decoded).status();
    if (failure.code() == Code::kCancelled) return failure;
    const uint64_t breaks = failure.failure().offset.value_or(base) - base;
    result.next = at + breaks;
    if (failure.code() != Code::kTruncated || length == left) break;
    // More can only help where as much is there as the opcode wants.
    if (failure.failure().limit > left - breaks) break;
    searched_ += length;
    length = std::min(left, std::max(length * kLookFactor, breaks + failure.failure().limit));
  }
  searched_ += result.next - at;

  const bool names = names_something(*result.pool);
  const bool has_reason = names || (starts_protocol(bytes) && result.next - at >= 4) ||
                          (result.next == source.size() && place.depth == 0) ||
                          (result.ok && is_legacy_magic(*result.pool, result.decoded.root));
  result.counted = sure == Sure::kExpected || (result.ok ? has_reason : names);
  if (!result.counted) {
    result.ok = false;
    return result;
  }
  ++pickles_;
  const ByteSpan pickle = ByteSpan(bytes).first(static_cast<size_t>(result.next - at));
  const Examined examined = examine_pickle(*result.pool, pickle, here, !result.ok, report_);
  for (const auto& [key, needed] : examined.storages) {
    uint64_t& known = storages_[key];
    known = std::max(known, needed);
  }
  if (!result.ok) {
    broken(failure.failure().message, place, result.next + place.offset);
  } else if (oddities.count > 0) {
    broken(oddities.first + ", which Python may run all the same", place,
           oddities.offset - place.base);
  }
  TRY(carried(examined, here));
  return result;
}

Status Scanner::carried(const Examined& examined, const PicklePlace& place) {
  for (const CarriedBytes& row : examined.carried) {
    PicklePlace here = place;
    here.offset = row.offset;
    here.depth = place.depth + 1;
    if (too_deep(here)) return {};
    SpanSource bytes(as_bytes(row.bytes));
    StorageUses outer;
    std::swap(outer, storages_);  // keys are those of one file
    if (row.is_loaded) {
      TRY(scan(bytes, here));
    } else {
      const uint64_t globals = report_.globals.size() + report_.globals_dropped;
      const bool archive = row.bytes.starts_with("PK") || row.bytes.starts_with("\x93");
      if (archive) {
        TRY(scan(bytes, here));
      } else {
        TRY_ASSIGN(const Attempt found, attempt(bytes, here, 0, Sure::kPossible));
        if (!found.counted) {
          std::swap(outer, storages_);
          continue;
        }
        TRY(behind(bytes, here, found.next));
      }
      add_finding(
          report_, archive ? "safe/nested-archive" : "safe/nested-pickle",
          bytes_text(row.bytes.size()) + " that a pickle carries are " +
              (archive ? "an archive" : "another pickle") +
              (report_.globals.size() + report_.globals_dropped > globals ? ", which names globals"
                                                                          : ""),
          place, row.offset);
    }
    std::swap(outer, storages_);
  }
  return {};
}

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

// What stands behind a pickle: others, or bytes that belong to nothing.
Status Scanner::behind(Source& source, const PicklePlace& place, uint64_t at, bool whole) {
  bool said = false;
  uint64_t hidden = 0, hidden_at = 0;
  for (uint32_t count = 0; at < source.size(); ++count) {
    if (count == kMostStacked) {
      unread("more than " + std::to_string(kMostStacked) +
                 " pickles stand one behind the other, and the rest is not looked at",
             place, place.offset + at);
      return {};
    }
    TRY_ASSIGN(const Attempt next, attempt(source, place, at, Sure::kPossible));
    uint64_t found = at;
    if (next.counted) {
      at = std::max(next.next, at + 1);
    } else {
      TRY(search(source, place, at, source.size(), found));
      const bool none = found == at;
      if (hidden == 0) hidden_at = at;
      hidden += (none ? source.size() : found) - at;
      if (none) break;
      at = found;
      continue;
    }
    if (!std::exchange(said, true)) {
      add_finding(report_, "safe/second-pickle",
                  "a second pickle begins at byte " + std::to_string(found), place,
                  place.offset + found);
    }
  }
  if (hidden > 0 && whole) {
    add_finding(report_, "safe/hidden-bytes",
                bytes_text(hidden) + " behind the pickle belong to nothing that is loaded", place,
                place.offset + hidden_at);
  }
  return {};
}

// Sets `found` to where the next pickle behind `at` begins, if there is one before `end`.
Status Scanner::search(Source& source, const PicklePlace& place, uint64_t at, uint64_t end,
                       uint64_t& found) {
  std::vector<std::byte> chunk;
  for (uint64_t start = at + 1; start < end; start += kSearchChunk) {
    chunk.resize(static_cast<size_t>(std::min<uint64_t>(kSearchChunk + 1, end - start)));
    TRY(source.read(start, chunk));
    TRY(stopped());
    const size_t last = std::min(chunk.size(), kSearchChunk);
    for (size_t i = 0; i < last; ++i) {
      const bool near = start + i - at < kNear;
      if (near ? !starts_pickle(chunk[i]) : chunk[i] != std::byte{0x80}) continue;
      if (!near && !starts_protocol(ByteSpan(chunk).subspan(i))) continue;
      if (searched_ > search_room_) {
        unread("bytes from " + std::to_string(start + i) +
                   " on could hide pickles, too many to look at",
               place, place.offset + start + i);
        return {};
      }
      // Whether it counts, without counting it.
      ScanReport aside;
      Scanner probe(options_, aside);
      probe.search_room_ = 0;
      PicklePlace deep = place;
      deep.depth = kDeepest;
      TRY_ASSIGN(const Attempt maybe, probe.attempt(source, deep, start + i, Sure::kPossible));
      searched_ += probe.searched_;
      if (!maybe.counted) continue;
      found = start + i;
      return {};
    }
  }
  return {};
}

Status Scanner::npy(Source& source, const PicklePlace& place) {
  constexpr uint64_t kMostHeader = 1 << 20;
  std::array<std::byte, 12> head{};
  if (source.size() < head.size()) return {};
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
  if (!objects) return {};
  PicklePlace behind_header = place;
  behind_header.offset += start + length;
  SourcePart part(source, start + length, source.size() - start - length);
  if (part.size() == 0) return {};
  TRY_ASSIGN(const Attempt first, attempt(part, behind_header, 0, Sure::kExpected));
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
