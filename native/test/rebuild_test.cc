// Rebuild functions with arguments that are too few, odd, or of the wrong kind, and persistent ids.
#include "check.h"
#include "rebuild_samples.h"

using namespace torchmap;
using namespace torchmap::check;
using namespace std::string_literals;

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
