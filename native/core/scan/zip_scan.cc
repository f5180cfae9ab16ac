#include "core/scan/zip_scan.h"

#include <algorithm>
#include <array>

#include "core/archive/inflate.h"
#include "core/archive/zip_layout.h"
#include "core/format/package_reader.h"
#include "core/format/pt2_reader.h"

namespace torchmap {
namespace {

// Flags by which readers go apart: encrypted, patch data, strongly encrypted, header masked
// (APPNOTE 4.4.4). torch looks at none of them.
constexpr uint16_t kEncryptedFlag = 1 << 0, kPatchedFlag = 1 << 5, kStrongFlag = 1 << 6,
                   kMaskedFlag = 1 << 13;
constexpr uint16_t kDescriptorFlag = 1 << 3;
constexpr uint32_t kDescriptorStart = 0x08074b50, kEnd64Start = 0x06064b50,
                   kLocatorStart = 0x07064b50, kEndStart = 0x06054b50;
constexpr uint64_t kLocatorBytes = 20, kEndBytes = 22;
constexpr size_t kSweepChunk = size_t{1} << 20;
// Of a record that becomes longer than this so much is read to see its first byte.
constexpr uint64_t kInflatedAtOnce = uint64_t{1} << 18;
// Bytes by which deflated ones may be more than the sixty-fourth part longer than inflated.
constexpr uint64_t kSlack = uint64_t{1} << 16;
// First bytes of pickles, which are opcodes that need nothing on the stack; of archives, arrays and
// what is compressed.
constexpr std::string_view kLoadable =
    "\x80\x82\x83\x84\x88\x89\x8A\x8B\x8C\x8D\x8E\x8F\x93\x95\x96"
    "()BCFGIJKLMNPSTUVX]c}"
    "\x1Fx\xFD"
    "7";

bool is_word(Source& source, uint64_t offset, uint32_t word) {
  std::array<std::byte, 4> bytes;
  return fits(offset, bytes.size(), source.size()) && source.read(offset, bytes).ok() &&
         load_le<uint32_t>(bytes.data()) == word;
}

// Where torch looks for the elements of a storage, in front of its key.
constexpr std::string_view kStorageFolders[] = {"data/", ".data/", "constants/", "bytecode/"};

// torch looks names up without case.
bool is_named_pickle(std::string_view name) {
  if (name.size() < 4) return false;
  std::string end(name.substr(name.size() - 4));
  for (char& c : end) c = c >= 'A' && c <= 'Z' ? static_cast<char>(c + ('a' - 'A')) : c;
  return end == ".pkl";
}

}  // namespace

PicklePlace ZipScan::inside(std::string_view record, uint64_t offset, bool in_file) const {
  PicklePlace here = place_;
  here.record =
      place_.record.empty() ? std::string(record) : place_.record + "/" + std::string(record);
  here.base = place_.base + place_.offset + offset;
  here.offset = 0;
  here.in_file = place_.in_file && in_file;
  here.depth = place_.depth + 1;
  return here;
}

void ZipScan::disagreement(std::string message, std::string_view record, uint64_t offset) {
  scanner_.report_.is_incomplete = true;
  PicklePlace here = place_;
  if (!record.empty()) here.record = inside(record, 0, true).record;
  add_finding(scanner_.report_, "safe/two-archives", std::move(message), here,
              place_.offset + offset);
}

Status ZipScan::all_records() {
  const Scanner::OwnKeys keys(scanner_.storages_);
  const auto& records = archive_->records();
  // Pickles first: they say which records are elements of tensors.
  for (const bool pickles : {true, false}) {
    for (uint32_t i = 0; i < records.size(); ++i) {
      if (is_named_pickle(records[i].name) != pickles) continue;
      if (pickles || !is_elements(records[i])) TRY(record(i));
    }
  }
  return {};
}

Status ZipScan::run() {
  auto archive = ZipArchive::read(source_, scanner_.options_.limits);
  if (!archive.ok()) return refused(archive.status());
  archive_ = std::move(archive).value();
  scanner_.is_pt2_ = scanner_.is_pt2_ || Pt2Reader::recognises(*archive_);
  TRY(find_payloads());
  TRY(all_records());
  count_code();
  TRY(gaps());
  return tail();
}

// Only what a pickle says is the storage of a tensor.
bool ZipScan::is_elements(const Record& row) const {
  const std::string_view name = archive_->name_in_root(row).value_or(row.name);
  for (const std::string_view folder : kStorageFolders) {
    if (!name.starts_with(folder)) continue;
    std::string_view key = name.substr(folder.size());
    if (folder == ".data/" && key.ends_with(".storage")) key.remove_suffix(8);
    return scanner_.storages_.contains(std::string(key));
  }
  return false;
}

// Where the bytes of each record are, and what its own header says otherwise than the directory.
Status ZipScan::find_payloads() {
  const auto& records = archive_->records();
  payloads_.resize(records.size());
  for (uint32_t i = 0; i < records.size(); ++i) {
    const Record& row = records[i];
    const uint16_t odd = row.flags & (kEncryptedFlag | kPatchedFlag | kStrongFlag | kMaskedFlag);
    if (odd != 0) {
      disagreement("the record has flags " + std::to_string(odd) +
                       ", for which some readers refuse it and others read it",
                   row.name, row.header_offset);
    }
    if (leads_outside(row.name)) {
      add_finding(scanner_.report_, "safe/outside-name",
                  "the record's name leads out of the archive's folder",
                  inside(row.name, row.header_offset, true), 0);
    }
    if (row.link) {
      add_finding(scanner_.report_, "safe/link", "the record is a symbolic link",
                  inside(row.name, row.header_offset, true), 0);
    }
    auto offset = archive_->payload_offset(source_, i);
    if (offset.ok()) {
      payloads_[i] = {*offset, row.stored_size, true};
      continue;
    }
    const Status& why = offset.status();
    if (why.code() != Code::kBadRecord) return std::move(offset).status();
    disagreement(why.failure().message, row.name, row.header_offset);
    if (!is_word(source_, row.header_offset, kLocalSignature)) continue;
    std::array<std::byte, kLocalSize> header;
    TRY(source_.read(row.header_offset, header));
    const uint64_t start = row.header_offset + kLocalSize + load_le<uint16_t>(&header[26]) +
                           load_le<uint16_t>(&header[28]);
    if (start < row.end) payloads_[i] = {start, std::min(row.stored_size, row.end - start), true};
  }
  return {};
}

Status ZipScan::record(uint32_t index) {
  TRY(scanner_.stopped());
  const Record& row = archive_->records()[index];
  const Payload& place = payloads_[index];
  if (!place.known || place.size == 0) return {};
  if (row.method == kDeflated) return deflated(index);
  if (row.method != kStored) {
    scanner_.unread("the record is compressed with zip method " + std::to_string(row.method) +
                        ", which is not read",
                    inside(row.name, row.header_offset, true), 0);
    return {};
  }
  SourcePart bytes(source_, place.offset, place.size);
  return scanner_.scan_record(bytes, inside(row.name, place.offset, true), row.name, row.flags);
}

Status ZipScan::deflated(uint32_t index) {
  const Record& row = archive_->records()[index];
  const Payload& place = payloads_[index];
  const auto unread = [&](const std::string& why) -> Status {
    scanner_.unread("the record cannot be inflated: " + why, inside(row.name, place.offset, true),
                    0);
    return {};
  };
  if (row.size == 0) return {};
  if (!can_inflate_to(place.size, row.size))
    return unread("it claims to become " + bytes_text(row.size) + ", and has " +
                  bytes_text(place.size));
  if (row.size > kInflatedAtOnce && !is_named_pickle(row.name)) {
    TRY_ASSIGN(const bool loadable, begins_loadable(place));
    if (!loadable) return {};
  }
  const uint64_t room = scanner_.room_for_inflated();
  if (row.size > room)
    return unread("it becomes " + bytes_text(row.size) + ", and " + std::to_string(room) +
                  " are looked at");
  scanner_.inflated_left_ -= row.size;
  // More than what cannot be compressed takes says nothing.
  std::vector<std::byte> room_for_stored;
  TRY_ASSIGN(const ByteSpan stored,
             bytes_at(source_, place.offset,
                      std::min(place.size, row.size + row.size / 64 + kSlack), room_for_stored));
  std::vector<std::byte> bytes(static_cast<size_t>(row.size));
  Inflated done;
  if (const Status outcome = inflate(stored, bytes, done); !outcome.ok()) {
    TRY(unread(outcome.failure().message));
  } else if (done.bytes != row.size || !done.ended) {
    TRY(unread("it becomes " + std::string(done.ended ? "" : "more than ") +
               bytes_text(done.bytes) + " where the archive says " + std::to_string(row.size)));
  }
  if (done.bytes == 0) return {};
  // What comes before a break runs all the same where a reader does not wait for the end.
  SpanSource inflated(ByteSpan(bytes).first(static_cast<size_t>(done.bytes)));
  return scanner_.scan_record(inflated, inside(row.name, place.offset, false), row.name, row.flags);
}

// Whether what deflated bytes become begins as something that is loaded; what breaks may.
Result<bool> ZipScan::begins_loadable(const Payload& place) {
  std::vector<std::byte> room_for_stored;
  TRY_ASSIGN(
      const ByteSpan stored,
      bytes_at(source_, place.offset, std::min(place.size, kInflatedAtOnce), room_for_stored));
  std::byte first{};
  if (!inflate(stored, {&first, 1}).ok()) return true;
  return kLoadable.find(std::to_integer<char>(first)) != std::string_view::npos;
}

Status Scanner::scan_record(Source& bytes, const PicklePlace& place, std::string_view name,
                            uint16_t flags) {
  if (too_deep(place)) return {};
  std::array<std::byte, 20> room{};
  const auto head = std::span(room).first(std::min<size_t>(room.size(), bytes.size()));
  TRY(bytes.read(0, head));
  const bool archive = as_text(head).starts_with("PK\3\4");
  const bool encrypted = (flags & kEncryptedFlag) != 0;
  const bool expected = is_named_pickle(name) && !archive && packing_of(head) == Packing::kNone;
  if (expected && !encrypted) {
    search_room_ += kSweepChunk + 4 * bytes.size();
    return stream(bytes, place, Sure::kExpected);
  }
  const uint64_t before = pickles_;
  TRY(scan(bytes, place));
  const bool found = pickles_ > before;
  if (archive) {
    if (!is_pt2_)
      add_finding(report_, "safe/nested-archive",
                  "the record is an archive of " + bytes_text(bytes.size()), place, 0);
  } else if (found && !expected && !name.ends_with(".npy") && !name.ends_with(".debug_pkl")) {
    add_finding(report_, "safe/nested-pickle", "the record is a pickle by what is in it", place, 0);
  } else if (!found && encrypted) {
    unread("the record is encrypted", place, 0);
  }
  return {};
}

void ZipScan::count_code() {
  uint64_t files = 0;
  for (const Record& row : archive_->records()) {
    const auto name = archive_->name_in_root(row).value_or(row.name);
    files += name.ends_with(".py") ? 1 : 0;
  }
  if (files == 0) return;
  add_finding(scanner_.report_, "safe/code",
              "the archive has " + std::to_string(files) +
                  (files == 1 ? " file of code" : " files of code"),
              place_, place_.offset);
}

// Between payloads there are headers and, behind them, a descriptor.
Status ZipScan::gaps() {
  const auto& records = archive_->records();
  std::vector<uint32_t> order(records.size());
  for (uint32_t i = 0; i < order.size(); ++i) order[i] = i;
  const auto by_place = [&](uint32_t a, uint32_t b) {
    return records[a].header_offset < records[b].header_offset;
  };
  if (!std::is_sorted(order.begin(), order.end(), by_place))
    std::sort(order.begin(), order.end(), by_place);
  uint64_t at = 0;
  for (size_t i = 0; i < order.size(); ++i) {
    const Record& row = records[order[i]];
    if (row.header_offset > at)
      TRY(gap(at, row.header_offset, i == 0 ? "before the first record" : "between two records"));
    const Payload& place = payloads_[order[i]];
    if (!place.known) {
      at = std::max(at, row.end);
      continue;
    }
    at = std::max(at, place.offset + place.size);
    if ((row.flags & kDescriptorFlag) == 0) continue;
    // CRC and two sizes, of 4 or 8 bytes, with a signature that need not be there.
    const uint64_t next =
        i + 1 < order.size() ? records[order[i + 1]].header_offset : archive_->directory_offset();
    const uint64_t left = next > at ? next - at : 0;
    const bool marked = left >= 16 && is_word(source_, at, kDescriptorStart);
    const uint64_t wide = marked ? 24 : 20, narrow = marked ? 16 : 12;
    if (left == wide || left == narrow) {
      at = next;
    } else if (marked) {
      at += left > wide && is_word(source_, at + narrow, kLocalSignature) ? narrow
                                                                          : std::min(left, wide);
    }
  }
  if (archive_->directory_offset() > at)
    TRY(gap(at, archive_->directory_offset(), "between the last record and the directory"));
  return {};
}

// Bytes [from, to) of the archive that belong to no record. Zeros fill up, and say nothing.
Status ZipScan::gap(uint64_t from, uint64_t to, const char* where) {
  std::vector<std::byte> room_for_chunk;
  bool filled = true;
  for (uint64_t at = from; at < to && filled; at += kSweepChunk) {
    TRY_ASSIGN(const ByteSpan chunk,
               bytes_at(source_, at, std::min<uint64_t>(kSweepChunk, to - at), room_for_chunk));
    filled = std::all_of(chunk.begin(), chunk.end(), [](std::byte b) { return b == std::byte{}; });
  }
  if (filled) return {};
  add_finding(scanner_.report_, "safe/hidden-bytes", bytes_text(to - from) + " " + where, place_,
              place_.offset + from);
  if (is_word(source_, from, kLocalSignature)) {
    disagreement("a record at byte " + std::to_string(from) + " is not in the directory", "", from);
    uint64_t done = from;
    TRY(local_header(from, done));
  }
  PicklePlace here = place_;
  here.offset += from;
  SourcePart bytes(source_, from, to - from);
  const uint64_t before = scanner_.pickles_;
  scanner_.search_room_ += 4 * (to - from) + kSweepChunk;
  for (uint64_t at = 0; at < bytes.size();) {
    TRY_ASSIGN(const Scanner::Attempt found,
               scanner_.attempt(bytes, here, at, Scanner::Sure::kPossible));
    if (found.counted) {
      at = std::max(found.next, at + 1);
      continue;
    }
    uint64_t next = at;
    TRY(scanner_.search(bytes, here, at, bytes.size(), next));
    if (next == at) break;
    at = next;
  }
  if (scanner_.pickles_ > before)
    add_finding(scanner_.report_, "safe/second-pickle", "a pickle stands " + std::string(where),
                place_, place_.offset + from);
  return {};
}

// Behind the directory come the end records and a comment.
Status ZipScan::tail() {
  uint64_t at = archive_->directory_end();
  std::array<std::byte, kEndBytes> bytes;
  const auto left = [&] { return source_.size() - at; };
  if (is_word(source_, at, kEnd64Start) && left() >= 12) {
    TRY(source_.read(at, std::span(bytes).first(12)));
    const auto size = load_le<uint64_t>(&bytes[4]);
    if (size <= left() - 12) at += 12 + size;
  }
  if (is_word(source_, at, kLocatorStart) && left() >= kLocatorBytes) at += kLocatorBytes;
  if (!is_word(source_, at, kEndStart) || left() < kEndBytes)
    return gap(at, source_.size(), "behind the directory");
  TRY(source_.read(at, bytes));
  at += kEndBytes;
  const uint64_t comment = std::min<uint64_t>(load_le<uint16_t>(&bytes[20]), left());
  if (comment > 0) TRY(gap(at, at + comment, "in the comment of the archive"));
  at += comment;
  if (at < source_.size()) TRY(gap(at, source_.size(), "behind the archive"));
  return {};
}

// An archive that the strict reader does not read: what there is of it is looked for.
Status ZipScan::refused(const Status& why) {
  const Code code = why.code();
  if (code == Code::kIo || code == Code::kFileChanged || code == Code::kCancelled)
    return Status(why.failure());
  const Failure& failure = why.failure();
  if (code == Code::kBadArchive) {
    disagreement(failure.message, failure.record, failure.offset.value_or(0));
  } else {
    scanner_.unread(failure.message, place_, place_.offset + failure.offset.value_or(0));
  }
  return sweep();
}

// Every local header there is, and every pickle that says its protocol.
Status ZipScan::sweep() {
  scanner_.search_room_ += 4 * source_.size() + kSweepChunk;
  uint64_t done = 0;  // nothing before it is looked at again
  std::vector<std::byte> chunk;
  for (uint64_t start = 0; start < source_.size(); start += kSweepChunk) {
    TRY(scanner_.stopped());
    chunk.resize(static_cast<size_t>(std::min<uint64_t>(kSweepChunk + 3, source_.size() - start)));
    TRY(source_.read(start, chunk));
    const size_t last = std::min(chunk.size(), kSweepChunk);
    for (size_t i = 0; i < last; ++i) {
      const uint64_t at = start + i;
      const ByteSpan seen = ByteSpan(chunk).subspan(i);
      const bool header = as_text(seen).starts_with("PK\3\4");
      const bool protocol = seen.size() >= 2 && seen[0] == std::byte{0x80} &&
                            seen[1] >= std::byte{2} && seen[1] <= std::byte{5};
      if (at < done || (!header && !protocol)) continue;
      if (scanner_.searched_ > scanner_.search_room_) {
        scanner_.unread(
            "bytes from " + std::to_string(at) + " on could hide pickles, too many to look at",
            place_, place_.offset + at);
        return {};
      }
      if (header) {
        TRY(local_header(at, done));
      } else {
        TRY_ASSIGN(const Scanner::Attempt found,
                   scanner_.attempt(source_, place_, at, Scanner::Sure::kPossible));
        if (found.counted) done = std::max(found.next, at + 1);
      }
    }
  }
  return {};
}

// A record that nothing but its own header tells of.
Status ZipScan::local_header(uint64_t offset, uint64_t& done) {
  std::array<std::byte, kLocalSize> header;
  if (!fits(offset, header.size(), source_.size())) return {};
  TRY(source_.read(offset, header));
  const uint64_t name_size = load_le<uint16_t>(&header[26]);
  const uint64_t before = kLocalSize + name_size + load_le<uint16_t>(&header[28]);
  if (!fits(offset, before, source_.size())) return {};
  std::string name(static_cast<size_t>(name_size), '\0');
  TRY(source_.read(offset + kLocalSize, std::as_writable_bytes(std::span(name))));
  const uint64_t start = offset + before;
  if (start == source_.size()) return {};
  const PicklePlace here = inside(name, start, true);
  if (scanner_.too_deep(here)) return {};
  if (load_le<uint16_t>(&header[8]) != kStored) {
    scanner_.unread("a record of an archive that is refused is compressed", here, 0);
    return {};
  }
  SourcePart bytes(source_, start, source_.size() - start);
  const auto sure = is_named_pickle(name) ? Scanner::Sure::kExpected : Scanner::Sure::kPossible;
  TRY_ASSIGN(const Scanner::Attempt found, scanner_.attempt(bytes, here, 0, sure));
  if (found.counted) done = start + std::max<uint64_t>(found.next, 1);
  return {};
}

}  // namespace torchmap
