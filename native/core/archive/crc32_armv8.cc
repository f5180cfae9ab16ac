// ARM's instructions for this CRC, eight bytes at a time. The build compiles this file alone with
// them (core/CMakeLists.txt); the processor is asked before they run.
#include "core/archive/crc32_kernels.h"

#if defined(__ARM_FEATURE_CRC32) && defined(__aarch64__)
#include <arm_acle.h>
#ifdef __linux__
#include <asm/hwcap.h>
#include <sys/auxv.h>
#endif
#endif

namespace torchmap {

#if defined(__ARM_FEATURE_CRC32) && defined(__aarch64__)
namespace {

uint32_t by_instructions(uint32_t crc, ByteSpan bytes) {
  crc = ~crc;
  const std::byte* at = bytes.data();
  size_t left = bytes.size();
  for (; left >= 8; at += 8, left -= 8) crc = __crc32d(crc, load_le<uint64_t>(at));
  for (; left > 0; ++at, --left) crc = __crc32b(crc, std::to_integer<uint8_t>(*at));
  return ~crc;
}

bool is_supported() {
#ifdef __linux__
  return (getauxval(AT_HWCAP) & HWCAP_CRC32) != 0;
#elif defined(__APPLE__)
  return true;  // every arm64 processor of Apple's
#else
  return false;
#endif
}

}  // namespace

Crc32Kernel crc32_armv8() { return is_supported() ? by_instructions : nullptr; }

#else

Crc32Kernel crc32_armv8() { return nullptr; }

#endif

}  // namespace torchmap
