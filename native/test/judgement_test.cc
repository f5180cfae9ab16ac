// What may be thought of names.
#include "core/scan/judgement.h"

#include "check.h"

using namespace torchmap;
using namespace torchmap::check;

namespace {

char judged(std::string_view module, std::string_view name) {
  return "s?D"[static_cast<size_t>(judge_global(module, name))];
}

}  // namespace

TEST(judgement_of_safe_names) {
  EXPECT_EQ(judged("torch", "FloatStorage"), 's');
  EXPECT_EQ(judged("torch._utils", "_rebuild_tensor_v2"), 's');
  EXPECT_EQ(judged("__builtin__", "set"), 's');
  EXPECT_EQ(judged("copy_reg", "_reconstructor"), 's');
  EXPECT_EQ(judged("torch._dynamo.decorators", "_DimRange"), 's');
  // As a whole only.
  EXPECT_EQ(judged("torch._utils", "_rebuild_tensor_v2x"), '?');
  EXPECT_EQ(judged("torch._utils ", "_rebuild_tensor_v2"), '?');
  EXPECT_EQ(judged("TORCH", "FloatStorage"), '?');
}

TEST(judgement_of_what_is_below) {
  EXPECT_EQ(judged("os", "system"), 'D');
  EXPECT_EQ(judged("os.path", "exists"), 'D');
  EXPECT_EQ(judged("osx", "system"), '?');
  EXPECT_EQ(judged("torch", "load"), 'D');
  EXPECT_EQ(judged("torch", "load.__call__"), 'D');
  EXPECT_EQ(judged("torch", "loads"), '?');
  EXPECT_EQ(judged("torch", "hub.load"), 'D');
  EXPECT_EQ(judged("torch.hub", ""), 'D');
  EXPECT_EQ(judged("a.subprocess", "b"), 'D');
}

TEST(judgement_of_what_is_below_a_class) {
  EXPECT_EQ(judged("pathlib", "PosixPath"), 's');
  EXPECT_EQ(judged("pathlib", "PosixPath.unlink"), 'D');
  EXPECT_EQ(judged("pathlib", "Path"), '?');
  EXPECT_EQ(judged("pathlib._local", "Path.write_text"), 'D');
  EXPECT_EQ(judged("numpy", "ndarray"), 's');
  EXPECT_EQ(judged("numpy", "ndarray.tofile"), 'D');
  EXPECT_EQ(judged("torch", "UntypedStorage"), 's');
  EXPECT_EQ(judged("torch", "UntypedStorage.from_file"), 'D');
  EXPECT_EQ(judged("_codecs", "encode"), 's');
  EXPECT_EQ(judged("_codecs", "decode"), 'D');
}

TEST(judgement_of_modules_and_attributes) {
  EXPECT_EQ(judged("torch", "_utils"), 'D');
  EXPECT_EQ(judged("torch", "nn"), 'D');
  EXPECT_EQ(judged("sklearn", "svm"), 'D');
  EXPECT_EQ(judged("a", "b.os"), 'D');
  EXPECT_EQ(judged("a", "torch"), 'D');
  EXPECT_EQ(judged("a", "__dict__"), 'D');
  EXPECT_EQ(judged("a", "B.__init__.__globals__"), 'D');
  EXPECT_EQ(judged("a", "__b"), '?');
  EXPECT_EQ(judged("", ""), '?');
  EXPECT_EQ(judged(".", "."), '?');
}

TEST(judgement_of_undecided_names) {
  EXPECT_EQ(judged("functools", "partial"), '?');
  EXPECT_EQ(judged("functools", "reduce"), 'D');
  EXPECT_EQ(judged("exceptions", "KeyError"), '?');
  EXPECT_EQ(judged("numpy.random._pickle", "__generator_ctor"), '?');
  EXPECT_EQ(judged("builtins", "getattr"), 'D');
}
