// The kernels over plain memory. lib has checked the arguments; what could reach beyond a buffer is
// checked again.
#include "addon/entries.h"
#include "addon/values.h"
#include "core/kernels/convert.h"
#include "core/kernels/dequantize.h"
#include "core/kernels/fresh_pages.h"
#include "core/kernels/gather.h"
#include "core/kernels/negate.h"
#include "core/kernels/place.h"
#include "core/torch/catalog.h"
#include "core/torch/geometry.h"

namespace torchmap::addon {

Napi::Value gather(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  const DType dtype = dtype_of(info[2]);
  const uint32_t itemsize = torchmap::info(dtype).bytes;
  const std::vector<int64_t> sizes = integers_of(info[3]), strides = integers_of(info[4]);
  auto geometry = check_geometry(0, sizes, strides);
  if (!geometry.ok()) throw Napi::RangeError::New(env, geometry.status().failure().message);
  const auto target = bytes_of(info[6]);
  if (target.size() != product_of(env, geometry->numel, itemsize))
    throw Napi::RangeError::New(env, "the target has another size");
  if (geometry->numel == 0) return env.Undefined();
  const std::byte* source =
      range_of(info[0], integer_of(info[1]), product_of(env, geometry->extent, itemsize));
  torchmap::gather(source, itemsize, sizes, strides, target.data());
  const uint64_t flags = integer_of(info[5]);
  if ((flags & kConjugate) != 0) conjugate(target.data(), dtype, geometry->numel);
  if ((flags & kNegative) != 0) negate(target.data(), dtype, geometry->numel);
  return env.Undefined();
}

Napi::Value place(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  const uint32_t itemsize = torchmap::info(dtype_of(info[2])).bytes;
  const std::vector<int64_t> sizes = integers_of(info[3]), offsets = integers_of(info[4]),
                             shape = integers_of(info[5]);
  if (!lies_inside(sizes, offsets, shape))
    throw Napi::RangeError::New(env, "the block is not inside the shape");
  const auto target = bytes_of(info[6]);
  uint64_t block_bytes = itemsize, target_bytes = itemsize;
  for (size_t d = 0; d < shape.size(); ++d) {
    block_bytes = product_of(env, block_bytes, static_cast<uint64_t>(sizes[d]));
    target_bytes = product_of(env, target_bytes, static_cast<uint64_t>(shape[d]));
  }
  if (target.size() != target_bytes)
    throw Napi::RangeError::New(env, "the target has another size");
  const std::byte* block = range_of(info[0], integer_of(info[1]), block_bytes);
  expect_writes(target);
  torchmap::place(block, itemsize, sizes, offsets, shape, target.data());
  return env.Undefined();
}

Napi::Value swap_units(const Napi::CallbackInfo& info) {
  swap_bytes(bytes_of(info[0]), static_cast<uint32_t>(integer_of(info[1])));
  return info.Env().Undefined();
}

Napi::Value to_float32(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  const DType dtype = dtype_of(info[2]);
  const uint64_t count = integer_of(info[3]);
  const std::byte* source =
      range_of(info[0], integer_of(info[1]), product_of(env, count, torchmap::info(dtype).bytes));
  const auto target = bytes_of(info[4]);
  if (target.size() != product_of(env, count, sizeof(float)) || !converts_to_float32(dtype))
    throw Napi::RangeError::New(env, "not for these elements");
  torchmap::to_float32(source, dtype, count, reinterpret_cast<float*>(target.data()));
  return env.Undefined();
}

Napi::Value dequantize(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  const DType dtype = dtype_of(info[2]);
  const std::vector<int64_t> shape = integers_of(info[3]);
  if (shape.size() != 3 || shape[0] < 0 || shape[1] < 0 || shape[2] < 0)
    throw Napi::RangeError::New(env, "the shape is not [outer, channels, inner]");
  const ChannelShape channels{static_cast<uint64_t>(shape[0]), static_cast<uint64_t>(shape[1]),
                              static_cast<uint64_t>(shape[2])};
  const uint64_t count =
      product_of(env, product_of(env, channels.outer, channels.channels), channels.inner);
  const auto scales = info[4].As<Napi::Float64Array>(),
             zero_points = info[5].As<Napi::Float64Array>();
  const auto target = bytes_of(info[6]);
  if (scales.ElementLength() != channels.channels ||
      zero_points.ElementLength() != channels.channels ||
      target.size() != product_of(env, count, sizeof(float))) {
    throw Napi::RangeError::New(env, "scales, zero points or target have another size");
  }
  const std::byte* source =
      range_of(info[0], integer_of(info[1]),
               product_of(env, packed_elements(dtype, count), torchmap::info(dtype).bytes));
  torchmap::dequantize(source, dtype, channels, scales.Data(), zero_points.Data(),
                       reinterpret_cast<float*>(target.data()));
  return env.Undefined();
}

}  // namespace torchmap::addon
