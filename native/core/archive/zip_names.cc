// Finding records by name: without case and below the archive's root, as torch does.
// Facts: mz_zip_reader_locate_file without MZ_ZIP_FLAG_CASE_SENSITIVE; PyTorchStreamReader::init
// and getRecordID (v2.13).
#include <algorithm>
#include <bit>
#include <string>

#include "core/archive/zip.h"
#include "core/hash.h"
#include "core/text.h"

namespace torchmap {

namespace {

// Longest run of occupied slots. A table that is half empty stays far below; only names made to
// collide come here, and would otherwise cost quadratic time.
constexpr size_t kMaxRun = 512;

// The folder of the storages.
constexpr std::string_view kDataFolder = "data/";

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

  const auto twice = [](const Record& record) {
    return Status(Code::kBadArchive, "the archive holds this record twice")
        .at(record.header_offset)
        .in(record.name);
  };
  // Storages are counted, so that theirs need no hash: nearly all names of a large archive.
  const size_t most_numbers = records_.size() * 2 + 64;
  std::vector<uint32_t> others;
  for (uint32_t i = 0; i < records_.size(); ++i) {
    const std::optional<std::string_view> name = name_in_root(records_[i]);
    const auto number = name && name->starts_with(kDataFolder)
                            ? plain_number(name->substr(kDataFolder.size()))
                            : std::nullopt;
    if (!number || *number >= most_numbers) {
      others.push_back(i);
      continue;
    }
    if (*number >= numbered_.size()) {
      const size_t size = std::max<size_t>(*number + 1, records_.size());
      numbered_.resize(std::min(size + size / 2, most_numbers), kNone);
    }
    if (numbered_[*number] != kNone) return twice(records_[i]);
    numbered_[*number] = i;
  }

  table_.resize(std::bit_ceil(others.size() * 2 + 1));
  const size_t mask = table_.size() - 1;
  for (const uint32_t i : others) {
    const Record& record = records_[i];
    // Records outside the root are never found, but their names count as taken, too.
    const std::optional<std::string_view> name = name_in_root(record);
    const uint64_t hash = name ? hash_name(*name, 0) : hash_name(record.name, 1);
    const uint32_t tag = tag_of(hash);
    size_t slot = static_cast<size_t>(hash) & mask;
    for (size_t run = 0; table_[slot].record != kNone; ++run) {
      if (table_[slot].tag == tag && records_[table_[slot].record].name == record.name) {
        return twice(record);
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

uint32_t ZipArchive::find_data(std::string_view key) const {
  if (const auto number = plain_number(key); number && *number < numbered_.size()) {
    if (numbered_[*number] != kNone) return numbered_[*number];
  }
  return find(std::string(kDataFolder) + std::string(key));
}

uint32_t ZipArchive::find(std::string_view name) const {
  if (table_.empty()) return kNone;
  const size_t mask = table_.size() - 1;
  const uint64_t hash = hash_name(name, 0);
  uint32_t close = kNone;
  if (name.size() > kDataFolder.size() &&
      equal_but_case(name.substr(0, kDataFolder.size()), kDataFolder)) {
    const auto number = plain_number(name.substr(kDataFolder.size()));
    if (number && *number < numbered_.size()) close = numbered_[*number];
    if (close != kNone && name.starts_with(kDataFolder)) return close;
  }
  for (size_t slot = static_cast<size_t>(hash) & mask; table_[slot].record != kNone;
       slot = (slot + 1) & mask) {
    if (table_[slot].tag != tag_of(hash)) continue;
    const uint32_t index = table_[slot].record;
    const std::optional<std::string_view> stored = name_in_root(records_[index]);
    if (!stored) continue;
    if (*stored == name) return index;
    // Of several the first in the directory.
    if (index < close && equal_but_case(*stored, name)) close = index;
  }
  return close;
}

}  // namespace torchmap
