// numpy arrays and scalars as pickled by numpy 1 and 2.
// Source: numpy/core/src/multiarray/methods.c (array_reduce), descriptor.c (arraydescr_reduce),
// v1.24 and v2.4.
#include <bit>

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

// Bytes of one element of a descriptor such as "<U2" or "|S3": digits behind the kind; 0 when
// unknown.
uint64_t element_bytes(std::string_view descriptor) {
  uint64_t digits = 0;
  for (char c : descriptor.substr(2)) {
    if (c < '0' || c > '9' || digits > 1'000'000'000) break;
    digits = digits * 10 + static_cast<uint64_t>(c - '0');
  }
  return descriptor[1] == 'U' ? digits * 4 : digits;
}

}  // namespace

// Bytes given as bytes, or as the Latin-1 text that protocol 2 turns them into.
Result<std::string_view> Interpreter::raw_bytes(NodeId id) {
  TRY(resolve(id));
  const Node& node = pool_[target(id)];
  if (node.tag == Tag::kBytes || node.tag == Tag::kByteArray) return node.text();
  if (node.tag != Tag::kStr) return wrong("there are no bytes where some are needed");
  if ((node.flags & kPython2) != 0) return node.text();
  std::string bytes;
  if (!utf8_to_latin1(node.text(), bytes))
    return wrong("bytes are written as text that is not Latin-1");
  return pool_.keep(std::move(bytes));
}

// numpy.dtype('f4', False, True) with state (3, '<', subdtype, names, fields, itemsize, alignment,
// flags[, metadata]).
Result<std::string> Interpreter::numpy_descriptor(NodeId id) {
  id = target(id);
  if (pool_[id].tag != Tag::kCall || meaning(pool_[id].a).kind != GlobalKind::kNumpyDtype)
    return wrong("a numpy dtype is no numpy.dtype");
  const auto args = sequence(pool_[id].b);
  const auto code = args && !args->empty() ? text((*args)[0]) : std::nullopt;
  if (!code || code->empty()) return wrong("a numpy dtype has no type code");
  std::string_view order = "|";
  std::string unit;
  const std::vector<uint32_t> states = pool_.list(pool_.extra(id).states);
  if (!states.empty()) {
    const auto state = sequence(states.back());
    if (state && state->size() > 1) order = text((*state)[1]).value_or("|");
    // datetime64 and timedelta64: (metadata, (unit, count, ...)).
    if (const auto meta = state && state->size() > 8 ? sequence((*state)[8]) : std::nullopt;
        meta && meta->size() == 2) {
      if (const auto parts = sequence((*meta)[1]); parts && !parts->empty()) {
        auto name = raw_bytes((*parts)[0]);
        if (name.ok()) unit = "[" + std::string(*name) + "]";
      }
    }
  }
  if (order == "=") order = "<";
  return std::string(order) + std::string(*code == "O8" || *code == "O4" ? "O" : *code) + unit;
}

Status Interpreter::numpy_array(NodeId id, const std::string& descriptor,
                                std::vector<int64_t> shape, bool fortran, NodeId data) {
  NdArray array;
  array.dtype = descriptor;
  array.fortran = fortran;
  array.shape = std::move(shape);
  uint64_t numel = 1;
  for (int64_t size : array.shape) {
    const auto product = size < 0 ? std::nullopt : checked_mul(numel, static_cast<uint64_t>(size));
    if (!product) return wrong("the shape of a numpy array is not possible");
    numel = *product;
  }
  if (descriptor.substr(1) == "O") {
    array.objects = data;
  } else {
    TRY_ASSIGN(array.bytes, raw_bytes(data));
    const auto dtype = torch_dtype(std::string_view(descriptor).substr(1));
    const uint64_t bytes = dtype ? info(*dtype).bytes : element_bytes(descriptor);
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
      storage.swap = descriptor[0] == '>' ? info(*dtype).swap : 1;
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
  if (!state || state->size() < 5) return {};
  const size_t skip =
      state->size() == 5 ? 1 : state->size() - 4;  // very old arrays have no version in front
  const auto shape = integers((*state)[skip]);
  if (!shape) return wrong("the shape of a numpy array is no tuple of integers");
  TRY_ASSIGN(const std::string descriptor, numpy_descriptor((*state)[skip + 1]));
  return numpy_array(id, descriptor, *shape, boolean((*state)[skip + 2]).value_or(false),
                     (*state)[skip + 3]);
}

// _frombuffer(buffer, dtype, shape, order)
Status Interpreter::numpy_frombuffer(NodeId id, Args args) {
  if (args.size() < 4) return {};
  TRY_ASSIGN(const std::string descriptor, numpy_descriptor(args[1]));
  const auto shape = integers(args[2]);
  const auto order = text(args[3]);
  if (!shape || !order) return wrong("a numpy array has no shape or no order");
  return numpy_array(id, descriptor, *shape, *order == "F", args[0]);
}

// scalar(dtype, bytes)
Status Interpreter::numpy_scalar(NodeId id, Args args) {
  if (args.size() < 2) return {};
  TRY_ASSIGN(const std::string descriptor, numpy_descriptor(args[0]));
  if (descriptor.substr(1) == "O") {
    become_alias(id, args[1]);
    return {};
  }
  TRY_ASSIGN(const std::string_view raw, raw_bytes(args[1]));
  const auto dtype = torch_dtype(std::string_view(descriptor).substr(1));
  if (!dtype || raw.size() != info(*dtype).bytes) {
    return numpy_array(id, descriptor, {}, false,
                       args[1]);  // strings, dates: an array without dimensions
  }
  char bytes[16];
  std::memcpy(bytes, raw.data(), raw.size());
  const size_t unit = info(*dtype).swap;
  if (descriptor[0] == '>') {
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
    default:  // float16 has no scalar of its own here
      return numpy_array(id, descriptor, {}, false, args[1]);
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
