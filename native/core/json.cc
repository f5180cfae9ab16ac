#include "core/json.h"

#include <new>

namespace torchmap {

Result<Json> Json::parse(ByteSpan text, Code code, uint64_t base_offset) {
  yyjson_read_err error{};
  // Without the in-situ flag the text is only read.
  char* chars = const_cast<char*>(reinterpret_cast<const char*>(text.data()));
  yyjson_doc* document = yyjson_read_opts(chars, text.size(), YYJSON_READ_NOFLAG, nullptr, &error);
  if (document != nullptr) return Json(document);
  if (error.code == YYJSON_READ_ERROR_MEMORY_ALLOCATION) throw std::bad_alloc();
  return Status(code, std::string("the JSON text is malformed: ") + error.msg)
      .at(base_offset + error.pos);
}

}  // namespace torchmap
