#include "core/kernels/dequantize.h"

#include <algorithm>
#include <array>

#include "core/kernels/convert_kernels.h"
#include "core/kernels/fresh_pages.h"
#include "core/threads.h"

namespace torchmap {
namespace {

// Elements a thread does at a time.
constexpr uint64_t kPiece = uint64_t{512} << 10;

struct Loops {
  DequantizeLoop run, each;
};

Loops loops_of(DType dtype) {
  const ConvertKernels& kernels = convert_kernels();
  if (dtype == DType::kQInt8) return {kernels.run_of_int8, kernels.each_of_int8};
  if (dtype == DType::kQInt32) return {kernels.run_of_int32, kernels.each_of_int32};
  return {kernels.run_of_uint8, kernels.each_of_uint8};
}

// Elements [begin, begin + count) of those packed by `bits`, one in a byte.
void unpack(const std::byte* source, uint32_t bits, uint64_t begin, size_t count,
            std::byte* target) {
  const uint64_t per_byte = 8 / bits;
  const uint32_t mask = (1u << bits) - 1;
  for (size_t i = 0; i < count; ++i) {
    const uint64_t at = begin + i;
    const auto byte = std::to_integer<uint32_t>(source[at / per_byte]);
    target[i] = static_cast<std::byte>(byte >> (at % per_byte * bits) & mask);
  }
}

// One loop over elements [begin, begin + count), whatever they are packed by.
void apply(DequantizeLoop loop, bool each, const std::byte* source, uint32_t bits, uint64_t begin,
           uint64_t count, const double* scales, const double* zero_points, float* target) {
  if (bits >= 8) {
    loop(source + begin * (bits / 8), count, scales, zero_points, target + begin);
    return;
  }
  std::array<std::byte, 1024> unpacked;
  for (uint64_t done = 0; done < count;) {
    const auto now = static_cast<size_t>(std::min<uint64_t>(count - done, unpacked.size()));
    unpack(source, bits, begin + done, now, unpacked.data());
    const uint64_t channel = each ? done : 0;
    loop(unpacked.data(), now, scales + channel, zero_points + channel, target + begin + done);
    done += now;
  }
}

}  // namespace

void dequantize(const std::byte* source, DType dtype, ChannelShape shape, const double* scales,
                const double* zero_points, float* target) {
  const uint64_t count = shape.outer * shape.channels * shape.inner;
  const uint32_t bits = info(dtype).bits;
  const Loops loops = loops_of(dtype);
  // Neighbours have channels of their own, or come in runs of one channel.
  const bool each = shape.inner == 1;
  const uint64_t period = each ? shape.channels : shape.inner;
  expect_writes(std::as_writable_bytes(std::span(target, count)));
  in_parallel(count, kPiece, [&](uint64_t begin, uint64_t end) {
    while (begin < end) {
      const uint64_t within = begin % period;
      const uint64_t now = std::min(end - begin, period - within);
      const uint64_t channel = each ? within : begin / period % shape.channels;
      apply(each ? loops.each : loops.run, each, source, bits, begin, now, scales + channel,
            zero_points + channel, target);
      begin += now;
    }
  });
}

}  // namespace torchmap
