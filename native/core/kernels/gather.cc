#include "core/kernels/gather.h"

#include <algorithm>
#include <cstring>
#include <vector>

namespace torchmap {
namespace {

template <size_t N>
struct Element {
  std::byte bytes[N];
};

struct Dim {
  int64_t size, stride;
};

// Dimensions of size 1 dropped, and neighbours that step as one made one.
std::vector<Dim> collapse(std::span<const int64_t> sizes, std::span<const int64_t> strides) {
  std::vector<Dim> dims;
  for (size_t i = 0; i < sizes.size(); ++i) {
    if (sizes[i] == 1) continue;
    if (!dims.empty() && dims.back().stride == strides[i] * sizes[i]) {
      dims.back() = {dims.back().size * sizes[i], strides[i]};
    } else {
      dims.push_back({sizes[i], strides[i]});
    }
  }
  return dims;
}

template <size_t N>
void gather_elements(const std::byte* source, const std::vector<Dim>& dims, std::byte* target) {
  if (dims.empty()) {
    std::memcpy(target, source, N);
    return;
  }
  const Dim inner = dims.back();
  std::vector<int64_t> index(dims.size() - 1, 0);
  const auto* from = reinterpret_cast<const Element<N>*>(source);
  auto* to = reinterpret_cast<Element<N>*>(target);
  for (;;) {
    if (inner.stride == 1) {
      std::memcpy(to, from, static_cast<size_t>(inner.size) * N);
    } else {
      for (int64_t i = 0; i < inner.size; ++i) to[i] = from[i * inner.stride];
    }
    to += inner.size;
    size_t d = index.size();
    for (; d > 0; --d) {
      from += dims[d - 1].stride;
      if (++index[d - 1] < dims[d - 1].size) break;
      from -= dims[d - 1].stride * dims[d - 1].size;
      index[d - 1] = 0;
    }
    if (d == 0) return;
  }
}

}  // namespace

void gather(const std::byte* source, uint32_t itemsize, std::span<const int64_t> sizes,
            std::span<const int64_t> strides, std::byte* target) {
  if (std::find(sizes.begin(), sizes.end(), 0) != sizes.end()) return;
  const std::vector<Dim> dims = collapse(sizes, strides);
  switch (itemsize) {
    case 1:
      return gather_elements<1>(source, dims, target);
    case 2:
      return gather_elements<2>(source, dims, target);
    case 4:
      return gather_elements<4>(source, dims, target);
    case 8:
      return gather_elements<8>(source, dims, target);
    default:
      return gather_elements<16>(source, dims, target);
  }
}

void swap_bytes(std::span<std::byte> bytes, uint32_t unit) {
  if (unit < 2) return;
  for (size_t at = 0; unit <= bytes.size() - at; at += unit)
    std::reverse(bytes.data() + at, bytes.data() + at + unit);
}

}  // namespace torchmap
