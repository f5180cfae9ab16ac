#include "core/archive/crc32.h"

#include <random>
#include <string>
#include <vector>

#include "check.h"
#include "core/archive/crc32_kernels.h"
#include "zip_bytes.h"
#if defined(__x86_64__) && defined(__linux__)
#include "vpclmul_trap.h"
#endif

using namespace torchmap;

namespace {

uint32_t crc(std::string_view text) { return crc32(0, as_bytes(text)); }

// What this processor can do, tables first.
std::vector<Crc32Kernel> kernels() {
  std::vector<Crc32Kernel> found = {crc32_portable};
  for (const Crc32Kernel kernel :
       {crc32_pclmul(), crc32_vpclmul256(), crc32_vpclmul512(), crc32_armv8()})
    if (kernel != nullptr) found.push_back(kernel);
  return found;
}

std::string noise(size_t size) {
  std::mt19937 random(20);
  std::string text(size, '\0');
  for (char& c : text) c = static_cast<char>(random());
  return text;
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
      EXPECT_EQ(crc(part), check::crc32_of(part));
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

TEST(crc32_known_values_of_every_kernel) {
  // Of Python's zlib.crc32: bytes(i * 7 & 255 for i in range(1000)), and a mebibyte of 0xA5.
  std::string steps;
  for (int i = 0; i < 1000; ++i) steps += static_cast<char>(i * 7);
  for (const Crc32Kernel kernel : kernels()) {
    EXPECT_EQ(kernel(0, as_bytes("123456789")), 0xCBF43926u);
    EXPECT_EQ(kernel(0, as_bytes(steps)), 0x114AD5FFu);
    EXPECT_EQ(kernel(0, as_bytes(std::string(1 << 20, '\xA5'))), 0xBF513FE6u);
    EXPECT_EQ(kernel(0x12345678, {}), 0x12345678u);
  }
}

// Lengths around every border of the kernels, from every address modulo 16.
TEST(crc32_kernels_agree_with_bit_by_bit) {
  const std::string text = noise(700);
  for (const Crc32Kernel kernel : kernels()) {
    for (size_t start = 0; start < 17; ++start) {
      for (size_t length = 0; start + length <= text.size(); length += 1 + length / 150 * 6) {
        const std::string_view part = std::string_view(text).substr(start, length);
        EXPECT_EQ(kernel(0, as_bytes(part)), check::crc32_of(part));
      }
    }
  }
}

TEST(crc32_kernels_agree_on_random_ranges_and_beginnings) {
  const std::string text = noise(1 << 16);
  std::mt19937 random(21);
  for (int i = 0; i < 2000; ++i) {
    const size_t start = random() % text.size();
    const size_t length = random() % (text.size() - start + 1);
    const auto before = static_cast<uint32_t>(random());
    const ByteSpan bytes = as_bytes(text).subspan(start, length);
    const uint32_t wanted = crc32_portable(before, bytes);
    for (const Crc32Kernel kernel : kernels()) EXPECT_EQ(kernel(before, bytes), wanted);
    EXPECT_EQ(crc32(before, bytes), wanted);
  }
}

// Past the borders of streams (16 KiB) and blocks of them, from odd addresses, goes-on included.
TEST(crc32_kernels_agree_on_long_ranges) {
  const std::string text = noise(600'000);
  std::mt19937 random(22);
  for (int i = 0; i < 60; ++i) {
    const size_t start = random() % 200, length = random() % (text.size() - start);
    const auto before = static_cast<uint32_t>(random());
    const ByteSpan bytes = as_bytes(text).subspan(start, length);
    const uint32_t wanted = crc32_portable(before, bytes);
    for (const Crc32Kernel kernel : kernels()) EXPECT_EQ(kernel(before, bytes), wanted);
  }
  for (const size_t length : {65'535u, 65'536u, 65'568u, 131'072u, 131'135u, 131'136u, 196'608u}) {
    const ByteSpan bytes = as_bytes(text).subspan(3, length);
    for (const Crc32Kernel kernel : kernels())
      EXPECT_EQ(kernel(7, bytes), crc32_portable(7, bytes));
  }
}

#if defined(__x86_64__) && defined(__linux__)
// Where the processor has AVX2 or AVX-512 but no VPCLMULQDQ, every one of these is trapped.
TEST(crc32_vpclmul_kernels_agree_everywhere) {
  std::vector<Crc32Kernel> wide;
  if (cpu().avx2 && cpu().pclmul) wide.push_back(crc32_by_vpclmul256);
  if (cpu().avx512 && cpu().pclmul) wide.push_back(crc32_by_vpclmul512);
  const std::string text = noise(300'000);
  std::mt19937 random(23);
  const check::VpclmulTrap trap;
  for (const Crc32Kernel kernel : wide) {
    const unsigned long before = check::VpclmulTrap::count();
    const auto agrees = [&](size_t start, size_t length, uint32_t crc) {
      const ByteSpan bytes = as_bytes(text).subspan(start, length);
      EXPECT_EQ(kernel(crc, bytes), crc32_portable(crc, bytes));
    };
    for (size_t length = 0; length < 2200; length += 1 + length % 7) agrees(length % 65, length, 0);
    for (const size_t length : {65'535u, 65'664u, 131'072u, 131'200u, 299'000u})
      agrees(length % 64, length, static_cast<uint32_t>(random()));
    for (int i = 0; i < 8; ++i) {
      const size_t start = random() % 1000;
      agrees(start, random() % (text.size() - start), static_cast<uint32_t>(random()));
    }
    const bool is_there = kernel == crc32_by_vpclmul256 ? cpu().vpclmul256 : cpu().vpclmul512;
    EXPECT_EQ(check::VpclmulTrap::count() == before, is_there);
  }
}
#endif

TEST(crc32_combines) {
  const std::string text = noise(5000);
  const ByteSpan bytes = as_bytes(text);
  const uint32_t whole = crc(text);
  for (size_t cut = 0; cut <= text.size(); cut += 1 + cut / 10) {
    EXPECT_EQ(
        crc32_combine(crc32(0, bytes.first(cut)), crc32(0, bytes.subspan(cut)), text.size() - cut),
        whole);
  }
  // Of Python's zlib.crc32: an 'a' and 2^20 zeros, and 2^32 of them, made by doubling.
  EXPECT_EQ(crc32_combine(crc("a"), crc(std::string(1 << 20, '\0')), 1 << 20), 0x269EDF6Bu);
  uint32_t zeros = crc(std::string(1, '\0')), after = crc("a");
  for (int i = 0; i < 32; ++i) zeros = crc32_combine(zeros, zeros, uint64_t{1} << i);
  after = crc32_combine(after, zeros, uint64_t{1} << 32);
  EXPECT_EQ(after, 0x3D3F4819u);
}
