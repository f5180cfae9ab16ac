#include "core/pickle/decoder.h"

#include "core/pickle/machine.h"

namespace torchmap {

std::string_view opcode_name(uint8_t byte) {
  switch (byte) {
#define OPCODE(name, value, argument) \
  case static_cast<uint8_t>(value):   \
    return #name;
#include "core/pickle/opcodes.def"
#undef OPCODE
    default:
      return {};
  }
}

Result<Decoded> decode_pickle(ByteSpan bytes, Pool& pool, const DecodeOptions& options) {
  return Machine(bytes, pool, options).run();
}

}  // namespace torchmap
