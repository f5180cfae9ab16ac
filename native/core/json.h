// JSON text, read with yyjson: strict, without recursion; numbers and repeated keys as written.
#pragma once

#include <yyjson/yyjson.h>

#include <memory>
#include <optional>

#include "core/bytes.h"
#include "core/status.h"

namespace torchmap {

// A value inside a Json; valid as long as that.
class JsonValue {
 public:
  explicit JsonValue(yyjson_val* value) : value_(value) {}

  bool is_object() const { return yyjson_is_obj(value_); }
  bool is_array() const { return yyjson_is_arr(value_); }
  bool is_null() const { return yyjson_is_null(value_); }
  size_t size() const {
    return yyjson_is_obj(value_) ? yyjson_obj_size(value_) : yyjson_arr_size(value_);
  }

  std::optional<std::string_view> text() const {
    if (!yyjson_is_str(value_)) return std::nullopt;
    return std::string_view(yyjson_get_str(value_), yyjson_get_len(value_));
  }
  // Only of what is written without fraction and exponent and fits.
  std::optional<int64_t> integer() const {
    if (yyjson_is_sint(value_)) return yyjson_get_sint(value_);
    if (!yyjson_is_uint(value_) || yyjson_get_uint(value_) > uint64_t{INT64_MAX})
      return std::nullopt;
    return static_cast<int64_t>(yyjson_get_uint(value_));
  }
  // Only of what is written as a non-negative integer and fits.
  std::optional<uint64_t> natural() const {
    if (!yyjson_is_uint(value_)) return std::nullopt;
    return yyjson_get_uint(value_);
  }
  std::optional<double> number() const {
    if (!yyjson_is_num(value_)) return std::nullopt;
    return yyjson_get_num(value_);
  }
  std::optional<bool> boolean() const {
    if (!yyjson_is_bool(value_)) return std::nullopt;
    return yyjson_get_bool(value_);
  }
  // Of an object: the first value under `key`.
  std::optional<JsonValue> get(std::string_view key) const {
    yyjson_val* found = yyjson_obj_getn(value_, key.data(), key.size());
    if (found == nullptr) return std::nullopt;
    return JsonValue(found);
  }
  // `visit(key, value)` for each entry of an object in order, repeated keys each time, until it
  // fails.
  template <typename Visit>
  Status each_entry(Visit&& visit) const {
    yyjson_obj_iter entries = yyjson_obj_iter_with(value_);
    while (yyjson_val* key = yyjson_obj_iter_next(&entries)) {
      const std::string_view name(yyjson_get_str(key), yyjson_get_len(key));
      TRY(visit(name, JsonValue(yyjson_obj_iter_get_val(key))));
    }
    return {};
  }
  // `visit(value)` for each item of an array in order, until it fails.
  template <typename Visit>
  Status each_item(Visit&& visit) const {
    yyjson_arr_iter items = yyjson_arr_iter_with(value_);
    while (yyjson_val* item = yyjson_arr_iter_next(&items)) TRY(visit(JsonValue(item)));
    return {};
  }

 private:
  yyjson_val* value_;
};

class Json {
 public:
  // Needs about 16 bytes for each value and a copy of the text. Failures have `code` and the
  // offset in the text, plus `base_offset`.
  static Result<Json> parse(ByteSpan text, Code code, uint64_t base_offset);

  // Where in the text a key or a string of this document starts; nothing for other text.
  std::optional<size_t> position(std::string_view of) const {
    const auto begin = reinterpret_cast<uintptr_t>(document_->str_pool),
               at = reinterpret_cast<uintptr_t>(of.data());
    if (begin == 0 || at < begin || at - begin > document_->dat_read) return std::nullopt;
    return at - begin;
  }

  JsonValue root() const { return JsonValue(yyjson_doc_get_root(document_.get())); }

 private:
  struct Free {
    void operator()(yyjson_doc* document) const { yyjson_doc_free(document); }
  };
  explicit Json(yyjson_doc* document) : document_(document) {}

  std::unique_ptr<yyjson_doc, Free> document_;
};

}  // namespace torchmap
