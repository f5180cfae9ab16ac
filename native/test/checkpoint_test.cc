// Checkpoints as a whole: the rebuild functions, their arguments, and what crafted files try.
#include "core/checkpoint.h"

#include "check.h"
#include "checkpoint_opened.h"

using namespace torchmap;
using namespace torchmap::check;
using namespace std::string_literals;

namespace {

const std::string kStorage = storage("0", 16);
const std::string kVector = small_tensor();
const std::string kIndices = tensor(storage("1", 8, "LongStorage"), integers({2}), integers({1}));
const std::string kMatrix =
    tensor(storage("2", 8, "LongStorage"), integers({2, 2}), integers({2, 1}));
const std::string kHooks = call("collections OrderedDict", {});

struct Function {
  std::string name;
  Values arguments;
  bool makes_tensor = true;
};

std::string quantizer(const std::string& scheme, const Values& rest) {
  return "(" + global("torch", scheme) + join(rest) + "t";
}

std::string layout(const std::string& name) {
  return call("torch.serialization _get_layout", {text("torch." + name)});
}

// The 16 bytes "0123..." of a numpy array of 4 floats.
std::string numpy_array() {
  return build(call("numpy.core.multiarray _reconstruct",
                    {global("numpy", "ndarray"), integers({0}), bytes("b")}),
               tuple({integer(1), integers({4}),
                      build(call("numpy dtype", {text("f4"), boolean(false), boolean(true)}),
                            tuple({integer(3), text("<"), none(), none(), none()})),
                      boolean(false), bytes("0123456789abcdef")}));
}

// Every function that makes a tensor, with arguments it can use.
const std::vector<Function>& functions() {
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
const Values& odd_values() {
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
std::string outcome(const std::string& bytes) {
  OpenedCheckpoint checkpoint(bytes);
  if (checkpoint.ok()) return problem_of(*checkpoint);
  EXPECT_FALSE(checkpoint.failure().message.empty());
  return "";
}

// One call with its own arguments, where get(7) is a list that will hold the result.
std::string in_itself(const std::string& made) { return "]" + put(7) + made + "a"; }

// --- the legacy stream ---

std::string legacy(const std::string& object, const Values& keys, const std::string& storages) {
  return "\x80\x02\x8A\x0A\x6C\xFC\x9C\x46\xF9\x20\x6A\xA8\x50\x19.\x80\x02M\xE9\x03."s +
         pickle(dict({text("little_endian"), boolean(true)})) + pickle(object) +
         pickle(list(keys)) + storages;
}
std::string legacy_storage(std::string_view key, int64_t numel, std::string_view location = "cpu",
                           const std::string& view = none()) {
  return tuple({text("storage"), global("torch", "FloatStorage"), text(key), text(location),
                integer(numel), view}) +
         "Q";
}
std::string legacy_bytes(int64_t numel) {
  return le(static_cast<uint64_t>(numel), 8) + std::string(static_cast<size_t>(numel) * 4, '\x11');
}

const Tensor* only(OpenedCheckpoint& checkpoint) {
  return checkpoint.ok() ? checkpoint.tensor("") : nullptr;
}

}  // namespace

TEST(rebuild_good_arguments) {
  for (const Function& function : functions()) {
    OpenedCheckpoint checkpoint(archive_of(call(function.name, function.arguments)));
    if (!function.makes_tensor) continue;
    EXPECT_EQ(checkpoint.ok() ? "" : function.name + ": " + checkpoint.failure().message, "");
    if (!checkpoint.ok()) continue;
    EXPECT_EQ(problem_of(*checkpoint), "");
    EXPECT_EQ(checkpoint->names().size(), 1);
    EXPECT_EQ(checkpoint->skipped().size(), 0);
  }
}

TEST(rebuild_too_few_arguments) {
  for (const Function& function : functions()) {
    for (size_t count = 0; count < function.arguments.size(); ++count) {
      const Values some(function.arguments.begin(),
                        function.arguments.begin() + static_cast<ptrdiff_t>(count));
      EXPECT_EQ(outcome(archive_of(call(function.name, some))), "");
    }
    EXPECT_EQ(outcome(archive_of(call_with(function.name, call("m x", {})))), "");
  }
}

TEST(rebuild_odd_arguments) {
  for (const Function& function : functions()) {
    for (size_t position = 0; position < function.arguments.size(); ++position) {
      for (const std::string& odd : odd_values()) {
        Values arguments = function.arguments;
        arguments[position] = odd;
        EXPECT_EQ(outcome(archive_of(in_itself(call(function.name, arguments)))), "");
      }
    }
  }
}

// The parts of the arguments that are tuples or dicts themselves.
TEST(rebuild_odd_parts_of_arguments) {
  for (const std::string& odd : odd_values()) {
    const Values cases[] = {
        {"torch._utils _rebuild_sparse_tensor", layout("sparse_coo"),
         tuple({odd, kVector, integers({9, 9})})},
        {"torch._utils _rebuild_sparse_tensor", layout("sparse_coo"),
         tuple({kMatrix, odd, integers({9, 9})})},
        {"torch._utils _rebuild_sparse_tensor", layout("sparse_coo"),
         tuple({kMatrix, kVector, odd, odd})},
        {"torch._utils _rebuild_sparse_tensor", layout("sparse_bsr"),
         tuple({kIndices, odd, kVector, integers({9, 9})})},
        {"torch.nested._internal.nested_tensor _rebuild_njt",
         dict({text("values"), odd, text("offsets"), kIndices})},
        {"torch.nested._internal.nested_tensor _rebuild_njt",
         dict({text("values"), kVector, text("offsets"), odd, text("_ragged_idx"), odd})},
        {"torch.nested._internal.nested_tensor _rebuild_njt",
         dict({text("values"), kVector, text("offsets"), kIndices, text("lengths"), odd})},
        {"torch._tensor _rebuild_from_type_v2", global("torch._utils", "_rebuild_tensor_v2"),
         global("torch", "Tensor"), tuple({odd, odd, odd, odd, odd, odd, odd}), odd},
        {"torch._tensor _rebuild_from_type_v2", global("torch._utils", "_rebuild_wrapper_subclass"),
         none(), functions()[18].arguments[0] + "0" + tuple(functions()[18].arguments),
         tuple({odd, dict({text("_local_tensor"), odd})})},
    };
    for (const Values& made : cases) {
      const Values arguments(made.begin() + 1, made.end());
      EXPECT_EQ(outcome(archive_of(in_itself(call(made[0], arguments)))), "");
    }
    for (const char* scheme : {"per_tensor_affine", "per_channel_affine", "per_channel_symmetric",
                               "per_tensor_", "float32"}) {
      for (size_t position = 0; position < 4; ++position) {
        Values parts = {global("torch", scheme), kVector, kIndices, integer(0)};
        parts[position] = odd;
        EXPECT_EQ(outcome(archive_of(in_itself(
                      call("torch._utils _rebuild_qtensor",
                           {storage("3", 16, "QInt8Storage"), integer(0), integers({2, 2}),
                            integers({2, 1}), tuple(parts), boolean(false), kHooks})))),
                  "");
      }
    }
  }
}

TEST(rebuild_odd_states) {
  for (const char* type : {"torch FloatTensor", "torch.cuda LongTensor", "torch.nn Parameter",
                           "torch.autograd.variable Variable", "torch Tensor",
                           "torch.sparse FloatTensor", "torch.nn.parameter Buffer"}) {
    for (const std::string& odd : odd_values()) {
      for (const Values& parts :
           {Values{odd, integer(0), integers({2}), integers({1})},
            Values{kStorage, odd, integers({2}), integers({1})},
            Values{kStorage, integer(0), odd, integers({1})},
            Values{kStorage, integer(0), integers({2}), odd},
            Values{odd, none(), none(), boolean(true), boolean(false)},
            Values{kVector, none(), none(), odd, odd}, Values{odd, odd, odd}, Values{odd, odd}}) {
        EXPECT_EQ(outcome(archive_of(in_itself(build(call(type, {}), tuple(parts))))), "");
        EXPECT_EQ(outcome(archive_of(in_itself(build(call(type, {kVector}), tuple(parts))))), "");
      }
      EXPECT_EQ(outcome(archive_of(in_itself(build(call(type, {}), odd)))), "");
    }
    EXPECT_EQ(outcome(archive_of(call(type, {}) + put(7) + get(7) + "b")), "");
  }
}

TEST(persistent_id_odd_parts) {
  for (const std::string& odd : odd_values()) {
    for (size_t position = 0; position < 6; ++position) {
      Values parts = {text("storage"), global("torch", "FloatStorage"),
                      text("0"),       text("cpu"),
                      integer(4),      none()};
      parts[position] = odd;
      const std::string id = tuple(parts) + "Q";
      EXPECT_EQ(outcome(archive_of(in_itself(id))), "");
      EXPECT_EQ(outcome(archive_of(in_itself(tensor(id, integers({2}), integers({1}))))), "");
      EXPECT_EQ(outcome(legacy(in_itself(id), {text("0")}, legacy_bytes(4))), "");
    }
    EXPECT_EQ(outcome(archive_of(in_itself(odd + "Q"))), "");
    EXPECT_EQ(outcome(archive_of(in_itself(tuple({text("module"), odd}) + "Q"))), "");
    EXPECT_EQ(outcome(pickle(in_itself(odd + "Q"))), "");
  }
  EXPECT_EQ(outcome(archive_of("]" + put(0) + get(0) + "Q" + put(1) + "a0" + get(1))), "");
}

TEST(persistent_id_as_text) {
  const auto named = [](const std::string& id) { return names_of("P" + id + "\n"); };
  EXPECT_EQ(named("('storage', <class 'torch.FloatStorage'>, '0', 'cpu', 3)"), " float32(3)");
  for (const char* id :
       {"", "0", "('storage'", "('storage', ", "('module', 'x')",
        "('storage', <class 'torch.FloatStorage'>)",
        "('storage', <class 'torch.FloatStorage>, '0', 'cpu', 3)",
        "('storage', <class 'FloatStorage'>, '0', 'cpu', 3)",
        "('storage', <class 'os.system'>, '0', 'cpu', 3)",
        "('storage', <class 'torch.FloatStorage'>, '0', 'cpu', x)",
        "('storage', <class 'torch.FloatStorage'>, '0', 'cpu', -3)",
        "('storage', <class 'torch.FloatStorage'>, '0', 'cpu', 99999999999999999999)",
        "('storage', <class 'torch.FloatStorage'>, '0', 'cpu', )",
        "('storage', <class 'torch.FloatStorage'>, '0', 'cpu'"}) {
    EXPECT_TRUE(named(id).starts_with("BAD_"));
  }
}

TEST(geometry_against_the_storage) {
  const auto of = [](const std::string& sizes, const std::string& strides, int64_t offset) {
    return names_of(tensor(storage("0", 16), sizes, strides, offset));
  };
  EXPECT_EQ(of(integers({4, 4}), integers({4, 1}), 0), " float32(4, 4)");
  EXPECT_EQ(of(integers({4, 4}), integers({4, 1}), 1), "BAD_TENSOR");
  EXPECT_EQ(of(integers({16}), integers({1}), 0), " float32(16)");
  EXPECT_EQ(of(integers({17}), integers({1}), 0), "BAD_TENSOR");
  EXPECT_EQ(of(integers({}), integers({}), 15), " float32()");
  EXPECT_EQ(of(integers({}), integers({}), 16), "BAD_TENSOR");
  EXPECT_EQ(of(integers({2}), integers({15}), 0), " float32(2)");
  EXPECT_EQ(of(integers({2}), integers({16}), 0), "BAD_TENSOR");
  EXPECT_EQ(of(integers({0}), integers({1}), 999), " float32(0)");  // empty: anything goes
  EXPECT_EQ(of(integers({int64_t{1} << 40}), integers({0}), 0), " float32(1099511627776)");
  for (const int64_t huge : {INT64_MAX, INT64_MAX - 1, int64_t{1} << 62, int64_t{1} << 61}) {
    EXPECT_EQ(of(integers({2}), integers({huge}), 0), "BAD_TENSOR");
    EXPECT_EQ(of(integers({huge}), integers({1}), 0), "BAD_TENSOR");
    EXPECT_EQ(of(integers({huge, huge}), integers({0, 0}), 0), "BAD_TENSOR");
    EXPECT_EQ(of(integers({1}), integers({1}), huge), "BAD_TENSOR");
    EXPECT_EQ(of(integers({2, 2}), integers({huge, huge}), 0), "BAD_TENSOR");
    EXPECT_EQ(of(integers({-huge}), integers({1}), 0), "BAD_TENSOR");
  }
  EXPECT_EQ(of(integers({int64_t{1} << 32, int64_t{1} << 32}), integers({0, 0}), 0),
            "BAD_TENSOR");  // the product wraps to 0
}

TEST(geometry_in_bytes_of_the_dtype) {
  const auto of = [](const char* dtype, int64_t count) {
    return names_of(call("torch._utils _rebuild_tensor_v3",
                         {storage("0", 64, "UntypedStorage"), integer(0), integers({count}),
                          integers({1}), boolean(false), kHooks, global("torch", dtype)}));
  };
  EXPECT_EQ(of("uint16", 32), " uint16(32)");
  EXPECT_EQ(of("uint16", 33), "BAD_TENSOR");
  EXPECT_EQ(of("complex128", 4), " complex128(4)");
  EXPECT_EQ(of("complex128", 5), "BAD_TENSOR");
  EXPECT_EQ(of("quint4x2", 128), " quint4x2(128)");
  EXPECT_EQ(of("quint4x2", 129), "BAD_TENSOR");
  EXPECT_EQ(of("int3", 1), "");  // skipped: no storage holds it
}

TEST(storage_sizes) {
  EXPECT_EQ(names_of(storage("0", 16)), " float32(16)");
  EXPECT_EQ(names_of(storage("0", 17)), "TRUNCATED");
  EXPECT_EQ(names_of(storage("0", 4)), " float32(4)");
  EXPECT_EQ(names_of(storage("0", -1)), "BAD_TENSOR");
  EXPECT_EQ(names_of(storage("0", INT64_MAX)), "BAD_TENSOR");
  EXPECT_EQ(names_of(storage("0", int64_t{1} << 62)), "BAD_TENSOR");
  EXPECT_EQ(names_of(storage("9", 1)), "BAD_RECORD");
  EXPECT_EQ(names_of(storage("../data.pkl", 1)), "BAD_RECORD");
  EXPECT_EQ(names_of(storage("9", 0)), " float32(0)");
  EXPECT_EQ(names_of(storage("0", int64_t{1} << 50, "FloatStorage", "meta")),
            " float32(1125899906842624)");
}

TEST(storage_used_in_two_ways) {
  const std::string value = list({storage("0", 16), storage("0", 8), storage("0", 8, "IntStorage"),
                                  storage("0", 16), storage("0", 64, "UntypedStorage")});
  OpenedCheckpoint checkpoint(archive_of(value));
  ASSERT_TRUE(checkpoint.ok());
  EXPECT_EQ(checkpoint->catalog().storages.size(), 4);
  EXPECT_EQ(problem_of(*checkpoint), "");
}

TEST(metadata_of_a_tensor) {
  const auto flags = [](const std::string& metadata) {
    Values arguments =
        tensor_arguments(storage("0", 8, "ComplexFloatStorage"), integers({2}), integers({1}));
    arguments.push_back(metadata);
    OpenedCheckpoint checkpoint(archive_of(call("torch._utils _rebuild_tensor_v2", arguments)));
    if (!checkpoint.ok()) return std::string(code_name(checkpoint.failure().code));
    return std::to_string(only(checkpoint)->flags & (kConjugate | kNegative));
  };
  const std::string yes = boolean(true);
  EXPECT_EQ(flags(none()), "0");
  EXPECT_EQ(flags(dict({})), "0");
  EXPECT_EQ(flags(dict({text("conj"), yes})), std::to_string(kConjugate));
  EXPECT_EQ(flags(dict({text("neg"), yes})), std::to_string(kNegative));
  EXPECT_EQ(flags(dict({text("neg"), yes, text("conj"), yes})),
            std::to_string(kNegative | kConjugate));
  EXPECT_EQ(flags(dict({text("neg"), boolean(false)})), "0");
  EXPECT_EQ(flags(call("torch.jit._pickle restore_type_tag",
                       {dict({text("conj"), yes}), text("Dict[str, bool]")})),
            std::to_string(kConjugate));
  EXPECT_EQ(flags(dict({text("conj"), yes, text("x"), yes})), "BAD_TENSOR");
  EXPECT_EQ(flags(dict({text("conj"), text("yes")})), "BAD_TENSOR");
  EXPECT_EQ(flags(list({})), "BAD_TENSOR");
}

// A conjugated, negated tensor reads as what it means.
TEST(conjugate_and_negate_together) {
  const float stored[] = {1, 2, 3, -4};
  float dense[4];
  const int64_t size = 2, stride = 1;
  gather(reinterpret_cast<const std::byte*>(stored), 8, {&size, 1}, {&stride, 1},
         reinterpret_cast<std::byte*>(dense));
  conjugate(reinterpret_cast<std::byte*>(dense), DType::kComplex64, 2);
  negate(reinterpret_cast<std::byte*>(dense), DType::kComplex64, 2);
  EXPECT_TRUE(dense[0] == -1 && dense[1] == 2 && dense[2] == -3 && dense[3] == -4);
}

// Resolving one argument moves the tables the others are read from.
TEST(arguments_that_move_the_tables) {
  std::string many;
  for (int i = 0; i < 50'000; ++i) many += get(9);
  const std::string mover =
      call("copyreg __newobj__", {global("collections", "OrderedDict"), many});
  Values arguments = tensor_arguments(storage("0", 2), integers({2}), integers({1}));
  arguments.push_back(mover);
  const std::string one = integer(1) + put(9) + "0";
  EXPECT_EQ(names_of(one + call("torch._utils _rebuild_tensor_v2", arguments)), " float32(2)");
  for (size_t position = 0; position < arguments.size(); ++position) {
    Values moved = arguments;
    moved[position] = mover;
    EXPECT_EQ(outcome(archive_of(one + call("torch._utils _rebuild_tensor_v2", moved))), "");
  }
  // Pairs of a dict's arguments.
  EXPECT_EQ(names_of(one + call("collections OrderedDict",
                                {list({mover, mover}), list({list({text("a"), kVector})})})),
            "a float32(2)");
  // Attributes of a tensor.
  EXPECT_EQ(outcome(archive_of(one + build(kVector, tuple({mover, mover})) + get(9) + "\x86")), "");
  EXPECT_EQ(outcome(archive_of(one + build(kVector, mover))), "");
  EXPECT_EQ(outcome(archive_of(one + list({mover, mover, kVector}))), "");
}

TEST(tensors_of_old_torch) {
  const std::string view =
      tuple({kStorage, integer(1), call("torch Size", {integers({3})}), integers({1})});
  EXPECT_EQ(names_of(build(call("torch FloatTensor", {}), view)), " float32(3)");
  EXPECT_EQ(names_of(build(global("torch.cuda", "FloatTensor") + ")\x81", view)), " float32(3)");
  EXPECT_EQ(names_of(call("torch FloatTensor", {})), " float32(0)");
  const std::string parameter =
      build(call("torch.nn.parameter Parameter", {kVector, boolean(false)}),
            tuple({boolean(true), boolean(false), kHooks}));
  OpenedCheckpoint checkpoint(archive_of(parameter));
  ASSERT_TRUE(checkpoint.ok());
  EXPECT_EQ(only(checkpoint)->flags & (kIsParameter | kRequiresGrad), kIsParameter | kRequiresGrad);
  OpenedCheckpoint variable(
      archive_of(build(call("torch.autograd.variable Variable", {}),
                       tuple({kVector, none(), kHooks, boolean(true), boolean(false)}))));
  ASSERT_TRUE(variable.ok());
  EXPECT_EQ(only(variable)->flags & kRequiresGrad, kRequiresGrad);
}

TEST(legacy_stream) {
  const std::string object =
      dict({text("a"), tensor(legacy_storage("k", 4), integers({4}), integers({1})), text("b"),
            tensor(legacy_storage("k", 4, "cpu", tuple({text("v"), integer(1), integer(2)})),
                   integers({2}), integers({1}))});
  const std::string whole = legacy(object, {text("k")}, legacy_bytes(4));
  OpenedCheckpoint checkpoint(whole);
  ASSERT_TRUE(checkpoint.ok());
  EXPECT_EQ(format_name(checkpoint->format()), "legacy");
  EXPECT_EQ(shown(checkpoint->catalog(), checkpoint->names()), "a float32(4), b float32(2)");
  EXPECT_EQ(problem_of(*checkpoint), "");
  for (size_t length = 0; length < whole.size(); ++length)
    EXPECT_FALSE(OpenedCheckpoint(whole.substr(0, length)).ok());
}

TEST(legacy_storages_that_do_not_fit) {
  const std::string object = tensor(legacy_storage("k", 4), integers({4}), integers({1}));
  const auto code = [](const std::string& bytes) {
    OpenedCheckpoint checkpoint(bytes);
    return checkpoint.ok() ? "opened" : std::string(code_name(checkpoint.failure().code));
  };
  EXPECT_EQ(code(legacy(object, {}, "")), "BAD_RECORD");
  EXPECT_EQ(code(legacy(object, {text("x")}, legacy_bytes(4))), "BAD_RECORD");
  EXPECT_EQ(code(legacy(object, {text("k"), text("x")}, legacy_bytes(4))), "BAD_RECORD");
  EXPECT_EQ(code(legacy(object, {text("k")}, legacy_bytes(3))), "BAD_RECORD");
  EXPECT_EQ(code(legacy(object, {text("k")}, le(static_cast<uint64_t>(-1), 8))), "BAD_RECORD");
  EXPECT_EQ(code(legacy(object, {text("k")}, le(uint64_t{1} << 61, 8))), "BAD_RECORD");
  EXPECT_EQ(code(legacy(object, {text("k")}, le(4, 8) + "short")), "TRUNCATED");
  EXPECT_EQ(code(legacy(object, {text("k")}, "")), "TRUNCATED");
  EXPECT_EQ(code(legacy(object, {none()}, "")), "BAD_PICKLE");
  for (const std::string& view :
       {tuple({text("v"), integer(3), integer(2)}), tuple({text("v"), integer(-1), integer(2)}),
        tuple({text("v"), integer(1), integer(-1)}),
        tuple({text("v"), integer(INT64_MAX), integer(INT64_MAX)}), tuple({text("v"), integer(1)}),
        tuple({none(), integer(1), integer(1)}), integer(1)}) {
    EXPECT_EQ(code(legacy(legacy_storage("k", 4, "cpu", view), {text("k")}, legacy_bytes(4))),
              "BAD_TENSOR");
  }
}

TEST(tensor_in_a_plain_pickle) {
  const std::string nested = legacy(legacy_storage("k", 4), {text("k")}, legacy_bytes(4));
  const auto of = [](const std::string& stream) {
    OpenedCheckpoint checkpoint(pickle(tensor(
        call("torch.storage _load_from_bytes", {bytes(stream)}), integers({4}), integers({1}))));
    if (!checkpoint.ok()) return std::string(code_name(checkpoint.failure().code));
    EXPECT_EQ(problem_of(*checkpoint), "");
    return shown(checkpoint->catalog(), checkpoint->names());
  };
  EXPECT_EQ(of(nested), " float32(4)");
  for (size_t length = 0; length < nested.size(); ++length)
    EXPECT_TRUE(of(nested.substr(0, length)) != " float32(4)");
  EXPECT_EQ(of(pickle(none())), "BAD_TENSOR");
}

// A storage of the meta device has no bytes, so that nothing bounds what it says of its size.
TEST(tensor_in_a_plain_pickle_without_bytes) {
  const int64_t huge = int64_t{1} << 40;
  const std::string nested = legacy(legacy_storage("k", huge, "meta"), {}, "");
  const std::string view = legacy(
      legacy_storage("k", huge, "meta", tuple({text("v"), integer(1), integer(huge / 2)})), {}, "");
  for (const std::string& stream : {nested, view}) {
    OpenedCheckpoint checkpoint(
        pickle(tensor(call("torch.storage _load_from_bytes", {bytes(stream)}), integers({4}),
                      integers({1}), int64_t{1} << 20)));
    if (!checkpoint.ok()) continue;
    for (const Storage& row : checkpoint->catalog().storages) {
      EXPECT_NE(row.place, StoragePlace::kMemory);
      EXPECT_NE(row.place, StoragePlace::kFile);
    }
  }
}

TEST(formats_told_apart) {
  const auto of = [](const std::string& bytes) {
    OpenedCheckpoint checkpoint(bytes);
    return checkpoint.ok() ? std::string(format_name(checkpoint->format()))
                           : std::string(code_name(checkpoint.failure().code));
  };
  EXPECT_EQ(of(archive_of(none())), "zip");
  EXPECT_EQ(of(pickle(none())), "pickle");
  EXPECT_EQ(of(""), "NOT_A_CHECKPOINT");
  EXPECT_EQ(of("version https://git-lfs.github.com/spec/v1\n"), "NOT_A_CHECKPOINT");
  EXPECT_EQ(of("<!DOCTYPE html>"), "NOT_A_CHECKPOINT");
  EXPECT_EQ(of("\x80\x02"), "TRUNCATED");
  EXPECT_EQ(of("PK\3\4"), "TRUNCATED");
  EXPECT_EQ(of(legacy(none(), {}, "")), "legacy");
}

TEST(strict_globals) {
  OpenOptions options;
  options.strict_globals = true;
  EXPECT_EQ(names_of(kVector, options), " float32(2)");
  // Also one that nothing can reach.
  OpenedCheckpoint checkpoint(archive_of(global("os", "system") + "0" + kVector), options);
  ASSERT_FALSE(checkpoint.ok());
  EXPECT_EQ(code_name(checkpoint.failure().code), "UNSAFE_GLOBAL");
  EXPECT_EQ(checkpoint.failure().subject, "os.system");
  EXPECT_TRUE(checkpoint.failure().offset.has_value());
  EXPECT_EQ(names_of(global("os", "system") + "0" + kVector), " float32(2)");
}

TEST(failures_name_their_record_and_place) {
  ZipBytes zip;
  zip.add("archive/data.pkl", "\x80\2NN\xFF.");
  OpenedCheckpoint checkpoint(zip.finish());
  ASSERT_FALSE(checkpoint.ok());
  EXPECT_EQ(checkpoint.failure().record, "archive/data.pkl");
  EXPECT_EQ(checkpoint.bytes[checkpoint.failure().offset.value()], '\xFF');
}

TEST(cancelled_while_opening) {
  std::atomic<bool> cancelled = true;
  OpenOptions options;
  options.cancelled = &cancelled;
  for (const std::string& bytes : {archive_of(kVector), pickle(none()), legacy(none(), {}, "")}) {
    OpenedCheckpoint checkpoint(bytes, options);
    ASSERT_FALSE(checkpoint.ok());
    EXPECT_EQ(code_name(checkpoint.failure().code), "ABORT_ERR");
  }
}

TEST(windows_of_storages) {
  OpenedCheckpoint checkpoint(
      archive_of(list({storage("0", 16), storage("1", 16), storage("2", 0), storage("3", 16)})));
  ASSERT_TRUE(checkpoint.ok());
  Windows windows(*checkpoint);
  auto first = windows.find(0, 0, 64, 1 << 30);
  ASSERT_TRUE(first.ok());
  EXPECT_TRUE(first->fresh);
  auto second = windows.find(1, 4, 64, 1 << 30);
  ASSERT_TRUE(second.ok());
  EXPECT_EQ(second->id, first->id);  // small neighbours share one
  EXPECT_FALSE(second->fresh);
  EXPECT_EQ(static_cast<uint8_t>(checkpoint.bytes[second->begin + second->offset]), 64 + 4);
  auto empty = windows.find(2, 0, 0, 1 << 30);
  ASSERT_TRUE(empty.ok());
  EXPECT_LE(empty->end, checkpoint.bytes.size());
}

TEST(resource_shared_records_of_numpy) {
  // Records in records, each with a thousand fields of the one below.
  const std::string name = text("a") + put(1) + "0";
  std::string dtype = build(call("numpy dtype", {text("i1")}), tuple({integer(3), text("|")}));
  std::string value = name + dtype + put(2) + "0";
  for (int level = 0; level < 7; ++level) {
    value += build(call("numpy dtype", {text("V1")}),
                   tuple({integer(3), text("|"), none(), tuple({repeat(get(1), 1000)}),
                          dict({get(1), tuple({get(2), integer(0)})}), integer(1), integer(-1)})) +
             put(2) + "0";
  }
  EXPECT_EQ(outcome(archive_of(value + call("numpy.core.multiarray scalar", {get(2), bytes("a")}))),
            "");
}

TEST(resource_many_tensors) {
  // A hundred thousand over one storage, which is known by then.
  std::string value =
      kStorage + put(1) + "0" + global("torch._utils", "_rebuild_tensor_v2") + put(2) + "0" +
      tuple({get(1), integer(0), integers({2}), integers({1}), boolean(false), kHooks}) + put(3) +
      "0](" + repeat(get(2) + get(3) + "R", 100'000) + "e";
  OpenedCheckpoint checkpoint(archive_of(value));
  ASSERT_TRUE(checkpoint.ok());
  EXPECT_EQ(checkpoint->names().size(), 100'000);
  EXPECT_EQ(checkpoint->catalog().storages.size(), 1);
}

// Sharing must not multiply what is kept: N calls over one long argument.
TEST(resource_shared_arguments) {
  const auto numpy_dtype = [](std::string_view code) {
    return build(call("numpy dtype", {text(code)}), tuple({integer(3), text("<"), none()}));
  };
  const std::string zeros = repeat("\0\0\0a"s, 25'000), accents = repeat("\xC3\xA9", 50'000);
  const std::string ones = repeat(integer(1), 1000);
  const std::string deep_vector = tensor(storage("0", 1), "(" + ones + "t", "(" + ones + "t");
  struct Case {
    std::string function;
    Values arguments;
  };
  for (const Case& shared : std::initializer_list<Case>{
           {"_codecs encode", {text(accents), text("latin1")}},
           {"builtins bytes", {text(accents), text("latin1")}},
           {"builtins bytes", {bytes(zeros)}},
           {"builtins bytearray", {bytes(zeros)}},
           {"torch device", {text(accents), integer(1)}},
           {"torch.serialization _get_layout", {text(accents)}},
           {"numpy.core.multiarray scalar", {numpy_dtype("U25000"), bytes(zeros)}},
           {"numpy.core.multiarray scalar", {numpy_dtype("S100000"), bytes(zeros)}},
           {"numpy.core.multiarray scalar", {numpy_dtype("V100000"), bytes(zeros)}},
           {"numpy.core.numeric _frombuffer",
            {bytes(zeros), numpy_dtype("S1"), integers({100'000}), text("C")}},
           {"numpy.core.numeric _frombuffer",
            {text(accents), numpy_dtype("u1"), integers({50'000}), text("C")}},
           {"builtins set", {list({repeat("N", 50'000)})}},
           {"builtins list", {list({repeat("N", 50'000)})}},
           {"collections OrderedDict",
            {list({list({none(), none()}) + put(5), repeat(get(5), 10'000)})}},
           {"copyreg __newobj__", {global("m", "x"), repeat("N", 50'000)}},
           {"torch Size", {tuple({repeat("N", 50'000)})}},
           {"torch._utils _rebuild_meta_tensor_no_storage",
            {global("torch", "float32"), "(" + ones + "t", "(" + ones + "t", boolean(false)}},
           {"torch.nested._internal.nested_tensor _rebuild_njt",
            {dict({text("values"), deep_vector, text("offsets"), kIndices})}},
           {"torch._utils _rebuild_qtensor",
            {storage("3", 16, "QInt8Storage"), integer(0), "(" + ones + "t", "(" + ones + "t",
             quantizer("per_tensor_affine", {"F0.5\n", integer(3)}), boolean(false)}},
       }) {
    const size_t space = shared.function.find(' ');
    const std::string value =
        tuple(shared.arguments) + put(1) + "0" +
        global(shared.function.substr(0, space), shared.function.substr(space + 1)) + put(2) +
        "0](" + repeat(get(2) + get(1) + "R", 3000) + "e";
    OpenedCheckpoint checkpoint(archive_of(value));
    if (!checkpoint.ok()) continue;  // a limit, or what could no longer be read
    const size_t most = 100 * checkpoint.bytes.size();
    EXPECT_LE(checkpoint->catalog().dims.size() * sizeof(int64_t), most);
    auto tape = make_tape(checkpoint->interpreter(), checkpoint->root());
    if (!tape.ok()) {
      EXPECT_TRUE(code_name(tape.status().code()).starts_with("LIMIT_"));
      continue;
    }
    EXPECT_LE(tape->words.size() * sizeof(uint32_t), most);
    EXPECT_LE(tape->bytes.size(), most);
    EXPECT_LE(tape->text.size() * sizeof(char16_t), most);
  }
}

// A dtype with many fields, looked at anew for each scalar.
TEST(resource_shared_fields_of_numpy) {
  std::string names, fields;
  for (int i = 0; i < 100; ++i) names += text("f" + std::to_string(i));
  for (int i = 0; i < 5000; ++i) fields += text("f" + std::to_string(i)) + get(1);
  const std::string value =
      tuple(
          {build(call("numpy dtype", {text("i1")}), tuple({integer(3), text("|")})), integer(0)}) +
      put(1) + "0" +
      build(call("numpy dtype", {text("V100")}),
            tuple({integer(3), text("|"), none(), tuple({names}), dict({fields}), integer(100),
                   integer(-1)})) +
      put(2) + "0" + bytes(repeat("a", 100)) + put(3) + "0" +
      global("numpy.core.multiarray", "scalar") + put(4) + "0](" +
      repeat(get(4) + get(2) + get(3) + "\x86R", 1000) + "e";
  EXPECT_EQ(names_of(value), "LIMIT_WORK");
}
