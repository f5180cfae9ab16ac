// Arguments of torch's rebuild functions, good and odd ones, and legacy streams.
#pragma once

#include <string>
#include <vector>

#include "checkpoint_opened.h"

namespace torchmap::check {

using namespace std::string_literals;

inline const std::string kStorage = storage("0", 16);
inline const std::string kVector = small_tensor();
inline const std::string kIndices =
    tensor(storage("1", 8, "LongStorage"), integers({2}), integers({1}));
inline const std::string kMatrix =
    tensor(storage("2", 8, "LongStorage"), integers({2, 2}), integers({2, 1}));
inline const std::string kHooks = call("collections OrderedDict", {});

struct Function {
  std::string name;
  Values arguments;
  bool makes_tensor = true;
};

inline std::string quantizer(const std::string& scheme, const Values& rest) {
  return "(" + global("torch", scheme) + join(rest) + "t";
}

inline std::string layout(const std::string& name) {
  return call("torch.serialization _get_layout", {text("torch." + name)});
}

// The 16 bytes "0123..." of a numpy array of 4 floats.
inline std::string numpy_array() {
  return build(call("numpy.core.multiarray _reconstruct",
                    {global("numpy", "ndarray"), integers({0}), bytes("b")}),
               tuple({integer(1), integers({4}),
                      build(call("numpy dtype", {text("f4"), boolean(false), boolean(true)}),
                            tuple({integer(3), text("<"), none(), none(), none()})),
                      boolean(false), bytes("0123456789abcdef")}));
}

// Every function that makes a tensor, with arguments it can use.
inline const std::vector<Function>& functions() {
  static const Values view = {kStorage, integer(1), integers({2, 2}), integers({2, 1})};
  static const auto with = [](Values first, const Values& rest) {
    first.insert(first.end(), rest.begin(), rest.end());
    return first;
  };
  static const std::string qstorage = storage("3", 16, "QInt8Storage");
  static const std::vector<Function> all = {
      {"torch._utils _rebuild_tensor", view},
      {"torch._utils _rebuild_tensor_v2", with(view, {boolean(true), kHooks})},
      {"torch._utils _rebuild_tensor_v2",
       with(view, {boolean(true), kHooks, dict({text("conj"), boolean(true)})})},
      {"torch._utils _rebuild_tensor_v3",
       {storage("0", 64, "UntypedStorage"), integer(0), integers({2}), integers({1}),
        boolean(false), kHooks, global("torch", "uint16"), dict({})}},
      {"torch._utils _rebuild_parameter", {kVector, boolean(true), kHooks}},
      {"torch._utils _rebuild_parameter_with_state",
       {kVector, boolean(true), kHooks, dict({text("tag"), integer(1)})}},
      {"torch._utils _rebuild_qtensor",
       {qstorage, integer(0), integers({2, 2}), integers({2, 1}),
        quantizer("per_tensor_affine", {"F0.5\n", integer(3)}), boolean(false), kHooks}},
      {"torch._utils _rebuild_qtensor",
       {qstorage, integer(0), integers({2, 2}), integers({2, 1}),
        quantizer("per_channel_affine", {kVector, kIndices, integer(1)}), boolean(false), kHooks}},
      {"torch._utils _rebuild_qtensor",
       {qstorage, integer(0), integers({2, 2}), integers({2, 1}),
        quantizer("per_channel_affine",
                  {list({"F1\n", "F2\n"}), list({integer(0), integer(1)}), integer(0)}),
        boolean(false), kHooks}},
      {"torch._utils _rebuild_sparse_tensor",
       {layout("sparse_coo"), tuple({kMatrix, kVector, integers({9, 9}), boolean(true)})}},
      {"torch._utils _rebuild_sparse_tensor",
       {layout("sparse_csc"), tuple({kIndices, kIndices, kVector, integers({9, 9})})}},
      {"torch._utils _rebuild_sparse_csr_tensor",
       {layout("sparse_csr"), tuple({kIndices, kIndices, kVector, integers({9, 9})})}},
      {"torch._utils _rebuild_sparse_tensor",
       {integer(1), integers({9, 9}), boolean(false), kMatrix, kVector, kHooks}},
      {"torch._utils _rebuild_sparse_tensor",
       {integer(2), integers({9, 9}), boolean(false), kIndices, kIndices, kVector, kHooks}},
      {"torch._utils _rebuild_nested_tensor", {kVector, kMatrix, kMatrix, kIndices}},
      {"torch._utils _rebuild_nested_tensor",
       {kVector, kMatrix, kMatrix, list({integer(0), integer(1)})}},
      {"torch.nested._internal.nested_tensor _rebuild_njt",
       {dict({text("values"), kVector, text("offsets"), kIndices, text("lengths"), kIndices,
              text("_ragged_idx"), integer(1), text("requires_grad"), boolean(true)})}},
      {"torch._utils _rebuild_meta_tensor_no_storage",
       {global("torch", "float32"), integers({2, 3}), integers({3, 1}), boolean(true)}},
      {"torch._utils _rebuild_wrapper_subclass",
       {global("torch.distributed.tensor", "DTensor"), global("torch", "float32"), integers({2, 3}),
        integers({3, 1}), integer(0), layout("strided"), call("torch device", {text("cpu")}),
        boolean(false)}},
      {"torch._utils _rebuild_device_tensor_from_numpy",
       {numpy_array(), global("torch", "float32"), text("xla:0"), boolean(false)}},
      {"torch._utils _rebuild_device_tensor_from_cpu_tensor",
       {kVector, global("torch", "float32"), text("mtia:0"), boolean(false)}},
      {"torch._tensor _rebuild_from_type_v2",
       {global("torch._utils", "_rebuild_tensor_v2"), global("torch", "Tensor"),
        tuple(with(view, {boolean(true), kHooks})), dict({text("tag"), integer(1)})}},
      {"torch._tensor _rebuild_from_type_v2",
       {global("torch._utils", "_rebuild_wrapper_subclass"),
        global("torch.distributed.tensor", "DTensor"),
        tuple({global("torch.distributed.tensor", "DTensor"), global("torch", "float32"),
               integers({2}), integers({1}), integer(0), layout("strided"),
               call("torch device", {text("cpu")}), boolean(false)}),
        tuple({none(), dict({text("_local_tensor"), kVector})})}},
      {"torch.nn.parameter Parameter", {kVector, boolean(true)}},
      {"torch.autograd.variable Variable", {kVector}},
      {"torch Tensor", {kVector}},
      {"torch.sparse FloatTensor", {kMatrix, kVector, integers({9, 9})}},
      {"torch.storage _load_from_bytes", {bytes("no stream")}, false},
      {"numpy.core.multiarray scalar", {none(), bytes("1234")}, false},
      {"numpy.core.numeric _frombuffer", {bytes("1234"), none(), integers({4}), text("C")}, false},
      {"torch device", {text("cuda"), integer(1)}, false},
      {"torch Size", {integers({2})}, false},
      {"torch.serialization _get_layout", {text("torch.strided")}, false},
      {"builtins complex", {"F1\n", "F2\n"}, false},
      {"builtins bytes", {text("a"), text("latin1")}, false},
      {"_codecs encode", {text("a"), text("latin1")}, false},
      {"copyreg _reconstructor", {global("m", "x"), global("builtins", "object"), none()}, false},
      {"copyreg __newobj__", {global("collections", "OrderedDict")}, false},
      {"collections OrderedDict", {list({list({text("a"), kVector})})}, false},
      {"builtins set", {list({kVector})}, false},
  };
  return all;
}

// What should not be among the arguments. A list that holds the call is the nearest an argument
// can be to the call itself.
inline const Values& odd_values() {
  static const Values all = {none(),
                             integer(-1),
                             integer(INT64_MAX),
                             integer(INT64_MIN),
                             "F1e300\n",
                             "L99999999999999999999L\n",
                             boolean(true),
                             text("text"),
                             bytes("\xFF\0"s),
                             list({}),
                             tuple({}),
                             list({none(), none(), none(), none(), none()}),
                             integers({-1, INT64_MAX}),
                             integers({INT64_MAX, INT64_MAX, INT64_MAX}),
                             dict({text("conj"), text("conj")}),
                             dict({none(), none()}),
                             kVector,
                             kStorage,
                             numpy_array(),
                             global("m", "x"),
                             global("torch", "float64"),
                             call("m x", {}),
                             text("id") + "Q",
                             "\x82\1",
                             get(7)};
  return all;
}

// Opens, and reads all of it when it opens.
inline std::string outcome(const std::string& bytes) {
  OpenedCheckpoint checkpoint(bytes);
  if (checkpoint.ok()) return problem_of(*checkpoint);
  EXPECT_FALSE(checkpoint.failure().message.empty());
  return "";
}

// One call with its own arguments, where get(7) is a list that will hold the result.
inline std::string in_itself(const std::string& made) { return "]" + put(7) + made + "a"; }

// --- the legacy stream ---

inline std::string legacy(const std::string& object, const Values& keys,
                          const std::string& storages) {
  return "\x80\x02\x8A\x0A\x6C\xFC\x9C\x46\xF9\x20\x6A\xA8\x50\x19.\x80\x02M\xE9\x03."s +
         pickle(dict({text("little_endian"), boolean(true)})) + pickle(object) +
         pickle(list(keys)) + storages;
}
inline std::string legacy_storage(std::string_view key, int64_t numel,
                                  std::string_view location = "cpu",
                                  const std::string& view = none()) {
  return tuple({text("storage"), global("torch", "FloatStorage"), text(key), text(location),
                integer(numel), view}) +
         "Q";
}
inline std::string legacy_bytes(int64_t numel) {
  return le(static_cast<uint64_t>(numel), 8) + std::string(static_cast<size_t>(numel) * 4, '\x11');
}

inline const Tensor* only(OpenedCheckpoint& checkpoint) {
  return checkpoint.ok() ? checkpoint.tensor("") : nullptr;
}

}  // namespace torchmap::check
