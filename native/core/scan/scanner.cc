#include "core/scan/scanner.h"

#include <algorithm>

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

bool is_safetensors(ByteSpan head, uint64_t size) {
  if (head.size() < 10) return false;
  const auto length = load_le<uint64_t>(head.data());
  std::string_view text = as_text(head.subspan(8));
  text.remove_prefix(std::min(text.size(), text.find_first_not_of(" \t\r\n")));
  return length <= size - 8 && text.starts_with('{');
}

// The first bytes of a source, which may be copied to `room`.
Result<ByteSpan> head_of(Source& source, std::vector<std::byte>& room) {
  return bytes_at(source, 0, std::min(kHead, source.size()), room);
}

}  // namespace

bool leads_outside(std::string_view name) {
  if (name.starts_with('/') || name.starts_with('\\')) return true;
  // A drive of Windows.
  if (name.size() > 1 && name[1] == ':') return true;
  const auto is_slash = [](char c) { return c == '/' || c == '\\'; };
  for (size_t i = 1; i < name.size(); ++i) {
    if (name[i] != '.' || name[i - 1] != '.') continue;
    if ((i == 1 || is_slash(name[i - 2])) && (i + 1 == name.size() || is_slash(name[i + 1])))
      return true;
  }
  return false;
}

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
  std::vector<std::byte> room;
  TRY_ASSIGN(const ByteSpan head, head_of(source, room));
  search_room_ += kSearchAtLeast + kSearchPerByte * source.size();
  const std::string_view text = as_text(head);
  const bool is_file = place.depth == wrappings_;
  const auto is = [&](std::string_view content) {
    if (place.depth == 0) report_.content = content;
  };
  if (text.starts_with("PK\3\4") || text.starts_with("PK\5\6")) {
    if (is_file && is_series_) return series(source, place);
    is("zip");
    return ZipScan(*this, source, place).run();
  }
  if (looks_like_tar(head)) {
    is("tar");
    TRY(tar(source, place));
    TRY(also_pickle(source, place, "a tar archive"));
  } else if (text.starts_with("\x93NUMPY")) {
    is("npy");
    TRY(npy(source, place));
  } else if (is_safetensors(head, source.size())) {
    is("safetensors");
    TRY(also_pickle(source, place, "a safetensors file"));
  } else {
    TRY(stream(source, place, starts_protocol(head) ? Sure::kExpected : Sure::kPossible));
  }
  if (!is_file || source.size() < 22) return {};
  auto directory = find_zip_directory(source);
  if (!directory.ok() || directory->count == 0) return {};
  report_.is_incomplete = true;
  add_finding(report_, "safe/two-archives",
              "a zip archive of " + std::to_string(directory->count) +
                  " records ends the file, which begins as something else",
              place, directory->offset);
  return ZipScan(*this, source, place).run();
}

Status Scanner::also_pickle(Source& source, const PicklePlace& place, const char* what) {
  TRY_ASSIGN(const Attempt also, attempt(source, place, 0, Sure::kPossible));
  if (!also.counted) return {};
  report_.is_incomplete = true;
  add_finding(report_, "safe/two-archives",
              "the file is " + std::string(what) + " and a pickle at once", place, place.offset);
  return {};
}

Status Scanner::stream(Source& source, const PicklePlace& place, Sure sure) {
  TRY_ASSIGN(const Attempt first, attempt(source, place, 0, sure));
  const bool outermost = place.depth == 0, is_file = place.depth == wrappings_;
  if (!first.counted) {
    std::vector<std::byte> room;
    TRY_ASSIGN(const ByteSpan head, head_of(source, room));
    const std::string_view foreign = foreign_format(head);
    const std::string what = is_file ? describe_foreign(head, source.size()) : std::string();
    if (outermost) report_.foreign = what;
    if (const Packing packing = packing_of(head); packing != Packing::kNone) {
      return packed(source, place, packing, true);
    }
    if (hides_something(foreign)) {
      unread((is_file ? "the file is " : "the record is ") + std::string(foreign), place,
             place.offset);
    } else if (is_file && what.empty() && (first.next > 0 || head[0] == std::byte{0x80})) {
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

// Decodes what is at `at`, of which more and more is read as it turns out to be long.
Result<Scanner::Attempt> Scanner::decode(Source& source, const PicklePlace& place, uint64_t at,
                                         Sure sure) {
  const uint64_t left = source.size() - at;
  const uint64_t base = place.base + place.offset + at;
  Attempt result;
  const ByteSpan held = source.held();
  uint64_t length = std::min(left, sure == Sure::kExpected ? kFirstLook : kPossibleLook);
  const bool is_short = length == left;
  if (!held.empty()) length = left;
  for (;;) {
    if (held.empty()) {
      result.copy.resize(static_cast<size_t>(length));
      TRY(source.read(at, result.copy));
      result.bytes = result.copy;
    } else {
      result.bytes = held.subspan(static_cast<size_t>(at));
    }
    const ByteSpan bytes = result.bytes;
    if (sure == Sure::kPossible && is_short && place.depth > 0 && !could_count(bytes))
      return result;
    result.pool.reset();
    result.pool = pools_.lend();
    result.oddities = {};
    auto decoded = decode_pickle(bytes, *result.pool,
                                 {options_.limits, base, options_.cancelled, &result.oddities});
    result.ok = decoded.ok();
    if (result.ok) {
      result.decoded = *decoded;
      result.next = at + decoded->consumed;
      break;
    }
    result.failure = std::move(decoded).status();
    if (result.failure.code() == Code::kCancelled) return std::move(result.failure);
    const uint64_t breaks = result.failure.failure().offset.value_or(base) - base;
    result.next = at + breaks;
    if (result.failure.code() != Code::kTruncated || length == left) break;
    // More can only help where as much is there as the opcode wants.
    if (result.failure.failure().limit > left - breaks) break;
    searched_ += length;
    length =
        std::min(left, std::max(length * kLookFactor, breaks + result.failure.failure().limit));
  }
  searched_ += result.next - at;
  return result;
}

Result<Scanner::Attempt> Scanner::attempt(Source& source, const PicklePlace& place, uint64_t at,
                                          Sure sure) {
  TRY(stopped());
  TRY_ASSIGN(Attempt result, decode(source, place, at, sure));
  if (result.pool == nullptr) return result;
  const ByteSpan bytes = result.bytes;
  PicklePlace here = place;
  here.offset += at;

  const bool names = names_something(*result.pool);
  const bool has_reason = names || (starts_protocol(bytes) && result.next - at >= 4) ||
                          (result.next == source.size() && place.depth == wrappings_) ||
                          (result.ok && is_legacy_magic(*result.pool, result.decoded.root));
  result.counted = sure == Sure::kExpected || (result.ok ? has_reason : names);
  if (!result.counted) {
    result.ok = false;
    return result;
  }
  ++pickles_;
  const ByteSpan pickle = bytes.first(static_cast<size_t>(result.next - at));
  const auto bytes_carried =
      examine_pickle(*result.pool, pickle, here, !result.ok, report_, storages_);
  if (!result.ok) {
    broken(result.failure.failure().message, place, result.next + place.offset);
  } else if (result.oddities.count > 0) {
    broken(result.oddities.first + ", which Python may run all the same", place,
           result.oddities.offset - place.base);
  }
  TRY(carried(bytes_carried, here));
  return result;
}

Status Scanner::carried(const std::vector<CarriedBytes>& rows, const PicklePlace& place) {
  for (const CarriedBytes& row : rows) {
    PicklePlace here = place;
    here.offset = row.offset;
    here.depth = place.depth + 1;
    if (too_deep(here)) return {};
    SpanSource bytes(as_bytes(row.bytes));
    const OwnKeys keys(storages_);
    if (row.is_loaded) {
      TRY(scan(bytes, here));
    } else {
      const uint64_t globals = report_.globals.size() + report_.globals_dropped;
      const bool archive = row.bytes.starts_with("PK") || row.bytes.starts_with("\x93");
      const Packing packing = packing_of(as_bytes(row.bytes));
      if (archive) {
        TRY(scan(bytes, here));
      } else if (packing != Packing::kNone) {
        const uint64_t before = pickles_;
        TRY(packed(bytes, here, packing, false));
        if (pickles_ == before) continue;
      } else {
        TRY_ASSIGN(const Attempt found, attempt(bytes, here, 0, Sure::kPossible));
        if (!found.counted) continue;
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
  }
  return {};
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
      Scanner probe(options_, pools_, aside);
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

}  // namespace torchmap
