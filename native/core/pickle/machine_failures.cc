// What the pickle machine says when a pickle is wrong.
#include <cstdio>

#include "core/pickle/machine.h"

namespace torchmap {

Status Machine::bad(const std::string& what) const {
  return Status(Code::kBadPickle, "pickle opcode " + op_name() + " " + what).at(offset());
}

Status Machine::odd(const std::string& what) const {
  if (options_.oddities == nullptr) return bad(what);
  if (options_.oddities->count++ == 0) {
    options_.oddities->first = "pickle opcode " + op_name() + " " + what;
    options_.oddities->offset = offset();
  }
  return {};
}

Status Machine::truncated(uint64_t count) const {
  Status status =
      Status(Code::kTruncated, "the pickle ends inside opcode " + op_name() + ", which needs " +
                                   std::to_string(count) + " more bytes where " +
                                   std::to_string(left()) + " are left")
          .at(offset());
  status.failure().limit = count;
  return status;
}

Status Machine::too_few(size_t needed) const {
  return bad("needs " + std::to_string(needed) + " values but the stack holds " +
             std::to_string(depth()));
}

Status Machine::too_many_words(size_t count) const {
  return limit_reached(Code::kLimitNodes, "nodes", options_.limits.nodes,
                       pool_.words.size() + count)
      .at(offset());
}

Status Machine::not_set(uint64_t key) const {
  return bad("reads memo " + std::to_string(key) + ", which is not set");
}

Status Machine::no_opcode() const {
  char hex[8];
  std::snprintf(hex, sizeof hex, "0x%02x", std::to_integer<unsigned>(*opcode_at_));
  return Status(Code::kBadPickle, std::string("byte ") + hex + " is no pickle opcode").at(offset());
}

}  // namespace torchmap
