#if defined(__x86_64__) && defined(__linux__)
#include "vpclmul_trap.h"

#include <cpuid.h>
#include <wmmintrin.h>

#include <cstdint>
#include <cstdlib>
#include <cstring>

namespace torchmap::check {
namespace {

volatile unsigned long trapped = 0;

// The parts of an XSAVE area that make up a vector register, 16 bytes at a time.
uint8_t* lane_of(uint8_t* area, unsigned reg, unsigned lane) {
  const auto offset = [](unsigned component) {
    unsigned a, b = 0, c, d;
    __get_cpuid_count(0xD, component, &a, &b, &c, &d);
    return b;
  };
  if (reg >= 16) return area + offset(7) + 64 * (reg - 16) + 16 * lane;
  if (lane == 0) return area + 160 + 16 * reg;
  if (lane == 1) return area + offset(2) + 16 * reg;
  return area + offset(6) + 32 * reg + 16 * (lane - 2);
}

uint64_t general(const ucontext_t& context, unsigned reg) {
  constexpr int kOrder[] = {REG_RAX, REG_RCX, REG_RDX, REG_RBX, REG_RSP, REG_RBP, REG_RSI, REG_RDI,
                            REG_R8,  REG_R9,  REG_R10, REG_R11, REG_R12, REG_R13, REG_R14, REG_R15};
  return static_cast<uint64_t>(context.uc_mcontext.gregs[kOrder[reg]]);
}

struct Instruction {
  unsigned lanes = 0;  // 0: not VPCLMULQDQ
  unsigned target = 0, first = 0, second = 0;
  const uint8_t* memory = nullptr;  // instead of `second`
  uint8_t immediate = 0;
  const uint8_t* end = nullptr;
};

Instruction decode(const ucontext_t& context) {
  const auto* at = reinterpret_cast<const uint8_t*>(context.uc_mcontext.gregs[REG_RIP]);
  Instruction found;
  unsigned r, x, b, lanes;
  int scale = 1;
  if (at[0] == 0xC4) {
    if ((at[1] & 0x1F) != 3 || (at[2] & 3) != 1 || at[3] != 0x44) return found;
    r = ~at[1] >> 7 & 1, x = ~at[1] >> 6 & 1, b = ~at[1] >> 5 & 1;
    found.target = r << 3;
    found.first = ~at[2] >> 3 & 15;
    found.second = b << 3;
    lanes = 1u << (at[2] >> 2 & 1);
    at += 4;
  } else if (at[0] == 0x62) {
    const bool is_plain = (at[3] & 0x97) == 0;  // no zeroing, no broadcast, no mask
    if ((at[1] & 7) != 3 || (at[2] & 3) != 1 || at[4] != 0x44 || !is_plain) return found;
    r = ~at[1] >> 7 & 1, x = ~at[1] >> 6 & 1, b = ~at[1] >> 5 & 1;
    found.target = r << 3 | static_cast<unsigned>(~at[1] >> 4 & 1) << 4;
    found.first = static_cast<unsigned>((~at[2] >> 3 & 15) | (~at[3] >> 3 & 1) << 4);
    found.second = b << 3 | x << 4;
    lanes = 1u << (at[3] >> 5 & 3);
    scale = static_cast<int>(16 * lanes);
    at += 5;
  } else {
    return found;
  }
  const unsigned modrm = *at++, mod = modrm >> 6;
  found.target |= modrm >> 3 & 7;
  if (mod == 3) {
    found.second |= modrm & 7;
  } else {
    uint64_t address = 0;
    bool has_displacement = mod == 2, from_next = false;
    if ((modrm & 7) == 4) {
      const unsigned sib = *at++, index = (sib >> 3 & 7) | x << 3;
      if (index != 4) address = general(context, index) << (sib >> 6);
      if ((sib & 7) == 5 && mod == 0) {
        has_displacement = true;
      } else {
        address += general(context, (sib & 7) | b << 3);
      }
    } else if ((modrm & 7) == 5 && mod == 0) {
      has_displacement = from_next = true;
    } else {
      address = general(context, (modrm & 7) | b << 3);
    }
    if (has_displacement) {
      int32_t displacement;
      std::memcpy(&displacement, at, sizeof displacement);
      at += sizeof displacement;
      address += static_cast<uint64_t>(int64_t{displacement});
    } else if (mod == 1) {
      address += static_cast<uint64_t>(int64_t{static_cast<int8_t>(*at++)} * scale);
    }
    if (from_next) address += reinterpret_cast<uintptr_t>(at + 1);
    found.memory = reinterpret_cast<const uint8_t*>(address);
  }
  found.immediate = *at++;
  found.end = at;
  found.lanes = lanes;
  return found;
}

__attribute__((target("pclmul"))) void multiply(uint8_t* target, const uint8_t* first,
                                                const uint8_t* second, uint8_t immediate) {
  uint64_t a, b;
  std::memcpy(&a, first + ((immediate & 1) != 0 ? 8 : 0), sizeof a);
  std::memcpy(&b, second + ((immediate & 16) != 0 ? 8 : 0), sizeof b);
  const __m128i product = _mm_clmulepi64_si128(_mm_cvtsi64_si128(static_cast<long long>(a)),
                                               _mm_cvtsi64_si128(static_cast<long long>(b)), 0);
  _mm_storeu_si128(reinterpret_cast<__m128i*>(target), product);
}

void on_illegal(int, siginfo_t*, void* data) {
  auto& context = *static_cast<ucontext_t*>(data);
  const Instruction found = decode(context);
  if (found.lanes == 0) std::abort();
  auto* area = reinterpret_cast<uint8_t*>(context.uc_mcontext.fpregs);
  // All is worked out before it is stored: the target may be one of the sources.
  uint8_t product[64];
  for (unsigned lane = 0; lane < found.lanes; ++lane) {
    const uint8_t* second =
        found.memory != nullptr ? found.memory + 16 * lane : lane_of(area, found.second, lane);
    multiply(product + 16 * lane, lane_of(area, found.first, lane), second, found.immediate);
  }
  for (unsigned lane = 0; lane < 4; ++lane) {
    if (lane >= found.lanes && !cpu().avx512) break;
    // Lanes above become zero.
    uint8_t* target = lane_of(area, found.target, lane);
    if (lane < found.lanes) {
      std::memcpy(target, product + 16 * lane, 16);
    } else {
      std::memset(target, 0, 16);
    }
  }
  // Components whose bit is not set are not loaded again.
  uint64_t components;
  std::memcpy(&components, area + 512, sizeof components);
  components |= cpu().avx512 ? 0xE6u : 0x6u;
  std::memcpy(area + 512, &components, sizeof components);
  context.uc_mcontext.gregs[REG_RIP] = reinterpret_cast<greg_t>(found.end);
  trapped = trapped + 1;
}

}  // namespace

VpclmulTrap::VpclmulTrap() {
  struct sigaction action {};
  action.sa_sigaction = on_illegal;
  action.sa_flags = SA_SIGINFO;
  sigaction(SIGILL, &action, &before_);
}

VpclmulTrap::~VpclmulTrap() { sigaction(SIGILL, &before_, nullptr); }

unsigned long VpclmulTrap::count() { return trapped; }

}  // namespace torchmap::check

#endif
