// Finding records by name: without case and below the archive's root, as torch does.
// Facts: mz_zip_reader_locate_file without MZ_ZIP_FLAG_CASE_SENSITIVE; PyTorchStreamReader::init
// and getRecordID (v2.13).
#include <bit>
#include <string>

#include "core/archive/zip.h"
#include "core/hash.h"

namespace torchmap {

namespace {

// Longest run of occupied slots. A table that is half empty stays far below; only names made to
// collide come here, and would otherwise cost quadratic time.
constexpr size_t kMaxRun = 512;

// Hash that is the same for names that differ in ASCII case only. Bit 5 tells upper from lower
// case; setting it everywhere mixes up a few other characters, which costs a comparison, not an
// error.
uint64_t hash_name(std::string_view name, uint64_t seed) {
  constexpr uint64_t kCase = 0x2020202020202020;
  uint64_t hash = name.size();
  for (; name.size() >= 8; name.remove_prefix(8)) {
    uint64_t word;
    std::memcpy(&word, name.data(), 8);
    hash = hash_mix(hash, word | kCase, seed);
  }
  hash = hash_mix(hash, hash_tail(name.data(), name.size()) | kCase, seed);
  return hash_mix(hash, 0, seed);
}

// The half of a hash that does not choose the slot.
uint32_t tag_of(uint64_t hash) { return static_cast<uint32_t>(hash >> 32); }

char lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + ('a' - 'A')) : c; }

bool equal_but_case(std::string_view a, std::string_view b) {
  if (a.size() != b.size()) return false;
  for (size_t i = 0; i < a.size(); ++i) {
    if (lower(a[i]) != lower(b[i])) return false;
  }
  return true;
}

}  // namespace

std::optional<std::string_view> ZipArchive::name_in_root(const Record& record) const {
  std::string_view name = record.name;
  if (root_.empty()) return name;
  if (name.size() <= root_.size() || name[root_.size()] != '/' || !name.starts_with(root_)) {
    return std::nullopt;
  }
  name.remove_prefix(root_.size() + 1);
  return name;
}

Status ZipArchive::index_names() {
  if (records_.empty()) return {};
  const std::string_view first = records_.front().name;
  const size_t slash = first.find('/');
  if (slash != std::string_view::npos) root_ = first.substr(0, slash);

  table_.resize(std::bit_ceil(records_.size() * 2));
  const size_t mask = table_.size() - 1;
  for (uint32_t i = 0; i < records_.size(); ++i) {
    const Record& record = records_[i];
    // Records outside the root are never found, but their names count as taken, too.
    const std::optional<std::string_view> name = name_in_root(record);
    const uint64_t hash = name ? hash_name(*name, 0) : hash_name(record.name, 1);
    const uint32_t tag = tag_of(hash);
    size_t slot = static_cast<size_t>(hash) & mask;
    for (size_t run = 0; table_[slot].record != kNone; ++run) {
      if (table_[slot].tag == tag && records_[table_[slot].record].name == record.name) {
        return Status(Code::kBadArchive, "the archive holds this record twice")
            .at(record.header_offset)
            .in(record.name);
      }
      if (run == kMaxRun) {
        return Status(Code::kBadArchive, "the archive's names are made to slow readers down")
            .in(record.name);
      }
      slot = (slot + 1) & mask;
    }
    table_[slot] = {i, tag};
  }
  return {};
}

bool ZipArchive::is_named(uint32_t record, std::string_view folder, std::string_view name) const {
  if (record >= records_.size()) return false;
  const auto stored = name_in_root(records_[record]);
  return stored && stored->size() == folder.size() + name.size() && stored->ends_with(name) &&
         stored->starts_with(folder);
}

uint32_t ZipArchive::find(std::string_view name) const {
  if (table_.empty()) return kNone;
  const size_t mask = table_.size() - 1;
  const uint64_t hash = hash_name(name, 0);
  uint32_t close = kNone;
  for (size_t slot = static_cast<size_t>(hash) & mask; table_[slot].record != kNone;
       slot = (slot + 1) & mask) {
    if (table_[slot].tag != tag_of(hash)) continue;
    const uint32_t index = table_[slot].record;
    const std::optional<std::string_view> stored = name_in_root(records_[index]);
    if (!stored) continue;
    if (*stored == name) return index;
    // Of several the first in the directory: slots of equal hash fill in that order.
    if (close == kNone && equal_but_case(*stored, name)) close = index;
  }
  return close;
}

}  // namespace torchmap
