#include "core/kernels/convert.h"

#include <cstring>

#include "core/kernels/convert_kernels.h"
#include "core/kernels/fresh_pages.h"
#include "core/threads.h"

namespace torchmap {
namespace {

// Elements a thread converts at a time. Starting one takes as long as a tenth of that.
constexpr uint64_t kPiece = uint64_t{512} << 10;

void copy(const std::byte* source, uint64_t count, float* target) {
  if (count > 0) std::memcpy(target, source, count * sizeof(float));
}

ConvertLoop loop_of(DType dtype) {
  const ConvertKernels& kernels = convert_kernels();
  switch (dtype) {
    case DType::kFloat32:
      return copy;
    case DType::kFloat64:
      return kernels.from_float64;
    case DType::kFloat16:
      return kernels.from_half;
    case DType::kBFloat16:
      return kernels.from_bfloat16;
    case DType::kFloat8E5M2:
      return kernels.from_e5m2;
    case DType::kFloat8E4M3Fn:
      return kernels.from_e4m3fn;
    case DType::kFloat8E5M2Fnuz:
      return kernels.from_e5m2fnuz;
    case DType::kFloat8E4M3Fnuz:
      return kernels.from_e4m3fnuz;
    case DType::kFloat8E8M0Fnu:
      return kernels.from_e8m0;
    case DType::kBool:
      return kernels.from_bool;
    case DType::kInt8:
    case DType::kQInt8:
      return kernels.from_int8;
    case DType::kUInt8:
    case DType::kQUInt8:
      return kernels.from_uint8;
    case DType::kInt16:
      return kernels.from_int16;
    case DType::kUInt16:
      return kernels.from_uint16;
    case DType::kInt32:
    case DType::kQInt32:
      return kernels.from_int32;
    case DType::kUInt32:
      return kernels.from_uint32;
    case DType::kInt64:
      return kernels.from_int64;
    case DType::kUInt64:
      return kernels.from_uint64;
    default:
      return nullptr;
  }
}

}  // namespace

bool converts_to_float32(DType dtype) {
  const DTypeKind kind = info(dtype).kind;
  return kind == DTypeKind::kFloat || kind == DTypeKind::kInt || kind == DTypeKind::kBool ||
         (kind == DTypeKind::kQuantized && info(dtype).bits >= 8);
}

void to_float32(const std::byte* source, DType dtype, uint64_t count, float* target) {
  const ConvertLoop loop = loop_of(dtype);
  if (loop == nullptr) return;
  expect_writes(std::as_writable_bytes(std::span(target, count)));
  const uint64_t bytes = info(dtype).bytes;
  in_parallel(count, kPiece, [&](uint64_t begin, uint64_t end) {
    loop(source + begin * bytes, end - begin, target + begin);
  });
}

}  // namespace torchmap
