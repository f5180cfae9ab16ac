#include "core/torch/catalog.h"

#include <algorithm>

#include "core/hash.h"

namespace torchmap {
namespace {

// Odd, and no power of anything; dimensions that collide cost bytes, nothing else.
constexpr uint64_t kFactor = 0x9E3779B97F4A7C15u;

}  // namespace

std::string_view layout_name(Layout layout) {
  static constexpr std::string_view kNames[] = {"strided",    "sparse_coo", "sparse_csr", "_mkldnn",
                                                "sparse_csc", "sparse_bsr", "sparse_bsc", "jagged"};
  return kNames[static_cast<size_t>(layout)];
}

uint32_t Catalog::device(std::string_view name) {
  // Mostly the text that was asked for before, where it stands.
  if (name.data() == last_device_.data() && name.size() == last_device_.size() && !name.empty())
    return last_index_;
  auto [found, fresh] = device_index_.try_emplace(name, static_cast<uint32_t>(devices.size()));
  if (fresh) devices.push_back(name);
  last_device_ = name;
  last_index_ = found->second;
  return found->second;
}

uint32_t Catalog::add_dims(std::span<const int64_t> sizes, std::span<const int64_t> strides) {
  uint64_t hash = sizes.size();
  for (const int64_t size : sizes) hash = hash_fold(hash ^ static_cast<uint64_t>(size), kFactor);
  for (const int64_t step : strides) hash = hash_fold(hash ^ static_cast<uint64_t>(step), kFactor);
  KnownDims& known = known_dims_[hash % known_dims_.size()];
  if (known.place != 0 && known.ndim == sizes.size()) {
    const int64_t* at = dims.data() + (known.place - 1);
    if (std::equal(sizes.begin(), sizes.end(), at) &&
        std::equal(strides.begin(), strides.end(), at + known.ndim))
      return known.place - 1;
  }
  if (dims.size() > UINT32_MAX - 1 - 2 * sizes.size()) return kNoIndex;
  const auto place = static_cast<uint32_t>(dims.size());
  dims.append(sizes.data(), sizes.size());
  dims.append(strides.data(), strides.size());
  known = {place + 1, static_cast<uint32_t>(sizes.size())};
  return place;
}

}  // namespace torchmap
