// The kernels that compute weights from other ones. Sources are dense typed arrays; what could
// reach beyond one is checked again.
#include "core/kernels/reparametrize.h"

#include "addon/entries.h"
#include "addon/values.h"
#include "core/kernels/convert.h"
#include "core/torch/geometry.h"

namespace torchmap::addon {
namespace {

// The typed array `value` as `count` elements of `dtype`, or a RangeError.
const std::byte* elements_of(const Napi::Value& value, DType dtype, uint64_t count) {
  const auto bytes = bytes_of(value);
  if (bytes.size() != product_of(value.Env(), count, info(dtype).bytes))
    throw Napi::RangeError::New(value.Env(), "there are more or fewer elements");
  return bytes.data();
}

DType real_dtype_of(const Napi::Value& value) {
  const DType dtype = dtype_of(value);
  if (!reparametrizes(dtype)) throw Napi::RangeError::New(value.Env(), "not for these elements");
  return dtype;
}

// Sizes of a tensor, checked: none is negative and there are as many elements as memory can have.
struct Shape {
  std::vector<int64_t> sizes;
  uint64_t numel = 1;

  explicit Shape(const Napi::Value& value) : sizes(integers_of(value)) {
    for (const int64_t size : sizes) {
      if (size < 0) throw Napi::RangeError::New(value.Env(), "a size is negative");
      numel = product_of(value.Env(), numel, static_cast<uint64_t>(size));
    }
  }

  // A dimension, or nothing for undefined.
  std::optional<size_t> dimension(const Napi::Value& value) const {
    if (value.IsUndefined()) return std::nullopt;
    const uint64_t dim = integer_of(value);
    if (dim >= sizes.size()) throw Napi::RangeError::New(value.Env(), "no such dimension");
    return static_cast<size_t>(dim);
  }

  uint64_t size(size_t dim) const { return static_cast<uint64_t>(sizes[dim]); }
};

std::byte* target_of(const Napi::Value& value, DType dtype, uint64_t count) {
  const auto bytes = bytes_of(value);
  if (bytes.size() != product_of(value.Env(), count, info(dtype).bytes))
    throw Napi::RangeError::New(value.Env(), "the target has another size");
  return bytes.data();
}

}  // namespace

Napi::Value weight_norm(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  const DType dtype = real_dtype_of(info[0]);
  const Shape shape(info[3]);
  const auto dim = shape.dimension(info[4]);
  const std::byte* g = elements_of(info[1], dtype, dim ? shape.size(*dim) : 1);
  const std::byte* v = elements_of(info[2], dtype, shape.numel);
  const NormRounding rounding{integer_of(info[5]), info[6].ToBoolean()};
  std::byte* target = target_of(info[7], dtype, shape.numel);
  if (shape.numel > 0) torchmap::weight_norm(dtype, g, v, shape.sizes, dim, rounding, target);
  return env.Undefined();
}

Napi::Value spectral_norm(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  const DType dtype = real_dtype_of(info[0]);
  const Shape shape(info[2]);
  const auto dim = shape.dimension(info[3]), other = shape.dimension(info[4]);
  if (!dim || shape.size(*dim) == 0 || (other && shape.size(*other) != shape.size(*dim)))
    throw Napi::RangeError::New(env, "the dimensions do not fit");
  const std::byte* weight = elements_of(info[1], dtype, shape.numel);
  const std::byte* u = elements_of(info[5], dtype, shape.size(*dim));
  const std::byte* v = elements_of(info[6], dtype, shape.numel / shape.size(*dim));
  std::byte* target = target_of(info[7], dtype, shape.numel);
  torchmap::spectral_norm(dtype, weight, shape.sizes, *dim, other, u, v, target);
  return env.Undefined();
}

Napi::Value unit_norm(const Napi::CallbackInfo& info) {
  const DType dtype = real_dtype_of(info[0]);
  const uint64_t count = bytes_of(info[1]).size() / torchmap::info(dtype).bytes;
  const std::byte* weight = elements_of(info[1], dtype, count);
  std::byte* target = target_of(info[3], dtype, count);
  torchmap::unit_norm(dtype, weight, count, info[2].ToBoolean(), target);
  return info.Env().Undefined();
}

Napi::Value apply_mask(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  const DType dtype = real_dtype_of(info[0]), mask_dtype = dtype_of(info[2]);
  if (!converts_to_float32(mask_dtype)) throw Napi::RangeError::New(env, "not for these elements");
  const uint64_t count = bytes_of(info[1]).size() / torchmap::info(dtype).bytes;
  const std::byte* weight = elements_of(info[1], dtype, count);
  const std::byte* mask = elements_of(info[3], mask_dtype, count);
  std::byte* target = target_of(info[4], dtype, count);
  torchmap::apply_mask(dtype, weight, mask_dtype, mask, count, target);
  return env.Undefined();
}

}  // namespace torchmap::addon
