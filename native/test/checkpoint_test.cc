// Checkpoints as a whole: the rebuild functions, their arguments, and what crafted files try.
#include "core/checkpoint.h"

#include "check.h"
#include "rebuild_samples.h"

using namespace torchmap;
using namespace torchmap::check;
using namespace std::string_literals;

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
