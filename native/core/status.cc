#include "core/status.h"

namespace torchmap {

std::string_view code_name(Code code) {
  static constexpr std::string_view kNames[] = {
#define CODE(name, js, kind) js,
#include "core/codes.def"
#undef CODE
      "IO", "ABORT_ERR"};
  return kNames[static_cast<size_t>(code)];
}

Status limit_reached(Code code, std::string_view name, uint64_t limit, uint64_t actual) {
  std::string text = "the checkpoint needs ";
  text += std::to_string(actual) + " where limits.";
  text += name;
  text += " allows " + std::to_string(limit);
  Status status(code, std::move(text));
  status.failure().subject = name;
  status.failure().limit = limit;
  status.failure().actual = actual;
  return status;
}

}  // namespace torchmap
