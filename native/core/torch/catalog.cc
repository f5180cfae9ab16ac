#include "core/torch/catalog.h"

namespace torchmap {

std::string_view layout_name(Layout layout) {
  static constexpr std::string_view kNames[] = {"strided",    "sparse_coo", "sparse_csr", "_mkldnn",
                                                "sparse_csc", "sparse_bsr", "sparse_bsc", "jagged"};
  return kNames[static_cast<size_t>(layout)];
}

uint32_t Catalog::device(std::string_view name) {
  auto [found, fresh] = device_index_.try_emplace(name, static_cast<uint32_t>(devices.size()));
  if (fresh) devices.push_back(name);
  return found->second;
}

}  // namespace torchmap
