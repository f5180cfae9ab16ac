// Frames of protocol 4, which cut a pickle into pieces.
#include "check.h"
#include "core/pickle/decoder.h"
#include "pickle_bytes.h"

using namespace torchmap;
using namespace torchmap::check;
using namespace std::string_literals;

TEST(frames) {
  EXPECT_EQ(read("\x95" + le(0, 8) + "N."), "None");
  EXPECT_EQ(read("\x95" + le(1, 8) + "N\x95" + le(1, 8) + "."), "None");
  EXPECT_EQ(read("\x95" + le(1, 8) + "NK\1\x86."), "(None, 1)");  // the rest has no frame
  EXPECT_EQ(read("\x95" + le(3, 8) + "N."), "TRUNCATED");
  for (const uint64_t length : {UINT64_MAX, uint64_t{1} << 63, uint64_t{1} << 40})
    EXPECT_EQ(read("\x95" + le(length, 8) + "N."), "TRUNCATED");
}

TEST(frame_inside_a_frame) {
  EXPECT_EQ(read("\x95" + le(11, 8) + "\x95" + le(2, 8) + "N."), "BAD_PICKLE");
}

TEST(frame_that_ends_inside_an_opcode) {
  // Readers that believe frames and readers that do not would see two different pickles.
  for (const std::string& inside :
       {"C\3abc"s, "K\1"s, "cmod\nname\n"s, "Vtext\n"s, "\x8C\1x"s, "J" + le(1, 4)}) {
    for (size_t cut = 1; cut < inside.size(); ++cut)
      EXPECT_EQ(read("\x95" + le(cut, 8) + inside + "."), "BAD_PICKLE");
    EXPECT_TRUE(Reading("\x95" + le(inside.size(), 8) + inside + ".").ok());
  }
}
