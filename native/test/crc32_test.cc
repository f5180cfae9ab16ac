#include "core/archive/crc32.h"

#include <string>

#include "check.h"

using namespace torchmap;

namespace {

uint32_t crc(std::string_view text) { return crc32(0, as_bytes(text)); }

// A bit at a time, as the polynomial division is written.
uint32_t crc_by_bits(std::string_view text) {
  uint32_t state = 0xFFFFFFFF;
  for (const char c : text) {
    state ^= static_cast<uint8_t>(c);
    for (int bit = 0; bit < 8; ++bit) state = (state >> 1) ^ ((state & 1) != 0 ? 0xEDB88320u : 0);
  }
  return ~state;
}

}  // namespace

// The check value of the CRC catalogue, and values of Python's zlib.crc32.
TEST(crc32_known_values) {
  EXPECT_EQ(crc(""), 0u);
  EXPECT_EQ(crc("123456789"), 0xCBF43926u);
  EXPECT_EQ(crc("a"), 0xE8B7BE43u);
  EXPECT_EQ(crc("The quick brown fox jumps over the lazy dog"), 0x414FA339u);
  EXPECT_EQ(crc(std::string(32, '\0')), 0x190A55ADu);
  EXPECT_EQ(crc(std::string(32, '\xFF')), 0xFF6CAB0Bu);
}

TEST(crc32_every_length_and_start) {
  std::string text;
  for (int i = 0; i < 100; ++i) text += static_cast<char>(i * 151 + 7);
  for (size_t start = 0; start < 9; ++start) {
    for (size_t length = 0; start + length <= text.size(); ++length) {
      const std::string_view part = std::string_view(text).substr(start, length);
      EXPECT_EQ(crc(part), crc_by_bits(part));
    }
  }
}

TEST(crc32_goes_on_where_it_stopped) {
  const std::string text = "The quick brown fox jumps over the lazy dog";
  for (size_t cut = 0; cut <= text.size(); ++cut) {
    const ByteSpan bytes = as_bytes(text);
    EXPECT_EQ(crc32(crc32(0, bytes.first(cut)), bytes.subspan(cut)), crc(text));
  }
}
