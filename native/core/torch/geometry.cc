#include "core/torch/geometry.h"

#include "core/bytes.h"

namespace torchmap {
namespace {

Status bad_geometry(const std::string& what) { return Status(Code::kBadTensor, what); }

}  // namespace

Result<Geometry> check_geometry(int64_t offset, std::span<const int64_t> sizes,
                                std::span<const int64_t> strides) {
  if (sizes.size() != strides.size()) {
    return bad_geometry("the shape has " + std::to_string(sizes.size()) +
                        " dimensions but there are " + std::to_string(strides.size()) + " strides");
  }
  if (offset < 0) return bad_geometry("storage offset " + std::to_string(offset) + " is negative");
  Geometry geometry;
  bool empty = false;
  for (size_t i = 0; i < sizes.size(); ++i) {
    if (sizes[i] < 0)
      return bad_geometry("dimension " + std::to_string(i) + " has negative size " +
                          std::to_string(sizes[i]));
    if (strides[i] < 0)
      return bad_geometry("dimension " + std::to_string(i) + " has negative stride " +
                          std::to_string(strides[i]));
    empty |= sizes[i] == 0;
  }
  geometry.contiguous = true;
  if (empty) return geometry;  // torch accepts any offset and strides then

  uint64_t numel = 1, last = static_cast<uint64_t>(offset);
  for (size_t i = sizes.size(); i-- > 0;) {
    const auto size = static_cast<uint64_t>(sizes[i]), stride = static_cast<uint64_t>(strides[i]);
    if (size != 1 && stride != numel) geometry.contiguous = false;
    const auto grown = checked_mul(numel, size);
    const auto reach = checked_mul(size - 1, stride);
    const auto next = reach ? checked_add(last, *reach) : std::nullopt;
    if (!grown || !next || *grown > INT64_MAX || *next >= INT64_MAX) {
      return bad_geometry("the sizes and strides reach beyond 2^63 elements");
    }
    numel = *grown;
    last = *next;
  }
  geometry.numel = numel;
  geometry.extent = last + 1;
  return geometry;
}

void contiguous_strides(std::span<const int64_t> sizes, std::span<int64_t> strides) {
  int64_t stride = 1;
  for (size_t i = sizes.size(); i-- > 0;) {
    strides[i] = stride;
    const int64_t size = sizes[i] == 0 ? 1 : sizes[i];
    stride = size > INT64_MAX / stride ? INT64_MAX : stride * size;
  }
}

}  // namespace torchmap
