// Runs VPCLMULQDQ on processors that lack it: the instruction raises SIGILL, and the handler does
// what it says, lane by lane, to the saved registers. So the kernels that were compiled run as they
// are, all their other instructions on the processor itself. Linux on x86-64 only.
// Source: Intel SDM volume 2, VPCLMULQDQ, VEX and EVEX prefixes; volume 1, 13.4 (XSAVE area).
#pragma once

#include <signal.h>
#include <ucontext.h>

#include "core/cpu.h"

namespace torchmap::check {

class VpclmulTrap {
 public:
  VpclmulTrap();
  ~VpclmulTrap();
  VpclmulTrap(const VpclmulTrap&) = delete;
  VpclmulTrap& operator=(const VpclmulTrap&) = delete;

  // Instructions that were trapped so far.
  static unsigned long count();

 private:
  struct sigaction before_;
};

}  // namespace torchmap::check
