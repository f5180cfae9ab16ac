// Folding by carry-less multiplication: registers of one or more lanes of 16 bytes, each lane
// multiplied by the power of x that moves it on to later bytes, until one lane is left, which the
// tables finish.
// Source: Gopal et al., Fast CRC Computation for Generic Polynomials Using PCLMULQDQ (Intel 2009).
//
// Included once by each file that has an instruction set for it, after TORCHMAP_TARGET.
#pragma once

#ifndef TORCHMAP_TARGET
#error "TORCHMAP_TARGET says which instructions may be used"
#endif

#include <immintrin.h>

#include "core/archive/crc32_kernels.h"
#include "core/archive/crc32_powers.h"

namespace torchmap {
namespace {

constexpr size_t kLane = 16, kLine = 64;

// Older cores have more lines of memory on their way when they come from several pages, and more
// than the hardware asks for when they are asked for ahead of time. Those since about 2020 ask for
// enough of what is read in order, and have a third less where it is not (Zen 4: 20 for 28 GB/s).
constexpr size_t kStreams = 4, kStream = 16384, kAhead = 512;

// x^(8 * bytes + 32) and x^(8 * bytes - 32) modulo the polynomial, reflected and one bit up: what
// moves the two halves of a lane on by so many bytes.
struct Powers {
  long long low, high;
};
constexpr Powers powers(size_t bytes) {
  const uint32_t high = crc_power_of_bytes(bytes - 4);
  const uint32_t low = crc_multiply(high, crc_power_of_bytes(8));
  return {static_cast<long long>(uint64_t{low} << 1), static_cast<long long>(uint64_t{high} << 1)};
}
static_assert(powers(16).low == 0x1751997d0 && powers(16).high == 0x0ccaa009e);
static_assert(powers(64).low == 0x154442bd4 && powers(64).high == 0x1c6e41596);

TORCHMAP_TARGET inline __m128i fold_lane(__m128i lane, __m128i by, __m128i next) {
  const __m128i low = _mm_clmulepi64_si128(lane, by, 0x00);
  const __m128i high = _mm_clmulepi64_si128(lane, by, 0x11);
  return _mm_xor_si128(_mm_xor_si128(low, next), high);
}

TORCHMAP_TARGET inline __m128i load_lane(const std::byte* at) {
  return _mm_loadu_si128(reinterpret_cast<const __m128i*>(at));
}

// `Wide` is a register: its type Register, load(), store(), same() for one lane in all places,
// fold() as above for every lane, first() with one lane in the lowest place and zeros above, and
// whether the processors that have it want several streams.
template <typename Wide>
class Folding {
 public:
  TORCHMAP_TARGET static uint32_t crc(uint32_t crc, ByteSpan bytes) {
    if (bytes.size() >= 2 * kBlock) {
      const auto start = (0 - reinterpret_cast<uintptr_t>(bytes.data())) % kLine;
      crc = crc32_portable(crc, bytes.first(start));
      bytes = bytes.subspan(start);
    }
    if (bytes.size() < kPair) return crc32_portable(crc, bytes);
    const std::byte* at = bytes.data();
    size_t left = bytes.size() - kPair;
    Register lanes[kWide] = {Wide::load(at), Wide::load(at + kWidth)};
    at += kPair;
    lanes[0] = Wide::exclusive_or(lanes[0], Wide::first(_mm_cvtsi32_si128(static_cast<int>(~crc))));
    if constexpr (Wide::kSeveralStreams)
      for (; left >= kBlock; at += kBlock, left -= kBlock) fold_block(at, lanes);
    size_t count = kPer;
    if (left >= (kWide - kPer + kWide) * kWidth) {
      for (; count < kWide; ++count, at += kWidth, left -= kWidth) lanes[count] = Wide::load(at);
      const Register by = power<kWide * kWidth>();
      for (; left >= kWide * kWidth; at += kWide * kWidth, left -= kWide * kWidth) {
        for (size_t i = 0; i < kWide; ++i)
          lanes[i] = Wide::fold(lanes[i], by, Wide::load(at + i * kWidth));
      }
    }
    return finish(lanes, count, {at, left});
  }

 private:
  using Register = typename Wide::Register;
  // Registers of a stream, and of all when there is one stream only.
  static constexpr size_t kWidth = sizeof(Register), kPer = 2, kWide = 8;
  static constexpr size_t kPair = kPer * kWidth, kBlock = kStreams * kStream;

  template <size_t kBytes>
  TORCHMAP_TARGET static Register power() {
    constexpr Powers kBy = powers(kBytes);
    return Wide::same(_mm_set_epi64x(kBy.high, kBy.low));
  }

  // `lanes` are those of the bytes before; they go through the first stream.
  TORCHMAP_TARGET static void fold_block(const std::byte* at, Register* lanes) {
    const Register by = power<kPair>();
    Register all[kStreams][kPer];
    for (size_t i = 0; i < kPer; ++i)
      all[0][i] = Wide::fold(lanes[i], by, Wide::load(at + i * kWidth));
    for (size_t s = 1; s < kStreams; ++s) {
      for (size_t i = 0; i < kPer; ++i) all[s][i] = Wide::load(at + s * kStream + i * kWidth);
    }
    for (size_t done = kPair; done < kStream; done += kPair) {
      for (size_t s = 0; s < kStreams; ++s) {
        const std::byte* from = at + s * kStream + done;
        for (size_t line = 0; line < kPair; line += kLine)
          _mm_prefetch(reinterpret_cast<const char*>(from + kAhead + line), _MM_HINT_T0);
        for (size_t i = 0; i < kPer; ++i)
          all[s][i] = Wide::fold(all[s][i], by, Wide::load(from + i * kWidth));
      }
    }
    const Register on = power<kStream>();
    for (size_t i = 0; i < kPer; ++i) {
      lanes[i] = all[0][i];
      for (size_t s = 1; s < kStreams; ++s) lanes[i] = Wide::fold(lanes[i], on, all[s][i]);
    }
  }

  // `rest` follows the lanes. They have the first bytes' inversion in them, so none is added.
  TORCHMAP_TARGET static uint32_t finish(const Register* lanes, size_t count, ByteSpan rest) {
    std::byte bytes[kWide * kWidth];
    for (size_t i = 0; i < count; ++i) Wide::store(bytes + i * kWidth, lanes[i]);
    constexpr Powers kBy = powers(kLane);
    const __m128i by = _mm_set_epi64x(kBy.high, kBy.low);
    __m128i all = load_lane(bytes);
    for (size_t i = 1; i < count * kWidth / kLane; ++i)
      all = fold_lane(all, by, load_lane(bytes + i * kLane));
    for (; rest.size() >= kLane; rest = rest.subspan(kLane))
      all = fold_lane(all, by, load_lane(rest.data()));
    std::byte last[kLane];
    _mm_storeu_si128(reinterpret_cast<__m128i*>(last), all);
    return crc32_portable(crc32_portable(~0u, last), rest);
  }
};

}  // namespace
}  // namespace torchmap
