// Memory for tables: whole, aligned, and what was written stays when a block grows, on either side
// of the size from which it has pages of its own.
#include "core/block.h"

#include <cstdint>
#include <cstring>
#include <new>

#include "check.h"
#include "core/pickle/buffer.h"

using namespace torchmap;
using namespace torchmap::check;

namespace {

constexpr size_t kLarge = size_t{2} << 20;

unsigned char pattern(size_t i) { return static_cast<unsigned char>(i * 7 + (i >> 13)); }

}  // namespace

TEST(block_of_any_size_can_be_written) {
  for (const size_t bytes : {size_t{1}, kLarge - 1, kLarge, kLarge + 1, 3 * kLarge - 1}) {
    auto* const block = static_cast<unsigned char*>(take_block(bytes));
    EXPECT_EQ(reinterpret_cast<uintptr_t>(block) % alignof(std::max_align_t), uintptr_t{0});
    block[0] = 1;
    block[bytes - 1] = 2;
    EXPECT_EQ(static_cast<int>(block[bytes - 1]), 2);
    give_block(block, bytes);
  }
}

TEST(block_that_grows_keeps_its_bytes) {
  size_t had = 100;
  auto* block = static_cast<unsigned char*>(take_block(had));
  for (size_t i = 0; i < had; ++i) block[i] = pattern(i);
  for (const size_t bytes : {size_t{5000}, kLarge - 1, kLarge, kLarge + 4096, 4 * kLarge}) {
    block = static_cast<unsigned char*>(grow_block(block, had, had, bytes));
    size_t same = 0;
    while (same < had && block[same] == pattern(same)) ++same;
    EXPECT_EQ(same, had);
    for (size_t i = had; i < bytes; ++i) block[i] = pattern(i);
    had = bytes;
  }
  give_block(block, had);
}

TEST(block_that_cannot_be_had) {
  for (const size_t bytes : {SIZE_MAX / 4, SIZE_MAX - kLarge / 2}) {
    bool thrown = false;
    try {
      give_block(take_block(bytes), bytes);
    } catch (const std::bad_alloc&) {
      thrown = true;
    }
    EXPECT_TRUE(thrown);
  }
  // What there was is still there.
  Buffer<uint64_t> buffer;
  buffer.push(7);
  bool thrown = false;
  try {
    buffer.make_room(SIZE_MAX / 32);
  } catch (const std::bad_alloc&) {
    thrown = true;
  }
  EXPECT_TRUE(thrown);
  EXPECT_EQ(buffer[0], uint64_t{7});
}

TEST(block_of_a_table) {
  Table<std::string> rows;
  for (size_t i = 0; i < 200'000; ++i) rows.push_back(std::to_string(i));
  EXPECT_EQ(rows.front() + rows.back(), "0199999");
  Table<std::string> copy = rows, moved = std::move(rows);
  EXPECT_EQ(copy[77'777], moved[77'777]);
}
