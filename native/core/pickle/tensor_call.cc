#include "core/pickle/tensor_call.h"

#include "core/pickle/decoder.h"

namespace torchmap {
namespace {

// Reads opcodes that are expected; `false` where others stand there. No byte below has a check of
// its own: kLongestTensorCall of them are there.
struct CallReader {
  const std::byte* at;
  uint32_t opcodes = 0;

  [[gnu::always_inline]] bool is(Opcode op) {
    if (static_cast<Opcode>(*at) != op) return false;
    ++at;
    ++opcodes;
    return true;
  }

  // The key behind an opcode that has it in one byte or in four.
  [[gnu::always_inline]] bool key(Opcode narrow, Opcode wide, uint32_t& out) {
    const auto op = static_cast<Opcode>(*at);
    ++opcodes;
    if (op == wide) {
      out = load_le<uint32_t>(at + 1);
      at += 5;
      return true;
    }
    out = std::to_integer<uint8_t>(at[1]);
    at += 2;
    return op == narrow;
  }
  [[gnu::always_inline]] bool get(uint32_t& out) {
    return key(Opcode::kBINGET, Opcode::kLONG_BINGET, out);
  }
  [[gnu::always_inline]] bool put(uint32_t& out) {
    return key(Opcode::kBINPUT, Opcode::kLONG_BINPUT, out);
  }
  [[gnu::always_inline]] bool put_next(TensorCall& call) {
    uint32_t out = 0;
    return put(out) && out == call.first_put + call.put_count++;
  }

  [[gnu::always_inline]] bool integer(int64_t& value) {
    switch (static_cast<Opcode>(*at)) {
      case Opcode::kBININT1:
        value = std::to_integer<uint8_t>(at[1]);
        at += 2;
        break;
      case Opcode::kBININT2:
        value = load_le<uint16_t>(at + 1);
        at += 3;
        break;
      case Opcode::kBININT:
        value = load_le<int32_t>(at + 1);
        at += 5;
        break;
      default:
        return false;
    }
    ++opcodes;
    return true;
  }

  // A tuple of integers, which the memo gets unless it is empty.
  [[gnu::always_inline]] bool tuple(TensorCall& call, int64_t (&out)[TensorCall::kMostDims],
                                    uint32_t& count) {
    count = 0;
    if (is(Opcode::kEMPTY_TUPLE)) return true;
    const bool marked = is(Opcode::kMARK);
    uint32_t read = 0;
    while (read < TensorCall::kMostDims && integer(out[read])) ++read;
    count = read;
    constexpr Opcode kShort[] = {Opcode::kSTOP, Opcode::kTUPLE1, Opcode::kTUPLE2, Opcode::kTUPLE3};
    const bool ends =
        marked ? read > 3 && is(Opcode::kTUPLE) : read > 0 && read < 4 && is(kShort[read]);
    return ends && put_next(call);
  }
};

}  // namespace

bool read_tensor_call(const std::byte* at, const std::byte* end, TensorCall& call) {
  if (static_cast<size_t>(end - at) < kLongestTensorCall) return false;
  CallReader reader{at};
  if (!reader.is(Opcode::kMARK) || !reader.is(Opcode::kMARK) || !reader.get(call.word) ||
      !reader.get(call.type) || !reader.is(Opcode::kBINUNICODE)) {
    return false;
  }
  const auto length = load_le<uint32_t>(reader.at);
  if (length > TensorCall::kLongestKey) return false;
  call.key = {reinterpret_cast<const char*>(reader.at + sizeof length), length};
  reader.at += sizeof length + length;
  call.put_count = 1;
  if (!reader.put(call.first_put) || call.first_put > UINT32_MAX - 8 ||
      !reader.get(call.location) || !reader.integer(call.numel)) {
    return false;
  }
  call.has_view = reader.is(Opcode::kNONE);
  if (!reader.is(Opcode::kTUPLE) || !reader.put_next(call) || !reader.is(Opcode::kBINPERSID) ||
      !reader.integer(call.offset) || !reader.tuple(call, call.sizes, call.ndim) ||
      !reader.tuple(call, call.strides, call.stride_count)) {
    return false;
  }
  call.requires_grad = reader.is(Opcode::kNEWTRUE);
  if (!call.requires_grad && !reader.is(Opcode::kNEWFALSE)) return false;
  if (!reader.get(call.hooks) || !reader.is(Opcode::kEMPTY_TUPLE) || !reader.is(Opcode::kREDUCE) ||
      !reader.put_next(call) || !reader.is(Opcode::kTUPLE) || !reader.put_next(call) ||
      !reader.is(Opcode::kREDUCE)) {
    return false;
  }
  call.opcodes = reader.opcodes;
  call.end = reader.at;
  return true;
}

}  // namespace torchmap
