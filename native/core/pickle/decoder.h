// The pickle machine: bytes in, nodes out. It runs the opcodes of protocols 0 to 5 and nothing of
// what they ask for. Iterative, one pass, cost linear in the bytes of the pickle. Rules: CPython
// Lib/pickletools.py and Modules/_pickle.c (3.14).
#pragma once

#include <atomic>

#include "core/limits.h"
#include "core/pickle/nodes.h"
#include "core/status.h"

namespace torchmap {

enum class Opcode : uint8_t {
#define OPCODE(name, byte, argument) k##name = static_cast<uint8_t>(byte),
#include "core/pickle/opcodes.def"
#undef OPCODE
};

// The name of pickletools, or empty for a byte that is no opcode.
std::string_view opcode_name(uint8_t byte);

// What is wrong with a pickle that Python, or one way of reading it in Python, runs nevertheless.
struct Oddities {
  uint64_t count = 0;
  std::string first;    // a sentence
  uint64_t offset = 0;  // bytes from the start of the file, of the first
};

// The module that a global has whose names the pickle computes; its call has them as arguments.
inline constexpr std::string_view kComputedModule = "", kComputedName = "<computed>";

struct DecodeOptions {
  Limits limits;
  uint64_t base_offset = 0;  // bytes: where the pickle starts in the file, for messages
  const std::atomic<bool>* cancelled = nullptr;  // polled; kCancelled once it is true
  // Goes on where a pickle is wrong but runs, and counts that here. For looking at what a pickle
  // would do; what comes out is no value.
  Oddities* oddities = nullptr;
};

struct Decoded {
  NodeId root = 0;
  size_t consumed = 0;  // bytes up to and including STOP
  uint8_t protocol = 0;
  uint64_t opcodes = 0;
};

// Decodes the pickle at the start of `bytes` into `pool`. The bytes must outlive the pool.
// kTruncated when they end before STOP, kBadPickle when they are no pickle; both with the offset,
// the former with the bytes that an opcode needs as its `limit`.
Result<Decoded> decode_pickle(ByteSpan bytes, Pool& pool, const DecodeOptions& options);

}  // namespace torchmap
