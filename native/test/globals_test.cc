// What names mean, and that a name means something only as a whole.
#include "core/torch/globals.h"

#include "check.h"

using namespace torchmap;
using namespace torchmap::check;

namespace {

GlobalKind kind(std::string_view module, std::string_view name) {
  return classify_global(module, name).kind;
}

std::string dtype(std::string_view module, std::string_view name) {
  return std::string(info(classify_global(module, name).dtype).name);
}

std::string renamed(std::string_view module, std::string_view name) {
  const GlobalName now = python3_name({module, name, 7});
  EXPECT_EQ(now.offset, 7);
  return std::string(now.module) + " " + std::string(now.name);
}

}  // namespace

TEST(globals_of_the_table) {
  EXPECT_EQ(kind("torch._utils", "_rebuild_tensor_v2"), GlobalKind::kRebuildTensorV2);
  EXPECT_EQ(kind("collections", "OrderedDict"), GlobalKind::kMapping);
  EXPECT_EQ(kind("__builtin__", "set"), GlobalKind::kSet);
  EXPECT_EQ(kind("builtins", "range"), GlobalKind::kInert);
}

TEST(globals_unknown) {
  for (const auto& [module, name] : {std::pair("os", "system"),
                                     std::pair("posix", "system"),
                                     std::pair("builtins", "eval"),
                                     std::pair("builtins", "exec"),
                                     std::pair("__builtin__", "getattr"),
                                     std::pair("torch", "load"),
                                     std::pair("torch.hub", "load"),
                                     std::pair("", ""),
                                     std::pair("torch", "Storage"),
                                     std::pair("torch", "XStorage"),
                                     std::pair("torch", "Floatstorage"),
                                     std::pair("evil", "FloatStorage"),
                                     std::pair("torch.cuda.evil", "FloatStorage"),
                                     std::pair("torch", "sparse.FloatTensor"),
                                     std::pair("torch._utils._rebuild_tensor_v2", ""),
                                     std::pair("torch._utils ", "_rebuild_tensor"),
                                     std::pair("torch._utils", "_rebuild_tensor_v2.__globals__"),
                                     std::pair("torch", "int8x"),
                                     std::pair("torch", "int9"),
                                     std::pair("torch", "uint0"),
                                     std::pair("numpy", "float32")}) {
    EXPECT_EQ(kind(module, name), GlobalKind::kUnknown);
  }
}

TEST(globals_storages) {
  for (const char* module : {"torch", "torch.cuda", "torch.xpu", "torch.storage"}) {
    EXPECT_EQ(kind(module, "BFloat16Storage"), GlobalKind::kStorage);
    EXPECT_EQ(dtype(module, "BFloat16Storage"), "bfloat16");
    EXPECT_EQ(kind(module, "UntypedStorage"), GlobalKind::kUntypedStorage);
    EXPECT_EQ(kind(module, "_UntypedStorage"), GlobalKind::kUntypedStorage);
    EXPECT_EQ(kind(module, "TypedStorage"), GlobalKind::kInert);
  }
}

TEST(globals_every_dtype) {
  for (size_t i = 0; i < static_cast<size_t>(DType::kCount); ++i) {
    const DTypeInfo& row = info(static_cast<DType>(i));
    EXPECT_EQ(kind("torch", row.name), GlobalKind::kDType);
    EXPECT_EQ(dtype("torch", row.name), row.name);
    const std::string type = std::string(row.storage);
    EXPECT_EQ(dtype("torch", type + "Storage"), row.name);
    EXPECT_EQ(kind("torch", type + "Tensor"), GlobalKind::kTypedTensor);
    EXPECT_EQ(kind("torch.cuda.sparse", type + "Tensor"), GlobalKind::kSparseTensor);
    EXPECT_EQ(row.bytes % row.swap, 0);
    EXPECT_EQ(packed_elements(static_cast<DType>(i), 8), 8u * row.bits / (8u * row.bytes));
  }
  EXPECT_EQ(packed_elements(DType::kQUInt4x2, 3), 2);
  EXPECT_EQ(packed_elements(DType::kQUInt2x4, 5), 2);
  EXPECT_EQ(packed_elements(DType::kQUInt2x4, UINT64_MAX), (uint64_t{1} << 62));
  for (const char* name : {"int1", "int7", "uint1", "uint7"})
    EXPECT_EQ(kind("torch", name), GlobalKind::kShellDType);
}

TEST(globals_other_rules) {
  EXPECT_EQ(kind("torch", "per_channel_affine_float_qparams"), GlobalKind::kQScheme);
  EXPECT_EQ(kind("torch.return_types", "max"), GlobalKind::kSequence);
  EXPECT_EQ(kind("torch", "Tensor"), GlobalKind::kTensor);
}

TEST(globals_of_python2) {
  EXPECT_EQ(renamed("__builtin__", "set"), "builtins set");
  EXPECT_EQ(renamed("__builtin__", "xrange"), "builtins range");
  EXPECT_EQ(renamed("__builtin__", "long"), "builtins int");
  EXPECT_EQ(renamed("copy_reg", "_reconstructor"), "copyreg _reconstructor");
  EXPECT_EQ(renamed("UserDict", "IterableUserDict"), "collections UserDict");
  EXPECT_EQ(renamed("commands", "getoutput"), "subprocess getoutput");
  EXPECT_EQ(renamed("m", "x"), "m x");
}
