// Archives that are to be read: torch's, other writers', large ones, odd ones.
#include "core/archive/zip.h"

#include <algorithm>

#include "check.h"
#include "files.h"
#include "zip_bytes.h"
#include "zip_opened.h"

using namespace torchmap;
using namespace torchmap::check;

TEST(zip_reads_what_torch_writes) {
  Opened zip(torch_zip().finish());
  ASSERT_TRUE(zip.ok());
  const auto& records = zip.archive->records();
  ASSERT_EQ(records.size(), 5);
  EXPECT_EQ(zip.archive->root(), "archive");
  EXPECT_EQ(records[0].name, "archive/data.pkl");
  EXPECT_EQ(records[2].size, 24);
  EXPECT_EQ(records[2].stored_size, 24);
  EXPECT_EQ(records[2].crc, crc32_of(std::string(24, '\1')));
  EXPECT_EQ(records[2].flags, 0x0808);
  EXPECT_EQ(zip.payload("data/0"), std::string(24, '\1'));
  EXPECT_EQ(zip.payload("data/1"), "");
  EXPECT_EQ(zip.payload("version"), "3\n");
  for (uint32_t i = 0; i < records.size(); ++i) {
    EXPECT_EQ(zip.archive->payload_offset(*zip.source, i).value() % 64, 0);
    EXPECT_LE(records[i].end, zip.archive->directory_offset());
  }
}

TEST(zip_reads_what_others_write) {
  ZipBytes zip;
  zip.torch = false;
  zip.add("m/", "");
  zip.add("m/data.pkl", "pickle");
  zip.add("m/data/", "");
  zip.add("m/data/0", "bytes");
  zip.comment = "made by hand";
  Opened opened(zip.finish());
  ASSERT_TRUE(opened.ok());
  EXPECT_EQ(opened.archive->root(), "m");
  EXPECT_EQ(opened.payload("data.pkl"), "pickle");
  EXPECT_EQ(opened.payload("data/0"), "bytes");
}

TEST(zip_find_ignores_case_after_exact) {
  ZipBytes zip;
  zip.add("Root/DATA.PKL", "upper");
  zip.add("Root/data/a", "lower a");
  zip.add("Root/data/A", "upper A");
  zip.add("other/version", "3");
  zip.add("README", "text");
  Opened opened(zip.finish());
  ASSERT_TRUE(opened.ok());
  EXPECT_EQ(opened.payload("data.pkl"), "upper");
  EXPECT_EQ(opened.payload("data/A"), "upper A");
  EXPECT_EQ(opened.payload("data/a"), "lower a");
  EXPECT_EQ(opened.payload("DATA/a"), "lower a");
  for (const char* name : {"version", "README", "other/version", "Root/data/a", "", "data/b"}) {
    EXPECT_EQ(opened.archive->find(name), ZipArchive::kNone);
  }
  EXPECT_FALSE(opened.archive->name_in_root(opened.archive->records()[4]).has_value());
}

TEST(zip_without_root) {
  ZipBytes zip;
  zip.add("data.pkl", "pickle");
  zip.add("data/0", "bytes");
  Opened opened(zip.finish());
  ASSERT_TRUE(opened.ok());
  EXPECT_EQ(opened.archive->root(), "");
  EXPECT_EQ(opened.payload("data/0"), "bytes");
}

TEST(zip_names_are_only_names) {
  ZipBytes zip;
  const std::string nul("a/x\0y", 5);
  for (const std::string& name :
       {std::string("a/../../etc/passwd"), nul, std::string("/etc/passwd"), std::string("a\\b"),
        std::string(), std::string("a/\xFF"), std::string(65535, 'n')}) {
    zip.add(name, name.substr(0, 9));
  }
  Opened opened(zip.finish());
  ASSERT_TRUE(opened.ok());
  EXPECT_EQ(opened.payload("../../etc/passwd"), "a/../../e");
  EXPECT_EQ(opened.payload(std::string_view("x\0y", 3)), nul);
  EXPECT_EQ(opened.payload("x"), "? not found");
  EXPECT_EQ(opened.archive->payload(*opened.source, 6).value().size(), 9);
}

TEST(zip_empty) {
  for (const bool torch : {true, false}) {
    ZipBytes zip;
    zip.torch = torch;
    Opened opened(zip.finish());
    ASSERT_TRUE(opened.ok());
    EXPECT_TRUE(opened.archive->records().empty());
    EXPECT_EQ(opened.archive->find("data.pkl"), ZipArchive::kNone);
  }
}

TEST(zip_trailing_bytes) {
  const std::string whole = torch_zip().finish();
  Opened zip(whole + std::string(100, '\0'));
  ASSERT_TRUE(zip.ok());
  EXPECT_EQ(zip.payload("version"), "3\n");
  EXPECT_TRUE(Opened(whole + std::string(65535, 'x')).ok());
  expect_fails(whole + std::string(65536, 'x'), Code::kTruncated);
}

TEST(zip_comment_holding_an_end_record) {
  ZipBytes zip = torch_zip();
  zip.torch = false;
  // Neither of nothing nor of a directory that is not there.
  ZipBytes nothing;
  nothing.torch = false;
  zip.comment = nothing.finish() + "PK\5\6" + le(0, 4) + le(1, 2) + le(1, 2) + le(99, 4) +
                le(7, 4) + le(0, 2) + "...";
  Opened opened(zip.finish());
  ASSERT_TRUE(opened.ok());
  EXPECT_EQ(opened.archive->records().size(), 5);
}

// What is read first ends somewhere among them.
TEST(zip_comments_of_all_lengths) {
  for (size_t length = 0; length < 1100; ++length) {
    ZipBytes zip = torch_zip();
    zip.comment = std::string(length, 'P');
    Opened opened(zip.finish());
    ASSERT_TRUE(opened.ok());
    EXPECT_EQ(opened.archive->records().size(), 5);
  }
}

TEST(zip_longest_comment) {
  ZipBytes zip = torch_zip();
  zip.comment = std::string(65535, 'P');
  EXPECT_TRUE(Opened(zip.finish()).ok());
}

TEST(zip_two_end_records) {
  // The last whose directory is there counts, as in torch.
  ZipBytes zip;
  zip.torch = false;
  zip.add("a/one", "1");
  const size_t first = zip.bytes.size();
  const std::string list = zip.directory();
  std::string bytes = zip.bytes + list + zip.end(first, list.size());
  zip.bytes = bytes;
  zip.add("a/two", "2");
  Opened opened(zip.finish());
  ASSERT_TRUE(opened.ok());
  EXPECT_EQ(opened.payload("one"), "1");
  EXPECT_EQ(opened.payload("two"), "2");
}

TEST(zip_behind_a_prefix) {
  // As torch's offsets are after `cat stub archive.pt`.
  for (const bool torch : {true, false}) {
    ZipBytes zip;
    zip.torch = torch;
    zip.add("a/one", "1");
    zip.add("a/two", "22");
    Opened opened("#!/usr/bin/env something\n" + zip.finish());
    ASSERT_TRUE(opened.ok());
    EXPECT_EQ(opened.payload("two"), "22");
  }
  // With offsets that count the prefix, as zipfile appends.
  ZipBytes zip;
  zip.bytes = "#!/usr/bin/env something\n";
  zip.add("a/one", "1");
  EXPECT_EQ(Opened(zip.finish()).payload("one"), "1");
}

TEST(zip_directory_may_be_signed) {
  ZipBytes zip;
  zip.torch = false;
  zip.add("a/one", "1");
  const std::string list = zip.directory() + "PK\5\5" + le(3, 2) + "sig";
  EXPECT_EQ(Opened(zip.bytes + list + zip.end(zip.bytes.size(), list.size())).payload("one"), "1");
}

TEST(zip_limit_of_records) {
  Limits limits;
  limits.records = 5;
  EXPECT_TRUE(Opened(torch_zip().finish(), limits).ok());
  limits.records = 4;
  Opened zip(torch_zip().finish(), limits);
  ASSERT_FALSE(zip.ok());
  EXPECT_EQ(zip.failure().code, Code::kLimitRecords);
  EXPECT_EQ(zip.failure().limit, 4);
  EXPECT_EQ(zip.failure().actual, 5);
}

TEST(zip_records_in_any_order) {
  ZipBytes zip = torch_zip();
  std::reverse(zip.entries.begin(), zip.entries.end());
  Opened opened(zip.finish());
  ASSERT_TRUE(opened.ok());
  EXPECT_EQ(opened.payload("data/0"), std::string(24, '\1'));
}

TEST(zip_compression) {
  const auto payload_of = [](uint16_t method, uint16_t flags) {
    ZipBytes zip;
    zip.torch = false;
    ZipBytes::Entry entry;
    entry.name = "a/one";
    entry.method = method;
    entry.flags = flags;
    entry.stored_size = 3;
    entry.size = method == 0 ? 3 : 100;
    zip.add(entry, "xyz");
    return Opened(zip.finish()).payload("one");
  };
  EXPECT_EQ(payload_of(0, 0), "xyz");
  EXPECT_EQ(payload_of(8, 0), "xyz");
  EXPECT_EQ(payload_of(12, 0), "? UNSUPPORTED_COMPRESSION");
  EXPECT_EQ(payload_of(0, 1), "? UNSUPPORTED_COMPRESSION");
  EXPECT_EQ(payload_of(8, 1 << 6 | 1), "? UNSUPPORTED_COMPRESSION");
}

TEST(zip64_sparse_file) {
  // A record of 5 GiB of holes, one behind it, and the directory behind 4 GiB.
  const uint64_t size = (uint64_t{5} << 30) + 7;
  ZipBytes zip;
  ZipBytes::Entry entry;
  entry.name = "big/data/0";
  entry.size = entry.stored_size = size;
  zip.add(entry, "");
  const std::string head = zip.bytes;
  const uint64_t second = head.size() + size;
  zip.bytes.clear();
  zip.add("big/data/1", "second");
  zip.entries[1].header_offset = second;
  const std::string list = zip.directory();
  const uint64_t directory = second + zip.bytes.size();

  TemporaryFile file(head);
  file.write(second, zip.bytes + list + zip.end(directory, list.size()));
  ASSERT_TRUE(file.ok());
  for (const bool map : {true, false}) {
    Opened opened(open_file(file.path(), {map}).value());
    ASSERT_TRUE(opened.ok());
    EXPECT_EQ(opened.archive->records()[0].size, size);
    EXPECT_EQ(opened.archive->directory_offset(), directory);
    EXPECT_EQ(opened.archive->payload_offset(*opened.source, 0).value(), head.size());
    EXPECT_EQ(opened.payload("data/1"), "second");
  }
}

TEST(zip_many_records) {
  ZipBytes zip;
  zip.alignment = 1;
  constexpr int kCount = 70'000;  // more than the short end record can count
  for (int i = 0; i < kCount; ++i) zip.add("m/data/" + std::to_string(i), std::to_string(i));
  Opened opened(zip.finish());
  ASSERT_TRUE(opened.ok());
  EXPECT_EQ(opened.archive->records().size(), kCount);
  for (int i = 0; i < kCount; i += 999) {
    EXPECT_EQ(opened.payload("data/" + std::to_string(i)), std::to_string(i));
  }
}
