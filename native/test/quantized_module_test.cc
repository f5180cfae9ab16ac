// State dicts of quantised modules: what their code adds, and what does not fit and is left out.
#include "core/torch/quantized_module.h"

#include <cstring>

#include "check.h"
#include "checkpoint_opened.h"

using namespace torchmap;
using namespace torchmap::check;

namespace {

const std::string kTensor = small_tensor();
constexpr std::string_view kLinear = "torch.ao.nn.quantized.modules.linear";

std::string object(std::string_view module, std::string_view name, const std::string& state) {
  return build(global(module, name) + ")\x81", state);
}

std::string module_of(std::string_view module, std::string_view name, Values more,
                      const std::string& modules = dict({})) {
  Values state = {text("_parameters"), dict({}), text("_buffers"), dict({}),
                  text("_modules"),    modules};
  state.insert(state.end(), more.begin(), more.end());
  return object(module, name, dict(state));
}

std::string packed(const std::string& value) {
  return module_of(kLinear, "LinearPackedParams", {text("_packed_params"), value});
}

std::string linear(const std::string& scale, const std::string& zero_point,
                   const std::string& value) {
  return module_of(kLinear, "Linear", {text("scale"), scale, text("zero_point"), zero_point},
                   dict({text("_packed_params"), packed(value)}));
}

std::string conv(size_t fields) {
  Values state(fields, integer(1));
  if (fields > 13) {
    state[10] = kTensor;
    state[11] = none();
    state[12] = "F0.5\n";
  }
  return object("torch.ao.nn.quantized.modules.conv", "Conv2d", tuple(state));
}

}  // namespace

TEST(quantized_linear_has_scale_zero_point_and_weights) {
  const std::string weights = tuple({kTensor, kTensor});
  const std::string wanted =
      "scale float32(), zero_point int64(), _packed_params._packed_params.0 float32(2), "
      "_packed_params._packed_params.1 float32(2)";
  EXPECT_EQ(weights_of(linear("F0.5\n", integer(3), weights)), wanted);
  const std::string script =
      object("torch", "ScriptObject", tuple({weights, text("__torch__.x.LinearPackedParamsBase")}));
  EXPECT_EQ(weights_of(linear("F0.5\n", integer(3), script)), wanted);
  // Not where everything is named: they are no tensors in the file.
  EXPECT_EQ(names_of(linear("F0.5\n", integer(3), weights)),
            "_packed_params._packed_params.0 float32(2), "
            "_packed_params._packed_params.1 float32(2)");
}

TEST(quantized_numbers_are_those_of_the_file) {
  OpenedCheckpoint checkpoint(archive_of(linear("F0.5\n", integer(-3), none())));
  ASSERT_TRUE(checkpoint.ok());
  Names names;
  ASSERT_TRUE(state_dict(checkpoint->interpreter(), checkpoint->root(), std::nullopt, names).ok());
  ASSERT_TRUE(names.size() == 2);
  const Catalog& catalog = checkpoint->catalog();
  const Storage& scale = catalog.storages[catalog.tensors[names.tensors[0]].storage];
  float number = 0;
  ASSERT_TRUE(scale.bytes == sizeof number);
  std::memcpy(&number, scale.memory, sizeof number);
  EXPECT_TRUE(number == 0.5F);
  const Storage& zero_point = catalog.storages[catalog.tensors[names.tensors[1]].storage];
  int64_t integer = 0;
  ASSERT_TRUE(zero_point.bytes == sizeof integer);
  std::memcpy(&integer, zero_point.memory, sizeof integer);
  EXPECT_EQ(integer, -3);
}

TEST(quantized_convolution_is_a_tuple) {
  EXPECT_EQ(weights_of(conv(15)), "weight float32(2), scale float32(), zero_point int64()");
  EXPECT_EQ(weights_of(conv(14)), "10 float32(2)");
  EXPECT_EQ(weights_of(conv(2)), "");
}

TEST(quantized_values_that_do_not_fit_are_left_out) {
  for (const std::string& number :
       {none(), text("x"), list({}), kTensor, std::string("L99999999999999999999L\n")})
    EXPECT_EQ(weights_of(linear(number, number, none())), "");
  EXPECT_EQ(weights_of(linear(integer(1), "F1\n", none())), "");
  const std::string script = object("torch", "ScriptObject", tuple({}));
  for (const std::string& value : {none(), integer(1), list({kTensor}), script, dict({})})
    EXPECT_EQ(weights_of(packed(value)), "");
  // A module that has itself for weights.
  EXPECT_EQ(weights_of("}" + put(0) + text("a") + packed(tuple({get(0), kTensor})) + "s"),
            "a._packed_params.1 float32(2)");
  // The same names in a class of somebody else.
  EXPECT_EQ(weights_of(module_of("other.quantized", "Linear",
                                 {text("scale"), "F1\n", text("zero_point"), integer(1)})),
            "");
}
