#include "addon/values.h"

#include "addon/external.h"
#include "addon/handle.h"
#include "core/text.h"

namespace torchmap::addon {
namespace {

// As Napi::Value, not Napi::String: assigning a String to a property takes a detour through UTF-8
// (Value::From of node-addon-api 8.9), which is slow and cannot hold lone surrogates.
Napi::Value latin1(Napi::Env env, std::string_view text) {
  napi_value value = nullptr;
  NAPI_THROW_IF_FAILED(env, napi_create_string_latin1(env, text.data(), text.size(), &value),
                       Napi::Value());
  return Napi::Value(env, value);
}

// Any text of a file: ASCII as it is, else through UTF-16, which can hold lone surrogates.
Napi::Value string(Napi::Env env, std::string_view text) {
  if (is_ascii(text)) return latin1(env, text);
  std::u16string wide;
  append_utf16(wide, text);
  return Napi::Value(Napi::String::New(env, wide));
}

double number(uint32_t index) { return static_cast<double>(index); }

// A table large enough is handed over as it is, where the runtime takes it: copying fewer bytes
// costs less than the object that frees them.
template <typename Array, typename T>
Array array_of(Napi::Env env, Buffer<T>&& values) {
  constexpr size_t kWorthHandingOver = size_t{64} << 10;  // bytes
  const size_t count = values.size(), bytes = count * sizeof(T);
  if (bytes >= kWorthHandingOver) {
    const auto hold = std::make_shared<Buffer<T>>(std::move(values));
    napi_value buffer = nullptr;
    auto* const first = reinterpret_cast<std::byte*>(hold->data());
    if (wrap_pages(env, first, bytes, hold, buffer) == External::kMade)
      return Array::New(env, count, Napi::ArrayBuffer(env, buffer), 0);
    values = std::move(*hold);
  }
  Array array = Array::New(env, count);
  if (count != 0) std::memcpy(array.Data(), values.data(), bytes);
  return array;
}

Napi::Array quantizers(Napi::Env env, const Catalog& catalog) {
  Napi::Array rows = Napi::Array::New(env, catalog.quantizers.size());
  for (uint32_t i = 0; i < catalog.quantizers.size(); ++i) {
    const Quantizer& row = catalog.quantizers[i];
    Napi::Object object = Napi::Object::New(env);
    object["scheme"] = static_cast<double>(row.scheme);
    object["scale"] = row.scale;
    object["zeroPoint"] = row.zero_point;
    object["axis"] = number(row.axis);
    object["scales"] = reals(env, row.scales.data(), row.scales.size());
    object["zeroPoints"] = reals(env, row.zero_points.data(), row.zero_points.size());
    rows[i] = object;
  }
  return rows;
}

void add_tables(Napi::Object target, const Checkpoint& checkpoint, PackedTables tables) {
  const Napi::Env env = target.Env();
  const Catalog& catalog = checkpoint.catalog();
  target["tensors"] = array_of<Napi::Uint32Array>(env, std::move(tables.tensors));
  target["extras"] = array_of<Napi::Uint32Array>(env, std::move(tables.extras));
  Napi::Float64Array dims = Napi::Float64Array::New(env, catalog.dims.size());
  for (size_t i = 0; i < catalog.dims.size(); ++i)
    dims.Data()[i] = static_cast<double>(catalog.dims[i]);
  target["dims"] = dims;
  Napi::Uint32Array parts = Napi::Uint32Array::New(env, catalog.parts.size() * 2);
  for (size_t i = 0; i < catalog.parts.size(); ++i) {
    parts[2 * i] = static_cast<uint32_t>(catalog.parts[i].role);
    parts[2 * i + 1] = catalog.parts[i].tensor;
  }
  target["parts"] = parts;
  target["quantizers"] = quantizers(env, catalog);
  target["storages"] = array_of<Napi::Float64Array>(env, std::move(tables.storages));
  if (!tables.keys_are_numbers) {
    Names keys;
    for (const Storage& storage : catalog.storages) {
      keys.text += storage.key;
      keys.ends.push(keys.text.size());
    }
    target["keys"] = packed_strings(env, keys);
  }
  Napi::Array devices = Napi::Array::New(env, catalog.devices.size());
  for (uint32_t i = 0; i < catalog.devices.size(); ++i)
    devices[i] = string(env, catalog.devices[i]);
  target["devices"] = devices;
}

Napi::BigInt big(Napi::Env env, uint64_t value) { return Napi::BigInt::New(env, value); }

}  // namespace

Napi::Object failure(Napi::Env env, const Status& status) {
  const Failure& row = status.failure();
  Napi::Object data = Napi::Object::New(env);
  data["code"] = latin1(env, code_name(row.code));
  data["message"] = string(env, row.message);
  if (!row.record.empty()) data["record"] = string(env, row.record);
  if (row.offset) data["offset"] = static_cast<double>(*row.offset);
  if (!row.subject.empty()) data["subject"] = string(env, row.subject);
  data["limit"] = static_cast<double>(row.limit);
  data["actual"] = static_cast<double>(row.actual);
  Napi::Object outcome = Napi::Object::New(env);
  outcome["failure"] = data;
  return outcome;
}

Napi::Uint32Array words(Napi::Env env, const uint32_t* values, size_t count) {
  Napi::Uint32Array array = Napi::Uint32Array::New(env, count);
  if (count != 0) std::memcpy(array.Data(), values, count * sizeof *values);
  return array;
}

Napi::Float64Array reals(Napi::Env env, const double* values, size_t count) {
  Napi::Float64Array array = Napi::Float64Array::New(env, count);
  if (count != 0) std::memcpy(array.Data(), values, count * sizeof *values);
  return array;
}

Napi::Object packed_strings(Napi::Env env, const Names& names) {
  Napi::Uint32Array ends = Napi::Uint32Array::New(env, names.size());
  Napi::Object packed = Napi::Object::New(env);
  if (is_ascii(names.text)) {
    for (size_t i = 0; i < names.size(); ++i) ends[i] = static_cast<uint32_t>(names.ends[i]);
    packed["text"] = latin1(env, names.text);
  } else {
    std::u16string wide;
    for (size_t i = 0; i < names.size(); ++i) {
      append_utf16(wide, names.at(i));
      ends[i] = static_cast<uint32_t>(wide.size());
    }
    packed["text"] = Napi::Value(Napi::String::New(env, wide));
  }
  packed["ends"] = ends;
  return packed;
}

Napi::Object packed_strings(Napi::Env env, const std::u16string& text,
                            const std::vector<uint32_t>& ends) {
  Napi::Object packed = Napi::Object::New(env);
  packed["text"] = Napi::Value(Napi::String::New(env, text));
  packed["ends"] = words(env, ends.data(), ends.size());
  return packed;
}

void set_tables(Napi::Object target, Checkpoint& checkpoint) {
  add_tables(target, checkpoint, pack_tables(checkpoint));
}

Napi::Object opened(Napi::Env env, OpenedCheckpoint made) {
  Checkpoint& row = *made.checkpoint;
  Napi::Object result = Napi::Object::New(env);
  result["format"] = latin1(env, format_name(row.format()));
  result["era"] = latin1(env, row.era());
  result["byteOrder"] = latin1(env, row.big_endian() ? "big" : "little");
  result["size"] = static_cast<double>(row.source().size());
  const FileIdentity& file = row.source().identity();
  Napi::Object identity = Napi::Object::New(env);
  identity["device"] = big(env, file.device);
  identity["inode"] = big(env, file.inode);
  identity["size"] = big(env, file.size);
  identity["mtimeNs"] = Napi::BigInt::New(env, file.mtime_ns);
  result["identity"] = identity;
  result["rootClass"] = string(env, row.root_class());
  result["mapped"] = !row.source().mapped().empty();
  result["names"] = packed_strings(env, row.names());
  result["distinct"] = row.has_distinct_names();
  result["named"] = words(env, row.names().tensors.data(), row.names().size());
  Napi::Array skipped = Napi::Array::New(env, row.skipped().size());
  for (uint32_t i = 0; i < row.skipped().size(); ++i) {
    Napi::Object object = Napi::Object::New(env);
    object["name"] = string(env, row.skipped()[i].name);
    object["code"] = latin1(env, code_name(row.skipped()[i].code));
    object["message"] = string(env, row.skipped()[i].message);
    skipped[i] = object;
  }
  result["skipped"] = skipped;
  result["salvaged"] = row.salvaged();
  if (row.metadata()) result["metadata"] = packed_strings(env, *row.metadata());
  add_tables(result, row, std::move(made.tables));
  result["handle"] = wrap(env, std::move(made.checkpoint));
  return result;
}

Napi::Object tape(Napi::Env env, const Tape& row) {
  Napi::Object result = Napi::Object::New(env);
  result["words"] = words(env, row.words.data(), row.words.size());
  result["reals"] = reals(env, row.reals.data(), row.reals.size());
  result["strings"] = packed_strings(env, row.text, row.text_ends);
  Napi::ArrayBuffer bytes = Napi::ArrayBuffer::New(env, row.bytes.size());
  if (!row.bytes.empty()) std::memcpy(bytes.Data(), row.bytes.data(), row.bytes.size());
  result["bytes"] = bytes;
  result["root"] = number(row.root);
  return result;
}

std::span<std::byte> bytes_of(const Napi::Value& value) {
  if (value.IsArrayBuffer()) {
    auto buffer = value.As<Napi::ArrayBuffer>();
    return {static_cast<std::byte*>(buffer.Data()), buffer.ByteLength()};
  }
  if (!value.IsTypedArray())
    throw Napi::TypeError::New(value.Env(), "expected an ArrayBuffer or a typed array");
  napi_typedarray_type type;
  size_t length = 0;
  void* data = nullptr;
  NAPI_THROW_IF_FAILED(
      value.Env(),
      napi_get_typedarray_info(value.Env(), value, &type, &length, &data, nullptr, nullptr), {});
  return {static_cast<std::byte*>(data), value.As<Napi::TypedArray>().ByteLength()};
}

DType dtype_of(const Napi::Value& value) {
  const uint64_t index = integer_of(value);
  if (index >= static_cast<uint64_t>(DType::kCount))
    throw Napi::RangeError::New(value.Env(), "no such dtype");
  return static_cast<DType>(index);
}

const std::byte* range_of(const Napi::Value& source, uint64_t offset, uint64_t length) {
  const auto bytes = bytes_of(source);
  if (!fits(offset, length, bytes.size()))
    throw Napi::RangeError::New(source.Env(), "the elements are not in the buffer");
  return bytes.data() + offset;
}

uint64_t product_of(Napi::Env env, uint64_t a, uint64_t b) {
  const auto result = checked_mul(a, b);
  if (!result) throw Napi::RangeError::New(env, "there are too many elements");
  return *result;
}

uint64_t integer_of(const Napi::Value& value) {
  const double number = value.As<Napi::Number>().DoubleValue();
  return number >= 0 && number < 0x1p63 ? static_cast<uint64_t>(number) : 0;
}

SourceOptions source_options(const Napi::Value& io) {
  const std::string name = io.As<Napi::String>().Utf8Value();
  return {name == "mmap", name == "auto"};
}

Limits limits_of(const Napi::Value& value) {
  const auto object = value.As<Napi::Object>();
  Limits limits;
#define LIMIT(member, js, number, reason) \
  if (object.Has(js)) limits.member = integer_of(object.Get(js));
#include "core/limits.def"
#undef LIMIT
  return limits;
}

std::vector<int64_t> integers_of(const Napi::Value& value) {
  const auto array = value.As<Napi::Float64Array>();
  std::vector<int64_t> out(array.ElementLength());
  for (size_t i = 0; i < out.size(); ++i) out[i] = static_cast<int64_t>(array[i]);
  return out;
}

}  // namespace torchmap::addon
