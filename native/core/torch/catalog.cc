#include "core/torch/catalog.h"

namespace torchmap {

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

}  // namespace torchmap
