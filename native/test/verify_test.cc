#include <algorithm>

#include "check.h"
#include "core/verify/archive.h"
#include "files.h"
#include "zip_bytes.h"

using namespace torchmap;
using namespace torchmap::check;

namespace {

std::string noise(size_t size) {
  std::string text(size, '\0');
  uint32_t state = 7;
  for (char& c : text) c = static_cast<char>((state = state * 1664525 + 1013904223) >> 24);
  return text;
}

Result<std::vector<CheckedRecord>> verify(const std::string& bytes, VerifyOptions options = {}) {
  MemorySource source(as_bytes(bytes));
  return verify_archive(source, options);
}

VerifyOptions with_threads(uint32_t threads, std::atomic<uint64_t>* done = nullptr) {
  VerifyOptions options;
  options.threads = threads;
  options.done = done;
  return options;
}

// Adds an entry of `payload` as it is, whatever the directory says of it.
void add(ZipBytes& zip, std::string name, std::string_view payload, uint32_t crc,
         uint16_t method = 0, uint16_t flags = 0, std::string local_name = {}) {
  ZipBytes::Entry entry;
  entry.name = std::move(name);
  entry.local_name = std::move(local_name);
  entry.stored_size = payload.size();
  entry.size = method == 0 ? payload.size() : 9;
  entry.crc = crc;
  entry.flags = flags;
  entry.method = method;
  zip.add(std::move(entry), payload);
}

// Where a payload lies that is in the archive once.
size_t place_of(const std::string& bytes, const std::string& payload) {
  return bytes.find(payload);
}

}  // namespace

TEST(verify_whole_archive) {
  auto rows = verify(torch_zip().finish());
  ASSERT_TRUE(rows.ok());
  EXPECT_EQ(rows->size(), torch_zip().entries.size());
  for (const CheckedRecord& row : *rows) {
    EXPECT_TRUE(row.verdict == Verdict::kOk);
    EXPECT_EQ(row.actual, row.expected);
    EXPECT_EQ(row.fault, "");
  }
  EXPECT_EQ((*rows)[2].name, "archive/data/0");
  EXPECT_EQ((*rows)[2].expected, crc32_of(std::string(24, '\1')));
}

// Three pieces and a bit, by one thread and by four; a flipped bit in each piece and at its
// borders.
TEST(verify_large_record_in_pieces) {
  ZipBytes zip;
  const std::string large = noise((size_t{48} << 20) + 77);
  zip.add("archive/data.pkl", "abcdef");
  zip.add("archive/data/0", large);
  zip.add("archive/data/1", noise(1000));
  std::string bytes = zip.finish();
  const uint64_t payload = place_of(bytes, large.substr(0, 100));
  for (const uint32_t threads : {1u, 4u}) {
    std::atomic<uint64_t> done = 0;
    auto rows = verify(bytes, with_threads(threads, &done));
    ASSERT_TRUE(rows.ok());
    for (const CheckedRecord& row : *rows) EXPECT_TRUE(row.verdict == Verdict::kOk);
    EXPECT_EQ((*rows)[1].offset, payload);
    EXPECT_EQ(done.load(), 6 + large.size() + 1000);
    for (const size_t at :
         {size_t{0}, (size_t{16} << 20) - 1, size_t{16} << 20, large.size() - 1}) {
      bytes[payload + at] = static_cast<char>(bytes[payload + at] ^ 1);
      rows = verify(bytes, with_threads(threads));
      bytes[payload + at] = static_cast<char>(bytes[payload + at] ^ 1);
      ASSERT_TRUE(rows.ok());
      EXPECT_TRUE((*rows)[0].verdict == Verdict::kOk);
      EXPECT_TRUE((*rows)[1].verdict == Verdict::kMismatch);
      EXPECT_NE((*rows)[1].actual, (*rows)[1].expected);
      EXPECT_TRUE((*rows)[2].verdict == Verdict::kOk);
    }
  }
}

// Thousands of records, which are read many at once, with a large one and an unchecked one between
// them; in the order of the file and in others.
TEST(verify_small_records_together) {
  ZipBytes zip;
  uint64_t sum = 0;
  for (size_t i = 0; i < 3000; ++i) {
    const size_t size = i == 1500 ? 700'000 : i % 7 == 0 ? 0 : i * 37 % 3001;
    zip.add("archive/data/" + std::to_string(i), noise(size));
    sum += size;
  }
  add(zip, "archive/absent", "abc", 0);
  const auto in_order = zip.entries;
  const auto is_whole = [&](const std::string& bytes, std::string_view but = {}) {
    for (const uint32_t threads : {1u, 4u}) {
      std::atomic<uint64_t> done = 0;
      auto rows = verify(bytes, with_threads(threads, &done));
      if (!rows.ok() || rows->size() != in_order.size()) return false;
      for (const CheckedRecord& row : *rows) {
        const Verdict wanted = row.name == but                ? Verdict::kMismatch
                               : row.name == "archive/absent" ? Verdict::kAbsent
                                                              : Verdict::kOk;
        if (row.verdict != wanted) return false;
      }
      if (but.empty() && done.load() != sum) return false;
    }
    return true;
  };
  for (int order = 0; order < 3; ++order) {
    if (order == 1) std::swap(zip.entries[3], zip.entries[2500]);
    if (order == 2) std::reverse(zip.entries.begin(), zip.entries.end());
    ZipBytes copy = zip;
    std::string bytes = copy.finish();
    EXPECT_TRUE(is_whole(bytes));
    for (const size_t i : {size_t{1}, size_t{1499}, size_t{1500}, size_t{1501}, size_t{2999}}) {
      const ZipBytes::Entry& entry = in_order[i];
      const size_t next = in_order[i + 1].header_offset;
      // The first letter of its own header's name, and the last byte in front of its descriptor.
      for (const size_t at : {entry.header_offset + 30, next - 17}) {
        bytes[at] = static_cast<char>(bytes[at] ^ 1);
        EXPECT_TRUE(is_whole(bytes, entry.name));
        bytes[at] = static_cast<char>(bytes[at] ^ 1);
      }
    }
  }
}

TEST(verify_every_byte_of_a_payload_counts) {
  std::string bytes = torch_zip().finish();
  const uint64_t payload = place_of(bytes, std::string(24, '\1'));
  for (size_t at = 0; at < 24; ++at) {
    for (const char bit : {'\1', '\x80'}) {
      bytes[payload + at] = static_cast<char>(bytes[payload + at] ^ bit);
      auto rows = verify(bytes);
      ASSERT_TRUE(rows.ok());
      for (const CheckedRecord& row : *rows)
        EXPECT_EQ(row.verdict == Verdict::kMismatch, row.name == "archive/data/0");
      bytes[payload + at] = static_cast<char>(bytes[payload + at] ^ bit);
    }
  }
}

TEST(verify_tells_what_it_cannot_check) {
  ZipBytes zip;
  zip.torch = false;
  add(zip, "a/absent", "abc", 0);
  add(zip, "a/deflated", "abc", 5, 8);
  add(zip, "a/encrypted", "abc", 5, 0, 1);
  add(zip, "a/lzma", "abc", 5, 14);
  add(zip, "a/empty", "", 0);
  add(zip, "a/empty with a CRC", "", 5);
  add(zip, "a/renamed", "abc", 5, 0, 0, "a/another");
  auto rows = verify(zip.finish());
  ASSERT_TRUE(rows.ok());
  constexpr Verdict kWanted[] = {Verdict::kAbsent,  Verdict::kMismatch, Verdict::kNone,
                                 Verdict::kNone,    Verdict::kOk,       Verdict::kMismatch,
                                 Verdict::kMismatch};
  ASSERT_EQ(rows->size(), 7);
  for (size_t i = 0; i < 7; ++i) EXPECT_TRUE((*rows)[i].verdict == kWanted[i]);
  EXPECT_TRUE((*rows)[1].fault.starts_with("a deflated record is damaged: "));
  EXPECT_EQ((*rows)[2].fault, "the record is encrypted");
  EXPECT_EQ((*rows)[3].fault, "the record is compressed with method 14");
  EXPECT_NE((*rows)[6].fault, "");
}

TEST(verify_stops) {
  const std::atomic<bool> cancelled = true;
  VerifyOptions options;
  options.cancelled = &cancelled;
  auto rows = verify(torch_zip().finish(), options);
  ASSERT_FALSE(rows.ok());
  EXPECT_TRUE(rows.status().code() == Code::kCancelled);
}

TEST(verify_fails_where_there_is_no_archive) {
  auto rows = verify("no archive");
  ASSERT_FALSE(rows.ok());
  EXPECT_TRUE(rows.status().code() == Code::kTruncated);
}

// A reader lives on when the mapping goes, reads what the file holds and not what was written to
// the pages, and notices when the file becomes another.
TEST(verify_by_reader_of_a_file) {
  const std::string bytes = torch_zip().finish();
  TemporaryFile file(bytes);
  ASSERT_TRUE(file.ok());
  for (const bool map : {true, false}) {
    auto source = open_file(file.path(), {map});
    ASSERT_TRUE(source.ok());
    if (map) (*source)->mapped()[place_of(bytes, std::string(24, '\1'))] = std::byte{9};
    const std::shared_ptr<Source> reader = (*source)->reader();
    ASSERT_TRUE(reader != nullptr);
    (*source)->unmap();
    if (map) EXPECT_TRUE((*source)->reader() == nullptr);
    auto rows = verify_archive(*reader, with_threads(3));
    ASSERT_TRUE(rows.ok());
    for (const CheckedRecord& row : *rows) EXPECT_TRUE(row.verdict == Verdict::kOk);
  }
  auto source = open_file(file.path(), {});
  ASSERT_TRUE(source.ok());
  file.resize(bytes.size() - 1);
  auto rows = verify_archive(*(*source)->reader(), with_threads(1));
  ASSERT_FALSE(rows.ok());
  EXPECT_TRUE(rows.status().code() == Code::kFileChanged);
}

// More than is looked at in one go, at odd places.
TEST(verify_large_records_of_a_file) {
  ZipBytes zip;
  const std::string large = noise((size_t{18} << 20) + 4097), small = noise(5001);
  zip.add("archive/data.pkl", "abc");
  zip.add("archive/data/0", large);
  zip.add("archive/data/1", small);
  std::string bytes = zip.finish();
  const size_t payload = place_of(bytes, large.substr(0, 100));
  for (const size_t damaged :
       {size_t{0}, payload, payload + (size_t{1} << 20) + 5, payload + large.size() - 1}) {
    if (damaged != 0) bytes[damaged] = static_cast<char>(~bytes[damaged]);
    TemporaryFile file(bytes);
    ASSERT_TRUE(file.ok());
    for (const bool map : {true, false}) {
      auto source = open_file(file.path(), {map});
      ASSERT_TRUE(source.ok());
      for (const uint32_t threads : {1u, 3u}) {
        std::atomic<uint64_t> done = 0;
        auto rows = verify_archive(*(*source)->reader(), with_threads(threads, &done));
        ASSERT_TRUE(rows.ok());
        EXPECT_TRUE((*rows)[1].verdict == (damaged == 0 ? Verdict::kOk : Verdict::kMismatch));
        EXPECT_TRUE((*rows)[2].verdict == Verdict::kOk);
        EXPECT_EQ(done.load(), 3 + large.size() + small.size());
      }
    }
    if (damaged != 0) bytes[damaged] = static_cast<char>(~bytes[damaged]);
  }
}
