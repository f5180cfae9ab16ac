#include "core/torch/dtype.h"

namespace torchmap {
namespace {

constexpr DTypeInfo kTable[] = {
#define DTYPE(id, name, storage, bytes, swap, bits, kind) \
  {name, #storage, bytes, swap, bits, DTypeKind::k##kind},
#include "core/torch/dtypes.def"
#undef DTYPE
};

template <typename Field>
std::optional<DType> find(std::string_view name, Field field) {
  for (size_t i = 0; i < static_cast<size_t>(DType::kCount); ++i) {
    if (kTable[i].*field == name) return static_cast<DType>(i);
  }
  return std::nullopt;
}

}  // namespace

const DTypeInfo& info(DType dtype) { return kTable[static_cast<size_t>(dtype)]; }

std::optional<DType> dtype_by_name(std::string_view name) { return find(name, &DTypeInfo::name); }
std::optional<DType> dtype_by_class(std::string_view name) {
  return find(name, &DTypeInfo::storage);
}

}  // namespace torchmap
