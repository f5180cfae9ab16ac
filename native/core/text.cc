#include "core/text.h"

#include <cstdint>
#include <cstring>

namespace torchmap {
namespace {

// Decodes one code point at `at`; returns its length in bytes, or 0 when the bytes are not UTF-8.
size_t decode(const char* at, size_t left, uint32_t& point) {
  const auto byte = [at](size_t i) {
    return static_cast<uint32_t>(static_cast<unsigned char>(at[i]));
  };
  const auto tail = [&](size_t i) { return (byte(i) & 0xC0) == 0x80; };
  const uint32_t head = byte(0);
  if (head < 0x80) {
    point = head;
    return 1;
  }
  if (head >= 0xC2 && head < 0xE0 && left >= 2 && tail(1)) {
    point = (head & 0x1F) << 6 | (byte(1) & 0x3F);
    return 2;
  }
  if (head >= 0xE0 && head < 0xF0 && left >= 3 && tail(1) && tail(2)) {
    point = (head & 0x0F) << 12 | (byte(1) & 0x3F) << 6 | (byte(2) & 0x3F);
    return point >= 0x800 ? 3 : 0;
  }
  if (head >= 0xF0 && head < 0xF5 && left >= 4 && tail(1) && tail(2) && tail(3)) {
    point = (head & 0x07) << 18 | (byte(1) & 0x3F) << 12 | (byte(2) & 0x3F) << 6 | (byte(3) & 0x3F);
    return point >= 0x10000 && point <= 0x10FFFF ? 4 : 0;
  }
  return 0;
}

// Number of leading ASCII bytes, counted eight at a time.
size_t ascii_prefix(std::string_view text) {
  size_t i = 0;
  for (; i + 8 <= text.size(); i += 8) {
    uint64_t word;
    std::memcpy(&word, text.data() + i, 8);
    if ((word & 0x8080808080808080u) != 0) break;
  }
  while (i < text.size() && static_cast<unsigned char>(text[i]) < 0x80) ++i;
  return i;
}

}  // namespace

bool is_ascii(std::string_view text) { return ascii_prefix(text) == text.size(); }

bool is_utf8(std::string_view text) {
  size_t i = ascii_prefix(text);
  while (i < text.size()) {
    uint32_t point;
    const size_t length = decode(text.data() + i, text.size() - i, point);
    if (length == 0) return false;
    i += length;
  }
  return true;
}

size_t utf16_length(std::string_view text) {
  size_t i = ascii_prefix(text);
  size_t length = i;
  while (i < text.size()) {
    uint32_t point;
    const size_t bytes = decode(text.data() + i, text.size() - i, point);
    length += bytes == 4 ? 2 : 1;
    i += bytes == 0 ? 1 : bytes;
  }
  return length;
}

void append_utf16(std::u16string& out, std::string_view text) {
  size_t i = 0;
  while (i < text.size()) {
    uint32_t point = 0xFFFD;
    const size_t bytes = decode(text.data() + i, text.size() - i, point);
    if (bytes == 0) point = 0xFFFD;
    if (point >= 0x10000) {
      out.push_back(static_cast<char16_t>(0xD7C0 + (point >> 10)));
      out.push_back(static_cast<char16_t>(0xDC00 | (point & 0x3FF)));
    } else {
      out.push_back(static_cast<char16_t>(point));
    }
    i += bytes == 0 ? 1 : bytes;
  }
}

void append_utf8(std::string& out, uint32_t point) {
  const auto put = [&out](uint32_t byte) { out.push_back(static_cast<char>(byte)); };
  if (point < 0x80) {
    put(point);
  } else if (point < 0x800) {
    put(0xC0 | point >> 6);
    put(0x80 | (point & 0x3F));
  } else if (point < 0x10000) {
    put(0xE0 | point >> 12);
    put(0x80 | (point >> 6 & 0x3F));
    put(0x80 | (point & 0x3F));
  } else {
    put(0xF0 | point >> 18);
    put(0x80 | (point >> 12 & 0x3F));
    put(0x80 | (point >> 6 & 0x3F));
    put(0x80 | (point & 0x3F));
  }
}

std::string latin1_to_utf8(std::string_view bytes) {
  std::string out;
  out.reserve(bytes.size());
  for (char byte : bytes) append_utf8(out, static_cast<unsigned char>(byte));
  return out;
}

bool utf8_to_latin1(std::string_view text, std::string& out) {
  out.reserve(out.size() + text.size());
  size_t i = 0;
  while (i < text.size()) {
    uint32_t point;
    const size_t bytes = decode(text.data() + i, text.size() - i, point);
    if (bytes == 0 || point > 0xFF) return false;
    out.push_back(static_cast<char>(point));
    i += bytes;
  }
  return true;
}

}  // namespace torchmap
