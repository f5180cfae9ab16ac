// ARM's instructions for this CRC, eight bytes at a time. The build compiles this file alone with
// them (core/CMakeLists.txt); the processor is asked before they run.
#include "core/archive/crc32_kernels.h"

#if defined(__ARM_FEATURE_CRC32) && defined(__aarch64__)
#include <arm_acle.h>

#include "core/archive/crc32_powers.h"

namespace torchmap {
namespace {

// An instruction waits for the one before in its stream, not for those of other streams.
constexpr size_t kStreams = 4, kStream = 16384, kAhead = 512;

uint32_t by_instructions(uint32_t crc, ByteSpan bytes) {
  crc = ~crc;
  const std::byte* at = bytes.data();
  size_t left = bytes.size();
  for (; left >= kStreams * kStream; at += kStreams * kStream, left -= kStreams * kStream) {
    uint32_t all[kStreams] = {crc};
    for (size_t done = 0; done < kStream; done += 8) {
      for (size_t s = 0; s < kStreams; ++s) {
        const std::byte* from = at + s * kStream + done;
        if (done % 64 == 0) __builtin_prefetch(from + kAhead);
        all[s] = __crc32d(all[s], load_le<uint64_t>(from));
      }
    }
    constexpr uint32_t kPower = crc_power_of_bytes(kStream);
    crc = all[0];
    for (size_t s = 1; s < kStreams; ++s) crc = crc_multiply(kPower, crc) ^ all[s];
  }
  for (; left >= 8; at += 8, left -= 8) crc = __crc32d(crc, load_le<uint64_t>(at));
  for (; left > 0; ++at, --left) crc = __crc32b(crc, std::to_integer<uint8_t>(*at));
  return ~crc;
}

}  // namespace

Crc32Kernel crc32_armv8() { return cpu().arm_crc32 ? by_instructions : nullptr; }

}  // namespace torchmap
#else

namespace torchmap {
Crc32Kernel crc32_armv8() { return nullptr; }
}  // namespace torchmap

#endif
