// Advice about memory changes none of it.
#include "core/kernels/fresh_pages.h"

#include <vector>

#include "check.h"

using namespace torchmap;
using namespace torchmap::check;

TEST(pages_are_given_and_keep_what_is_there) {
  constexpr size_t kBytes = (size_t{9} << 20) + 5;
  std::vector<std::byte> memory(kBytes);
  for (size_t i = 0; i < kBytes; i += 4099) memory[i] = static_cast<std::byte>(i % 251);
  const std::vector<std::byte> before = memory;
  const std::span<std::byte> all(memory);
  for (const std::span<std::byte> part :
       {all, all.subspan(1, 3), all.subspan(4095, kBytes - 4096), all.first(0)}) {
    expect_writes(part);
    populate(part);
  }
  EXPECT_TRUE(memory == before);
}
