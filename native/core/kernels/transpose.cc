#include "core/kernels/transpose.h"

#include <array>
#include <cstring>

#if defined(__x86_64__) || defined(_M_X64)
#include <emmintrin.h>
#define TORCHMAP_LANES 1
#elif defined(__aarch64__) && defined(__GNUC__)
#include <arm_neon.h>
#define TORCHMAP_LANES 1
#endif

namespace torchmap {
namespace {

template <size_t N>
struct Item {
  std::byte bytes[N];
};

#ifdef TORCHMAP_LANES

// Sixteen bytes, and the items of two of them by turns: of their lower and of their upper halves.
#if defined(__aarch64__)
using Lane = uint8x16_t;
inline Lane load(const std::byte* at) { return vld1q_u8(reinterpret_cast<const uint8_t*>(at)); }
inline void store(std::byte* at, Lane lane) { vst1q_u8(reinterpret_cast<uint8_t*>(at), lane); }
template <size_t N>
inline Lane low(Lane a, Lane b) {
  if constexpr (N == 1) return vzip1q_u8(a, b);
  if constexpr (N == 2)
    return vreinterpretq_u8_u16(vzip1q_u16(vreinterpretq_u16_u8(a), vreinterpretq_u16_u8(b)));
  if constexpr (N == 4)
    return vreinterpretq_u8_u32(vzip1q_u32(vreinterpretq_u32_u8(a), vreinterpretq_u32_u8(b)));
  if constexpr (N == 8)
    return vreinterpretq_u8_u64(vzip1q_u64(vreinterpretq_u64_u8(a), vreinterpretq_u64_u8(b)));
}
template <size_t N>
inline Lane high(Lane a, Lane b) {
  if constexpr (N == 1) return vzip2q_u8(a, b);
  if constexpr (N == 2)
    return vreinterpretq_u8_u16(vzip2q_u16(vreinterpretq_u16_u8(a), vreinterpretq_u16_u8(b)));
  if constexpr (N == 4)
    return vreinterpretq_u8_u32(vzip2q_u32(vreinterpretq_u32_u8(a), vreinterpretq_u32_u8(b)));
  if constexpr (N == 8)
    return vreinterpretq_u8_u64(vzip2q_u64(vreinterpretq_u64_u8(a), vreinterpretq_u64_u8(b)));
}
#else
using Lane = __m128i;
inline Lane load(const std::byte* at) { return _mm_loadu_si128(reinterpret_cast<const Lane*>(at)); }
inline void store(std::byte* at, Lane lane) { _mm_storeu_si128(reinterpret_cast<Lane*>(at), lane); }
template <size_t N>
inline Lane low(Lane a, Lane b) {
  if constexpr (N == 1) return _mm_unpacklo_epi8(a, b);
  if constexpr (N == 2) return _mm_unpacklo_epi16(a, b);
  if constexpr (N == 4) return _mm_unpacklo_epi32(a, b);
  if constexpr (N == 8) return _mm_unpacklo_epi64(a, b);
}
template <size_t N>
inline Lane high(Lane a, Lane b) {
  if constexpr (N == 1) return _mm_unpackhi_epi8(a, b);
  if constexpr (N == 2) return _mm_unpackhi_epi16(a, b);
  if constexpr (N == 4) return _mm_unpackhi_epi32(a, b);
  if constexpr (N == 8) return _mm_unpackhi_epi64(a, b);
}
#endif

// A square of lanes: each round puts items that are half the square apart next to each other, so
// that after as many rounds as the side has bits each has come to its place.
template <size_t N>
void square(const std::byte* source, ptrdiff_t source_step, std::byte* target,
            ptrdiff_t target_step) {
  constexpr size_t kSide = 16 / N;
  Lane lanes[kSide], next[kSide];
  for (size_t i = 0; i < kSide; ++i)
    lanes[i] = load(source + static_cast<ptrdiff_t>(i) * source_step);
  for (size_t round = 1; round < kSide; round *= 2) {
    for (size_t i = 0; i < kSide / 2; ++i) {
      next[2 * i] = low<N>(lanes[i], lanes[i + kSide / 2]);
      next[2 * i + 1] = high<N>(lanes[i], lanes[i + kSide / 2]);
    }
    for (size_t i = 0; i < kSide; ++i) lanes[i] = next[i];
  }
  for (size_t i = 0; i < kSide; ++i)
    store(target + static_cast<ptrdiff_t>(i) * target_step, lanes[i]);
}

#endif

template <size_t N>
void one_by_one(const std::byte* source, Steps steps, std::byte* target, ptrdiff_t target_step,
                size_t rows, size_t columns) {
  for (size_t column = 0; column < columns; ++column, source += steps.column, target += N) {
    const std::byte* from = source;
    std::byte* to = target;
    for (size_t row = 0; row < rows; ++row, from += steps.row, to += target_step)
      std::memcpy(to, from, N);
  }
}

// Column after column: lines that are a power of two apart push each other out of the cache, so
// that those of few columns are used up before others are asked for.
template <size_t N>
void turn(const std::byte* source, Steps steps, std::byte* target, ptrdiff_t target_step,
          size_t rows, size_t columns) {
#ifdef TORCHMAP_LANES
  if constexpr (N < 16) {
    constexpr size_t kSide = 16 / N;
    if (steps.row == N && rows >= kSide && columns >= kSide) {
      const size_t whole_rows = rows - rows % kSide, whole_columns = columns - columns % kSide;
      for (size_t column = 0; column < whole_columns; column += kSide) {
        const std::byte* from = source + static_cast<ptrdiff_t>(column) * steps.column;
        for (size_t row = 0; row < whole_rows; row += kSide) {
          square<N>(from + row * N, steps.column,
                    target + static_cast<ptrdiff_t>(row) * target_step + column * N, target_step);
        }
      }
      one_by_one<N>(source + static_cast<ptrdiff_t>(whole_columns) * steps.column, steps,
                    target + whole_columns * N, target_step, whole_rows, columns - whole_columns);
      one_by_one<N>(source + whole_rows * N, steps,
                    target + static_cast<ptrdiff_t>(whole_rows) * target_step, target_step,
                    rows - whole_rows, columns);
      return;
    }
  }
#endif
  one_by_one<N>(source, steps, target, target_step, rows, columns);
}

// By way of a small square, from which each row is written as a whole.
template <size_t N>
void tile(const std::byte* source, Steps steps, std::byte* target, ptrdiff_t target_step,
          size_t rows, size_t columns) {
  const auto run = static_cast<ptrdiff_t>(columns * N);
  if (run == target_step) return turn<N>(source, steps, target, target_step, rows, columns);
  std::array<std::byte, kTile * kTile * N> square;
  turn<N>(source, steps, square.data(), run, rows, columns);
  for (size_t row = 0; row < rows; ++row, target += target_step)
    std::memcpy(target, square.data() + row * columns * N, columns * N);
}

}  // namespace

void transpose_tile(const std::byte* source, Steps steps, std::byte* target, ptrdiff_t target_step,
                    size_t rows, size_t columns, uint32_t itemsize) {
  switch (itemsize) {
    case 1:
      return tile<1>(source, steps, target, target_step, rows, columns);
    case 2:
      return tile<2>(source, steps, target, target_step, rows, columns);
    case 4:
      return tile<4>(source, steps, target, target_step, rows, columns);
    case 8:
      return tile<8>(source, steps, target, target_step, rows, columns);
    default:
      return tile<16>(source, steps, target, target_step, rows, columns);
  }
}

}  // namespace torchmap
