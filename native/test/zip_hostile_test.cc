// Archives that are wrong, by accident or on purpose: each is refused with the right code, naming
// the record where one is concerned.
#include "check.h"
#include "core/archive/zip.h"
#include "zip_bytes.h"
#include "zip_opened.h"

using namespace torchmap;
using namespace torchmap::check;

namespace {

// Uses everything of an archive that may be anything but must not crash.
bool walk(std::string bytes) {
  const size_t size = bytes.size();
  Opened zip(std::move(bytes));
  if (!zip.ok()) {
    EXPECT_FALSE(zip.failure().message.empty());
    return false;
  }
  for (uint32_t i = 0; i < zip.archive->records().size(); ++i) {
    static_cast<void>(zip.archive->find(zip.archive->records()[i].name));
    auto payload = zip.archive->payload(*zip.source, i);
    if (payload.ok()) {
      EXPECT_LE(payload->size(), size);
    } else {
      EXPECT_FALSE(payload.status().failure().message.empty());
    }
  }
  return true;
}

std::string replaced(std::string bytes, size_t offset, std::string_view with) {
  return bytes.replace(offset, with.size(), with);
}

constexpr size_t kEnd = 22;
constexpr size_t kEnds = 22 + 20 + 56;  // with the zip64 records

}  // namespace

TEST(zip_truncated_anywhere) {
  const std::string whole = torch_zip().finish();
  for (size_t size = 0; size < whole.size(); ++size) {
    const std::string message = std::to_string(size) + " bytes without the archive's end record";
    expect_fails(whole.substr(0, size), Code::kTruncated, message);
  }
}

TEST(zip_bytes_missing_inside) {
  const std::string whole = torch_zip().finish();
  expect_fails(whole.substr(0, 100) + whole.substr(200), Code::kBadArchive, "are missing");
}

TEST(zip_every_byte_flipped) {
  for (const bool torch : {true, false}) {
    ZipBytes zip;
    zip.torch = torch;
    zip.add("r/data.pkl", "pickle");
    zip.add("r/data/0", std::string(20, 'x'));
    zip.add("r/data/1", "");
    const std::string whole = zip.finish();
    size_t opened = 0;
    for (size_t i = 0; i < whole.size(); ++i) {
      for (const int mask : {0x01, 0x80, 0xFF}) {
        std::string bytes = whole;
        bytes[i] = static_cast<char>(bytes[i] ^ mask);
        if (walk(std::move(bytes))) ++opened;
      }
    }
    EXPECT_GT(opened, 0);
  }
}

TEST(zip_behind_a_zip) {
  ZipBytes other;
  other.add("b/other", std::string(1000, 'x'));
  expect_fails(other.finish() + torch_zip().finish(), Code::kBadArchive, "two archives");
}

TEST(zip_inside_a_truncated_zip_is_not_it) {
  ZipBytes inner;
  inner.torch = false;
  inner.add("inner/one", "1");
  ZipBytes outer;
  outer.add("outer/extra", inner.finish() + "more");
  const std::string whole = outer.finish();
  expect_fails(whole.substr(0, whole.size() - 1), Code::kTruncated,
               "likely an incomplete download");
}

TEST(zip_count_lies) {
  ZipBytes zip;
  zip.torch = false;
  zip.add("a/one", "1");
  zip.add("a/two", "2");
  zip.lie_about_count = true;
  zip.count = 32767;
  expect_fails(ZipBytes(zip).finish(), Code::kBadArchive, "32767");
  zip.count = 3;
  expect_fails(ZipBytes(zip).finish(), Code::kBadArchive, "counts 3 records");
  zip.entries[0].extra = std::string(100, '\0');  // room for a third
  expect_fails(ZipBytes(zip).finish(), Code::kBadArchive, "fewer records");
  zip.entries[0].extra.clear();
  zip.count = 1;
  expect_fails(ZipBytes(zip).finish(), Code::kBadArchive, "goes on");
  zip.count = 0;
  expect_fails(ZipBytes(zip).finish(), Code::kBadArchive, "goes on");
  zip.torch = true;
  zip.count = uint64_t{1} << 63;
  expect_fails(ZipBytes(zip).finish(), Code::kBadArchive);
}

TEST(zip_duplicate_names) {
  ZipBytes zip = torch_zip();
  zip.add("archive/data.pkl", "other");
  expect_fails(zip.finish(), Code::kBadArchive, "twice", "archive/data.pkl");
  ZipBytes outside = torch_zip();
  outside.add("elsewhere", "1");
  outside.add("elsewhere", "2");
  expect_fails(outside.finish(), Code::kBadArchive, "twice", "elsewhere");
}

TEST(zip_overlap) {
  ZipBytes same = torch_zip();
  same.entries[2].header_offset = same.entries[0].header_offset;
  expect_fails(same.finish(), Code::kBadArchive, "share bytes", "archive/data.pkl");

  ZipBytes longer = torch_zip();
  longer.entries[0].size = longer.entries[0].stored_size = 200;
  expect_fails(longer.finish(), Code::kBadArchive, "share bytes", "archive/data.pkl");

  // The local extra field moves the payload into the next record.
  ZipBytes moved = torch_zip();
  moved.bytes = replaced(moved.bytes, 28, le(300, 2));
  Opened opened(moved.finish());
  ASSERT_TRUE(opened.ok());
  EXPECT_EQ(opened.payload("data.pkl"), "? BAD_RECORD");

  // Records without bytes share none.
  ZipBytes empty = torch_zip();
  empty.entries[3].header_offset = empty.entries[2].header_offset;
  EXPECT_TRUE(Opened(empty.finish()).ok());
}

TEST(zip_claims_past_the_directory) {
  for (const uint64_t size : {uint64_t{5000}, uint64_t{0xFFFFFFF0}, UINT64_MAX, UINT64_MAX - 29}) {
    ZipBytes zip = torch_zip();
    zip.entries[4].size = zip.entries[4].stored_size = size;
    expect_fails(zip.finish(), Code::kBadArchive, std::to_string(size), "archive/version");
  }
  for (const uint64_t offset : {uint64_t{5000}, uint64_t{0xFFFFFFF0}, UINT64_MAX}) {
    ZipBytes zip = torch_zip();
    zip.entries[3].header_offset = offset;
    expect_fails(zip.finish(), Code::kBadArchive, std::to_string(offset), "archive/data/1");
  }
  // Behind a prefix the offset and the prefix together must not wrap.
  ZipBytes zip;
  zip.add("a/one", "1");
  zip.entries[0].header_offset = UINT64_MAX - 3;
  expect_fails("prefix" + zip.finish(), Code::kBadArchive, "", "a/one");
}

TEST(zip_name_longer_than_the_directory) {
  ZipBytes zip;
  zip.add("a/one", "1");
  const size_t directory = zip.bytes.size();
  const std::string whole = zip.finish();
  for (const size_t field : {28u, 30u, 32u}) {
    expect_fails(replaced(whole, directory + field, le(0xFFFF, 2)), Code::kBadArchive, "past",
                 field == 28 ? "" : "a/one");
  }
}

TEST(zip_sizes_that_disagree) {
  ZipBytes zip = torch_zip();
  zip.entries[2].size = 25;
  expect_fails(zip.finish(), Code::kBadArchive, "two sizes, 24 and 25", "archive/data/0");
}

TEST(zip_local_header_of_another_record) {
  ZipBytes zip = torch_zip();
  zip.entries[0].name = "archive/data.pkx";
  Opened renamed(zip.finish());
  ASSERT_TRUE(renamed.ok());
  EXPECT_EQ(renamed.payload("data.pkx"), "? BAD_RECORD");

  ZipBytes shorter;
  shorter.torch = false;
  ZipBytes::Entry entry;
  entry.name = "a/one";
  entry.local_name = "a/other";
  entry.size = entry.stored_size = 9;
  shorter.add(entry, "bytes....");
  EXPECT_EQ(Opened(shorter.finish()).payload("one"), "? BAD_RECORD");

  ZipBytes unsigned_header = torch_zip();
  unsigned_header.bytes[0] = 'Q';
  EXPECT_EQ(Opened(unsigned_header.finish()).payload("data.pkl"), "? BAD_RECORD");

  ZipBytes method = torch_zip();
  method.bytes[8] = 8;
  EXPECT_EQ(Opened(method.finish()).payload("data.pkl"), "? BAD_RECORD");
}

TEST(zip64_end_records_disagree) {
  ZipBytes zip = torch_zip();
  const std::string whole = zip.finish();
  const size_t end64 = whole.size() - kEnds;
  expect_fails(replaced(whole, end64 + 32, le(4, 8)), Code::kBadArchive);   // count
  expect_fails(replaced(whole, end64 + 40, le(46, 8)), Code::kBadArchive);  // size
  expect_fails(replaced(whole, end64 + 16, le(1, 4)), Code::kBadArchive);   // disk
  // Saturated, the short record leaves it to the long one.
  const size_t end = whole.size() - kEnd;
  EXPECT_TRUE(Opened(replaced(whole, end + 8, std::string(12, '\xFF'))).ok());
  // Without the long one that is an error, unless all is in the short one.
  const std::string without = replaced(whole, end64, "QQ");
  EXPECT_TRUE(Opened(without).ok());
  expect_fails(replaced(without, end + 8, std::string(12, '\xFF')), Code::kBadArchive, "zip64");
}

TEST(zip64_fields) {
  ZipBytes missing = torch_zip();
  missing.entries[2].size = missing.entries[2].stored_size = 0xFFFFFFFF;
  missing.entries[2].omit_zip64 = true;
  expect_fails(missing.finish(), Code::kBadArchive, "zip64", "archive/data/0");

  // One number of 8 bytes where two are needed.
  ZipBytes partial = torch_zip();
  partial.entries[2].size = partial.entries[2].stored_size = 0xFFFFFFFF;
  partial.entries[2].omit_zip64 = true;
  partial.entries[2].extra = le(1, 2) + le(8, 2) + le(24, 8);
  expect_fails(partial.finish(), Code::kBadArchive, "too short", "archive/data/0");

  // Just the numbers that are needed, behind another field.
  ZipBytes good = torch_zip();
  good.entries[2].size = good.entries[2].stored_size = 0xFFFFFFFF;
  good.entries[2].omit_zip64 = true;
  good.entries[2].extra =
      le(0x7075, 2) + le(2, 2) + "ab" + le(1, 2) + le(16, 2) + le(24, 8) + le(24, 8);
  EXPECT_EQ(Opened(good.finish()).payload("data/0"), std::string(24, '\1'));
}

TEST(zip_names_made_to_collide) {
  // Names that differ in case only share a hash.
  ZipBytes zip;
  for (int i = 0; i < 4096; ++i) {
    std::string name = "m/abcdefghijkl";
    for (size_t bit = 0; bit < 12; ++bit) {
      if (i >> bit & 1) name[2 + bit] = static_cast<char>(name[2 + bit] - 'a' + 'A');
    }
    zip.add(name, "");
  }
  expect_fails(zip.finish(), Code::kBadArchive, "slow", zip.entries[513].name);
}
