// numpy arrays and scalars as pickled by numpy 1 and 2.
// Source: numpy/core/src/multiarray/methods.c (array_reduce), descriptor.c (arraydescr_reduce),
// v1.24 and v2.4.
#include <algorithm>
#include <charconv>

#include "core/kernels/convert.h"
#include "core/text.h"
#include "core/torch/geometry.h"
#include "core/torch/interpreter.h"

namespace torchmap {
namespace {

// The torch dtype of numpy's "f4" and the like.
std::optional<DType> torch_dtype(std::string_view code) {
  static constexpr std::pair<std::string_view, DType> kCodes[] = {
      {"f2", DType::kFloat16},   {"f4", DType::kFloat32},    {"f8", DType::kFloat64},
      {"i1", DType::kInt8},      {"i2", DType::kInt16},      {"i4", DType::kInt32},
      {"i8", DType::kInt64},     {"u1", DType::kUInt8},      {"u2", DType::kUInt16},
      {"u4", DType::kUInt32},    {"u8", DType::kUInt64},     {"b1", DType::kBool},
      {"c8", DType::kComplex64}, {"c16", DType::kComplex128}};
  for (const auto& [name, dtype] : kCodes) {
    if (name == code) return dtype;
  }
  return std::nullopt;
}

constexpr int kMaxFieldDepth = 8;           // records inside records
constexpr size_t kMaxDescriptor = 1 << 16;  // bytes of a description with fields

}  // namespace

// Bytes given as bytes, or as the Latin-1 text that protocol 2 turns them into.
Result<std::string_view> Interpreter::raw_bytes(NodeId id) {
  TRY(resolve(id));
  const Node& node = pool_[target(id)];
  if (node.tag == Tag::kBytes || node.tag == Tag::kByteArray) return node.text();
  if (node.tag != Tag::kStr) return wrong("there are no bytes where some are needed");
  if ((node.flags & kPython2) != 0) return node.text();
  TRY(charge(node.text().size()));
  std::string bytes;
  if (!utf8_to_latin1(node.text(), bytes))
    return wrong("bytes are written as text that is not Latin-1");
  return pool_.keep(std::move(bytes));
}

// numpy.dtype('f4', False, True) with state
// (3, '<', (base, shape), names, {name: (dtype, offset)}, itemsize, alignment, flags[, metadata]).
Result<NumpyType> Interpreter::numpy_type(NodeId id, int depth) {
  id = target(id);
  if (depth > kMaxFieldDepth) return wrong("the fields of a numpy dtype are nested too deep");
  if (pool_[id].tag != Tag::kCall || meaning(pool_[id].a).kind != GlobalKind::kNumpyDtype) {
    return wrong("a numpy dtype is no numpy.dtype");
  }
  const auto args = sequence(pool_[id].b);
  const auto code = args && !args->empty() ? text((*args)[0]) : std::nullopt;
  if (!code || code->empty()) return wrong("a numpy dtype has no type code");
  const std::vector<uint32_t> states = pool_.list(pool_.extra(id).states);
  std::vector<NodeId> state;
  if (!states.empty()) state = sequence(states.back()).value_or(state);
  const auto part = [&](size_t i) {
    return i < state.size() && !is_none(state[i]) ? std::optional(state[i]) : std::nullopt;
  };

  NumpyType type;
  std::string_view order = part(1) ? text(*part(1)).value_or("|") : "|";
  if (order == "=") order = "<";
  type.order = order.empty() ? '|' : order[0];
  type.code = *code == "O8" || *code == "O4" ? "O" : *code;
  type.dtype = torch_dtype(type.code);
  type.descriptor = std::string(1, type.order) + type.code;
  if (type.dtype) {
    type.itemsize = info(*type.dtype).bytes;
  } else if (const auto size = part(5) ? integer(*part(5)) : std::nullopt; size && *size > 0) {
    type.itemsize = static_cast<uint64_t>(*size);
  } else if (const auto digits = std::string_view(type.code).substr(1); !digits.empty()) {
    std::from_chars(digits.data(), digits.data() + digits.size(), type.itemsize);
  }
  // datetime64 and timedelta64: (metadata, (unit, count, ...)).
  if (const auto meta = part(8) ? sequence(*part(8)) : std::nullopt; meta && meta->size() == 2) {
    if (const auto units = sequence((*meta)[1]); units && !units->empty()) {
      auto name = raw_bytes((*units)[0]);
      const auto count = units->size() > 1 ? integer((*units)[1]).value_or(1) : 1;
      if (name.ok()) {
        type.descriptor += '[';
        if (count != 1) type.descriptor += std::to_string(count);
        type.descriptor += *name;
        type.descriptor += ']';
      }
    }
  }
  if (part(3) && part(4)) {
    const auto names = sequence(*part(3));
    if (!names) return wrong("the fields of a numpy dtype have no names");
    TRY_ASSIGN(type.descriptor, numpy_fields(*names, *part(4), depth));
    type.dtype.reset();
  } else if (part(2)) {
    const auto base = sequence(*part(2));
    if (!base || base->size() != 2) return wrong("the shape of a numpy dtype is no pair");
    TRY_ASSIGN(const NumpyType inner, numpy_type((*base)[0], depth + 1));
    const auto shape = integers((*base)[1]);
    if (!shape) return wrong("the shape of a numpy dtype is no tuple of integers");
    type.descriptor = inner.descriptor;
    type.shape = *shape;
    type.dtype.reset();
  }
  return type;
}

// "[('id', '<i4'), ('at', '<f4', (2,))]", as numpy.lib.format writes it.
Result<std::string> Interpreter::numpy_fields(const std::vector<NodeId>& names, NodeId fields,
                                              int depth) {
  std::string out = "[";
  for (size_t i = 0; i < names.size(); ++i) {
    TRY(charge(entry_count(fields)));
    const auto name = text(names[i]);
    const auto field = name ? entry(fields, *name) : std::nullopt;
    const auto pair = field ? sequence(*field) : std::nullopt;
    if (!pair || pair->size() < 2) return wrong("a field of a numpy dtype is malformed");
    if (out.size() > kMaxDescriptor) return wrong("a numpy dtype has too many fields");
    TRY_ASSIGN(const NumpyType type, numpy_type((*pair)[0], depth + 1));
    const bool nested = type.descriptor.starts_with('[');
    out += (i == 0 ? "('" : ", ('") + std::string(*name) + "', ";
    out += nested ? type.descriptor : "'" + type.descriptor + "'";
    if (!type.shape.empty()) {
      out += ", (";
      for (int64_t size : type.shape) out += std::to_string(size) + ",";
      out += ")";
    }
    out += ")";
  }
  return out + "]";
}

Status Interpreter::numpy_array(NodeId id, const NumpyType& type, std::vector<int64_t> shape,
                                bool fortran, NodeId data) {
  TRY(charge(type.descriptor.size() + shape.size()));
  NdArray array;
  array.dtype = type.descriptor;
  array.fortran = fortran;
  array.shape = std::move(shape);
  uint64_t numel = 1;
  for (int64_t size : array.shape) {
    const auto product = size < 0 ? std::nullopt : checked_mul(numel, static_cast<uint64_t>(size));
    if (!product) return wrong("the shape of a numpy array is not possible");
    numel = *product;
  }
  if (type.code == "O") {
    array.objects = data;
  } else {
    TRY_ASSIGN(array.bytes, raw_bytes(data));
    if (!type.dtype) TRY(charge(array.bytes.size()));  // the tape copies them
    const auto dtype = type.dtype;
    const uint64_t bytes = type.itemsize;
    const auto needed = checked_mul(numel, bytes);
    if (!needed || *needed != array.bytes.size()) {
      return wrong("a numpy array of " + std::to_string(numel) + " elements of " +
                   std::to_string(bytes) + " bytes has " + std::to_string(array.bytes.size()) +
                   " bytes");
    }
    if (dtype) {
      Storage storage;
      storage.key = "numpy";
      storage.device = catalog_.device("cpu");
      storage.dtype = *dtype;
      storage.place = StoragePlace::kMemory;
      storage.memory = reinterpret_cast<const std::byte*>(array.bytes.data());
      storage.bytes = array.bytes.size();
      storage.swap = type.order == '>' ? info(*dtype).swap : 1;
      catalog_.storages.push_back(storage);
      Tensor tensor;
      tensor.dtype = *dtype;
      tensor.storage = static_cast<uint32_t>(catalog_.storages.size() - 1);
      std::vector<int64_t> strides(array.shape.size());
      if (fortran) {
        const std::vector<int64_t> reversed(array.shape.rbegin(), array.shape.rend());
        contiguous_strides(reversed, strides);
        strides = {strides.rbegin(), strides.rend()};
      } else {
        contiguous_strides(array.shape, strides);
      }
      TRY_ASSIGN(array.tensor, add_tensor(tensor, array.shape, strides));
    }
  }
  catalog_.arrays.push_back(std::move(array));
  become(id, Foreign::kArray, static_cast<uint32_t>(catalog_.arrays.size() - 1));
  return {};
}

// _reconstruct(ndarray, (0,), b'b') with state (1, shape, dtype, is_fortran, data).
Status Interpreter::numpy_reconstruct(NodeId id) {
  const std::vector<uint32_t> states = pool_.list(pool_.extra(id).states);
  const auto state = states.empty() ? std::nullopt : sequence(states.back());
  if (!state || state->size() < 4) return {};
  const size_t skip =
      state->size() == 5 ? 1 : state->size() - 4;  // very old arrays have no version in front
  const auto shape = integers((*state)[skip]);
  if (!shape) return wrong("the shape of a numpy array is no tuple of integers");
  TRY_ASSIGN(const NumpyType type, numpy_type((*state)[skip + 1], 0));
  return numpy_array(id, type, *shape, boolean((*state)[skip + 2]).value_or(false),
                     (*state)[skip + 3]);
}

// _frombuffer(buffer, dtype, shape, order)
Status Interpreter::numpy_frombuffer(NodeId id, Args args) {
  if (args.size() < 4) return {};
  TRY_ASSIGN(const NumpyType type, numpy_type(args[1], 0));
  const auto shape = integers(args[2]);
  const auto order = text(args[3]);
  if (!shape || !order) return wrong("a numpy array has no shape or no order");
  return numpy_array(id, type, *shape, *order == "F", args[0]);
}

// A numpy string: code points of 4 bytes, zeros at the end cut off.
Status Interpreter::numpy_text(NodeId id, std::string_view raw, bool big_endian) {
  TRY(charge(raw.size()));
  std::string out;
  size_t end = raw.size() / 4 * 4;
  while (end > 0 && raw.substr(end - 4, 4) == std::string_view("\0\0\0\0", 4)) end -= 4;
  for (size_t at = 0; at < end; at += 4) {
    uint32_t point = load_le<uint32_t>(raw.data() + at);
    if (big_endian)
      point = point >> 24 | (point >> 8 & 0xFF00) | (point << 8 & 0xFF0000) | point << 24;
    if (point > 0x10FFFF) return wrong("a numpy string holds a number that is no code point");
    append_utf8(out, point);
  }
  become_value(id, Node::of_text(Tag::kStr, pool_.keep(std::move(out))));
  return {};
}

// scalar(dtype, bytes)
Status Interpreter::numpy_scalar(NodeId id, Args args) {
  if (args.size() < 2) return {};
  TRY_ASSIGN(const NumpyType type, numpy_type(args[0], 0));
  if (type.code == "O") {
    TRY(resolve(args[1]));
    become_alias(id, args[1]);
    return {};
  }
  TRY_ASSIGN(const std::string_view raw, raw_bytes(args[1]));
  if (type.code[0] == 'S') {
    become_value(id, Node::of_text(Tag::kBytes, raw));
    return {};
  }
  if (type.code[0] == 'U') return numpy_text(id, raw, type.order == '>');
  const auto dtype = type.dtype;
  if (!dtype || raw.size() != info(*dtype).bytes) {
    return numpy_array(id, type, {}, false,
                       args[1]);  // strings, dates: an array without dimensions
  }
  char bytes[16];
  std::memcpy(bytes, raw.data(), raw.size());
  const size_t unit = info(*dtype).swap;
  if (type.order == '>') {
    for (size_t at = 0; at < raw.size(); at += unit) std::reverse(bytes + at, bytes + at + unit);
  }
  const auto load = [&]<typename T>(T) { return load_le<T>(bytes); };
  switch (*dtype) {
    case DType::kFloat32:
      become_value(id, Node::of_real(load(float{})));
      return {};
    case DType::kFloat64:
      become_value(id, Node::of_real(load(double{})));
      return {};
    case DType::kBool:
      become_alias(id, bytes[0] != 0 ? Pool::kTrueNode : Pool::kFalseNode);
      return {};
    case DType::kInt8:
      become_value(id, Node::of_integer(load(int8_t{})));
      return {};
    case DType::kInt16:
      become_value(id, Node::of_integer(load(int16_t{})));
      return {};
    case DType::kInt32:
      become_value(id, Node::of_integer(load(int32_t{})));
      return {};
    case DType::kInt64:
      become_value(id, Node::of_integer(load(int64_t{})));
      return {};
    case DType::kUInt8:
      become_value(id, Node::of_integer(load(uint8_t{})));
      return {};
    case DType::kUInt16:
      become_value(id, Node::of_integer(load(uint16_t{})));
      return {};
    case DType::kUInt32:
      become_value(id, Node::of_integer(load(uint32_t{})));
      return {};
    case DType::kUInt64: {
      std::string digits(bytes, 8);
      digits.push_back('\0');  // two's complement: a ninth byte keeps it positive
      become_value(id, Node::of_text(Tag::kBigInt, pool_.keep(std::move(digits))));
      return {};
    }
    case DType::kComplex64:
      catalog_.complexes.emplace_back(load_le<float>(bytes), load_le<float>(bytes + 4));
      break;
    case DType::kComplex128:
      catalog_.complexes.emplace_back(load_le<double>(bytes), load_le<double>(bytes + 8));
      break;
    default: {
      float value = 0;
      to_float32(reinterpret_cast<const std::byte*>(bytes), *dtype, 1, &value);
      become_value(id, Node::of_real(value));
      return {};
    }
  }
  become(id, Foreign::kComplex, static_cast<uint32_t>(catalog_.complexes.size() - 1));
  return {};
}

Status Interpreter::resolve_numpy(NodeId id, GlobalKind kind, Args args) {
  switch (kind) {
    case GlobalKind::kNumpyReconstruct:
      return numpy_reconstruct(id);
    case GlobalKind::kNumpyScalar:
      return numpy_scalar(id, args);
    case GlobalKind::kNumpyFromBuffer:
      return numpy_frombuffer(id, args);
    default:
      return {};
  }
}

}  // namespace torchmap
