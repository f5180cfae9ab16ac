// What decoders of compressed bytes are tested with: texts, and all that can be wrong with a
// sample.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "check.h"
#include "core/archive/unpacking.h"
#include "core/scan/scanner.h"

namespace torchmap::check {

inline std::string unhex(std::string_view digits) {
  std::string bytes;
  for (size_t i = 0; i + 1 < digits.size(); i += 2)
    bytes += static_cast<char>(std::stoi(std::string(digits.substr(i, 2)), nullptr, 16));
  return bytes;
}

// 1,200 bytes that are worth compressing.
inline std::string letters() {
  std::string text;
  uint32_t state = 1;
  for (int i = 0; i < 600; ++i) {
    state = state * 1103515245 + 12345;
    const uint32_t value = (state >> 16) & 0xFF;
    text += value < 250 ? "aaaaaaaabbbbccdz"[value & 15] : static_cast<char>(value);
  }
  return text + text.substr(0, 100) + std::string(500, 'z');
}

// Calls and jumps of x86, some with places that look like others.
inline std::string machine_code() {
  using namespace std::string_literals;
  std::string code;
  uint32_t state = 7;
  for (int i = 0; i < 60; ++i) {
    state = state * 1103515245 + 12345;
    const uint32_t value = (state >> 16) & 0x7FFF, place = value * 3;
    code += static_cast<char>(0xE8 + (value & 1));
    for (int k = 0; k < 4; ++k) code += static_cast<char>(place >> (8 * k) & 0xFF);
    code += static_cast<char>(value & 0xFF);
    code += "\x90";
    if (value % 5 == 0) code += "\xE8\xE8\x00\xFF\xE9"s;
  }
  return code;
}

using Unpack = Status (*)(Feed& feed, Unpacked& out);

struct Outcome {
  std::string code;  // or "" where all is well
  std::string text;
  uint64_t end = 0;  // where the feed stands

  bool operator==(const Outcome&) const = default;
};

inline Outcome unpack(Source& source, Unpack with, uint64_t most) {
  Feed feed(source, 0, source.size());
  Unpacked out(most);
  const Status status = with(feed, out);
  EXPECT_LE(out.size(), most);
  EXPECT_LE(feed.position(), source.size());
  return {status.ok() ? "" : std::string(code_name(status.code())),
          std::string(as_text(out.bytes())), feed.position()};
}

// Of bytes that are in memory, exactly as long as they are, so that the sanitizers see what is read
// beyond; and of the same ones that have to be brought in.
inline Outcome unpack(std::string_view packed, Unpack with, uint64_t most = 1 << 14) {
  const std::vector<std::byte> bytes(as_bytes(packed).begin(), as_bytes(packed).end());
  SpanSource held(bytes);
  const Outcome found = unpack(held, with, most);
  EXPECT_TRUE(unpack(*open_memory(bytes), with, most) == found);
  return found;
}

// Whole, cut at every byte, with too little room, and with every byte changed. What has a checksum
// is never taken for something else.
inline void check_unpacking(const std::string& packed, const std::string& text, Unpack with,
                            bool has_checksum) {
  EXPECT_TRUE(unpack(packed, with) == (Outcome{"", text, packed.size()}));
  EXPECT_EQ(unpack(packed + "more", with).end, packed.size());
  for (size_t cut = 0; cut < packed.size(); ++cut) {
    const Outcome found = unpack(packed.substr(0, cut), with);
    EXPECT_NE(found.code, "");
    EXPECT_TRUE(text.starts_with(found.text));
  }
  for (const size_t room : {size_t{0}, text.size() / 2, text.size() - 1}) {
    const Outcome found = unpack(packed, with, room);
    EXPECT_EQ(found.code, "LIMIT_STORAGE");
    EXPECT_EQ(found.text, text.substr(0, room));
  }
  for (size_t at = 0; at < packed.size(); ++at) {
    for (const int change : {1, 0x80, 0xFF}) {
      std::string changed = packed;
      changed[at] = static_cast<char>(changed[at] ^ change);
      const Outcome found = unpack(changed, with);
      if (has_checksum && found.code.empty()) EXPECT_EQ(found.text, text);
    }
  }
}

}  // namespace torchmap::check
