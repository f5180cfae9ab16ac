// Which ranges of the file become windows, and where storages begin in them.
#include "core/windows.h"

#include "check.h"
#include "checkpoint_opened.h"

using namespace torchmap;
using namespace torchmap::check;

namespace {

struct Stored {
  int key;
  size_t bytes;
  bool is_misnamed = false;
};

// An archive of storages in this order, each filled with its key.
std::string archive_with(const std::vector<Stored>& rows, size_t alignment = 64) {
  Values storages(rows.size());
  for (const Stored& row : rows) {
    storages[static_cast<size_t>(row.key)] =
        storage(std::to_string(row.key), static_cast<int64_t>(row.bytes / 4));
  }
  ZipBytes zip;
  zip.alignment = alignment;
  zip.add("archive/data.pkl", pickle(list(storages)));
  for (const Stored& row : rows) {
    ZipBytes::Entry entry;
    entry.name = "archive/data/" + std::to_string(row.key);
    if (row.is_misnamed) entry.local_name = "archive/data/x";
    entry.size = entry.stored_size = row.bytes;
    entry.crc = 1;
    zip.add(std::move(entry), std::string(row.bytes, static_cast<char>(row.key)));
  }
  return zip.finish();
}

struct Known {
  explicit Known(size_t count) : windows(count), offsets(count) {}
  Windows::Places places() { return {windows, offsets}; }
  // The keys of those that are known.
  std::string keys() const {
    std::string found;
    for (size_t i = 0; i < windows.size(); ++i)
      if (windows[i] != 0) found += std::to_string(i) + " ";
    return found;
  }

  std::vector<uint32_t> windows, offsets;
};

constexpr uint64_t kLongest = 1 << 30;

// Asks for a storage and what is found along with it. Each known place is that of the bytes.
std::string found_with(OpenedCheckpoint& checkpoint, Windows& windows, Known& known,
                       uint32_t storage) {
  auto window = windows.find(storage, 0, 4, kLongest);
  if (!window.ok()) return std::string(code_name(window.status().code()));
  windows.add_places(storage, *window, known.places());
  for (size_t i = 0; i < known.windows.size(); ++i) {
    if (known.windows[i] == 0) continue;
    EXPECT_EQ(known.windows[i], window->id + 1);
    const uint64_t at = window->begin + known.offsets[i];
    const std::string key(4, static_cast<char>(i));
    EXPECT_EQ(checkpoint.bytes.substr(static_cast<size_t>(at), 4), key);
    EXPECT_TRUE(checkpoint.bytes.compare(static_cast<size_t>(at) - 1, 1, key, 0, 1) != 0);
  }
  return known.keys();
}

}  // namespace

TEST(windows_of_storages) {
  OpenedCheckpoint checkpoint(
      archive_of(list({storage("0", 16), storage("1", 16), storage("2", 0), storage("3", 16)})));
  ASSERT_TRUE(checkpoint.ok());
  Windows windows(*checkpoint);
  auto first = windows.find(0, 0, 64, kLongest);
  ASSERT_TRUE(first.ok());
  EXPECT_TRUE(first->fresh);
  auto second = windows.find(1, 4, 64, kLongest);
  ASSERT_TRUE(second.ok());
  EXPECT_EQ(second->id, first->id);  // small neighbours share one
  EXPECT_FALSE(second->fresh);
  EXPECT_EQ(static_cast<uint8_t>(checkpoint.bytes[second->begin + second->offset]), 64 + 4);
  auto own = windows.find(1, 4, 64, kLongest, false);  // where windows are copies
  ASSERT_TRUE(own.ok());
  EXPECT_EQ(own->end - own->begin, 64u);
  EXPECT_EQ(own->offset, 4u);
  auto empty = windows.find(2, 0, 0, kLongest);
  ASSERT_TRUE(empty.ok());
  EXPECT_LE(empty->end, checkpoint.bytes.size());
}

TEST(windows_places_of_neighbours) {
  OpenedCheckpoint checkpoint(archive_with({{3, 64}, {1, 8}, {4, 200}, {0, 4}, {2, 64}}));
  ASSERT_TRUE(checkpoint.ok());
  Windows windows(*checkpoint);
  Known known(5);
  EXPECT_EQ(found_with(checkpoint, windows, known, 4), "0 2 4 ");  // and those behind it
  EXPECT_EQ(found_with(checkpoint, windows, known, 3), "0 1 2 3 4 ");
}

// Up to the first that is known: a file that is gone through backwards is not read over and over.
TEST(windows_places_up_to_a_known_one) {
  OpenedCheckpoint checkpoint(archive_with({{0, 64}, {1, 64}, {2, 64}, {3, 64}}));
  ASSERT_TRUE(checkpoint.ok());
  Windows windows(*checkpoint);
  Known known(4);
  EXPECT_EQ(found_with(checkpoint, windows, known, 2), "2 3 ");
  known.windows[3] = 0;
  EXPECT_EQ(found_with(checkpoint, windows, known, 1), "1 2 ");
}

TEST(windows_places_far_apart) {
  OpenedCheckpoint checkpoint(archive_with({{0, 64}, {1, 100'000}, {2, 64}}));
  ASSERT_TRUE(checkpoint.ok());
  Windows windows(*checkpoint);
  Known known(3);
  EXPECT_EQ(found_with(checkpoint, windows, known, 0), "0 1 ");
  EXPECT_EQ(found_with(checkpoint, windows, known, 2), "0 1 2 ");
}

TEST(windows_places_beside_a_wrong_header) {
  OpenedCheckpoint checkpoint(archive_with({{0, 64}, {1, 64, true}, {2, 64}}));
  ASSERT_TRUE(checkpoint.ok());
  Windows windows(*checkpoint);
  Known known(3);
  EXPECT_EQ(found_with(checkpoint, windows, known, 0), "0 2 ");
  EXPECT_EQ(found_with(checkpoint, windows, known, 1), "BAD_RECORD");
}

// Where records are not aligned, neighbours lie in other windows or, with other remainders than
// their record, in none that is shared.
TEST(windows_places_misaligned) {
  for (const size_t alignment : {1u, 2u, 3u, 6u}) {
    OpenedCheckpoint checkpoint(archive_with({{0, 8}, {1, 12}, {2, 20}, {3, 8}}, alignment));
    ASSERT_TRUE(checkpoint.ok());
    Windows windows(*checkpoint);
    for (uint32_t i = 0; i < 4; ++i) {
      Known known(4);
      found_with(checkpoint, windows, known, i);
      for (size_t n = 0; n < 4; ++n) EXPECT_EQ(known.windows[n] == 0 ? 0 : known.offsets[n] % 4, 0);
    }
  }
}

// Rows that came later have no place in tables that were made before.
TEST(windows_places_of_less_than_there_are) {
  OpenedCheckpoint checkpoint(archive_with({{0, 64}, {1, 64}, {2, 64}}));
  ASSERT_TRUE(checkpoint.ok());
  Windows windows(*checkpoint);
  Known known(2);
  EXPECT_EQ(found_with(checkpoint, windows, known, 2), "");
  EXPECT_EQ(found_with(checkpoint, windows, known, 0), "0 1 ");
}
