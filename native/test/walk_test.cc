// Names for what can be reached, and the weights inside whatever was saved.
#include "core/torch/walk.h"

#include <pthread.h>

#include "check.h"
#include "checkpoint_opened.h"

using namespace torchmap;
using namespace torchmap::check;
using namespace std::string_literals;

namespace {

const std::string kTensor = small_tensor();

// An nn.Module as pickled. Parts are values; `more` are further entries of its attributes.
std::string module(const std::string& parameters, const std::string& buffers,
                   const std::string& modules, const Values& more = {}) {
  Values state = {text("training"), boolean(true), text("_parameters"), parameters,
                  text("_buffers"), buffers,       text("_modules"),    modules};
  state.insert(state.end(), more.begin(), more.end());
  return build(global("net", "Net") + ")\x81", dict(state));
}

std::string ordered(const Values& entries) {
  return call("collections OrderedDict", {}) + "(" + join(entries) + "u";
}

OpenOptions with_limit(uint64_t Limits::*limit, uint64_t value) {
  OpenOptions options;
  options.limits.*limit = value;
  return options;
}

std::string skipped_of(OpenedCheckpoint& checkpoint) {
  std::string out;
  for (const Skipped& row : checkpoint->skipped())
    out += row.name + " " + std::string(code_name(row.code)) + ";";
  return out;
}

}  // namespace

TEST(walk_names_of_containers) {
  EXPECT_EQ(names_of(kTensor), " float32(2)");
  EXPECT_EQ(names_of(dict({text("a"), kTensor, text("b.c"), kTensor})),
            "a float32(2), b.c float32(2)");
  EXPECT_EQ(names_of(list({kTensor, none(), tuple({kTensor})})), "0 float32(2), 2.0 float32(2)");
  EXPECT_EQ(names_of(dict({text(""), kTensor})), " float32(2)");
  EXPECT_EQ(names_of("(" + kTensor + "\x91"), "0 float32(2)");
  EXPECT_EQ(names_of(op(Opcode::kEMPTY_SET) + "(" + kTensor + "\x90"), "0 float32(2)");
  EXPECT_EQ(names_of(none()), "");
  EXPECT_EQ(names_of(dict({})), "");
}

TEST(walk_names_of_calls) {
  EXPECT_EQ(names_of(ordered({text("a"), kTensor})), "a float32(2)");
  EXPECT_EQ(names_of(call("collections OrderedDict", {list({list({text("a"), kTensor})})})),
            "a float32(2)");
  EXPECT_EQ(names_of(call("collections OrderedDict", {dict({text("a"), kTensor})})),
            "a float32(2)");
  EXPECT_EQ(names_of(call("collections defaultdict", {global("builtins", "list")}) + text("a") +
                     kTensor + "s"),
            "a float32(2)");
  EXPECT_EQ(names_of(call("builtins set", {list({kTensor})})), "0 float32(2)");
  EXPECT_EQ(names_of(call("torch.return_types max", {tuple({kTensor, kTensor}), dict({})})),
            "0 float32(2), 1 float32(2)");
  // Of a call nobody knows: arguments, attributes, items.
  EXPECT_EQ(names_of(build(call("m x", {kTensor}), dict({text("a"), kTensor}))),
            "0 float32(2), a float32(2)");
  EXPECT_EQ(names_of(call("m x", {}) + kTensor + "a" + text("k") + kTensor + "s"),
            "0 float32(2), k float32(2)");
  EXPECT_EQ(names_of(build(call("m x", {}), tuple({none(), dict({text("slot"), kTensor})}))),
            "slot float32(2)");
  EXPECT_EQ(names_of(global("m", "x") + ")" + dict({text("k"), kTensor}) + "\x92"), "k float32(2)");
  EXPECT_EQ(names_of(build(global("m", "x"), dict({text("a"), kTensor}))), "a float32(2)");
}

TEST(walk_keys) {
  EXPECT_EQ(names_of(dict({integer(-3), kTensor})), "-3 float32(2)");
  EXPECT_EQ(names_of(dict({none(), kTensor, boolean(true), list({kTensor})})),
            "None float32(2), True.0 float32(2)");
  EXPECT_EQ(names_of(dict({"F1e20\n", kTensor, "F2\n", kTensor, "F0.5\n", kTensor})),
            "1e+20 float32(2), 2.0 float32(2), 0.5 float32(2)");
  EXPECT_EQ(names_of(dict({tuple({text("a"), integer(1)}), kTensor})), "(a, 1) float32(2)");
  EXPECT_EQ(names_of(dict({"U\1\xE9", kTensor})), "\xC3\xA9 float32(2)");
  EXPECT_EQ(names_of(dict({bytes("\xE9"), kTensor})), "\xC3\xA9 float32(2)");
  EXPECT_EQ(names_of(dict({global("m", "x"), kTensor})), "m.x float32(2)");
  EXPECT_EQ(names_of(dict({text("a"), none(), kTensor, kTensor})), "#1 float32(2)");
  EXPECT_EQ(names_of(dict({call("m x", {}), kTensor})), "#0 float32(2)");
}

TEST(walk_keys_given_twice) {
  // The last value counts, in the place of the first.
  EXPECT_EQ(names_of(dict({text("a"), kTensor, text("b"), kTensor, text("a"), list({kTensor})})),
            "a.0 float32(2), b float32(2)");
  EXPECT_EQ(names_of(dict({text("a"), kTensor, text("a"), none()})), "");
  EXPECT_EQ(names_of(dict({text("a"), none(), text("a"), kTensor})), "a float32(2)");
  EXPECT_EQ(names_of(dict({integer(1), kTensor, integer(1), list({kTensor})})), "1.0 float32(2)");
  EXPECT_EQ(names_of(dict({integer(1), kTensor, text("1"), kTensor})),
            "1 float32(2), 1 float32(2)");
  EXPECT_EQ(names_of(call("collections OrderedDict", {dict({text("a"), kTensor})}) + text("a") +
                     list({kTensor}) + "s"),
            "a.0 float32(2)");
}

TEST(walk_keys_of_many) {
  // Each twice, in another order; the table they are kept in grows many times meanwhile.
  constexpr int kCount = 20'000;
  std::string entries;
  for (int i = 0; i < kCount; ++i) entries += text("k" + std::to_string(i)) + get(0);
  for (int i = kCount; i-- > 0;) entries += text("k" + std::to_string(i)) + get(0);
  OpenedCheckpoint checkpoint(archive_of(kTensor + put(0) + "0}(" + entries + "u"));
  ASSERT_TRUE(checkpoint.ok());
  ASSERT_EQ(checkpoint->names().size(), kCount);
  for (size_t i = 0; i < kCount; i += 99)
    EXPECT_EQ(checkpoint->names().at(i), "k" + std::to_string(i));
}

TEST(walk_shared_values) {
  EXPECT_EQ(names_of(list({kTensor + put(0), get(0)})), "0 float32(2), 1 float32(2)");
  EXPECT_EQ(names_of(list({list({kTensor}) + put(0), get(0)})), "0.0 float32(2), 1.0 float32(2)");
  OpenedCheckpoint checkpoint(archive_of(list({kTensor + put(0), get(0)})));
  EXPECT_EQ(checkpoint->names().tensors[0], checkpoint->names().tensors[1]);
  EXPECT_EQ(checkpoint->catalog().storages.size(), 1);
}

TEST(walk_cycles) {
  EXPECT_EQ(names_of("]" + put(0) + get(0) + "a"), "");
  EXPECT_EQ(names_of("]" + put(0) + get(0) + "a" + kTensor + "a"), "1 float32(2)");
  EXPECT_EQ(names_of("}" + put(0) + text("me") + get(0) + "s" + text("a") + kTensor + "s"),
            "a float32(2)");
  EXPECT_EQ(names_of("]" + put(0) + tuple({get(0), kTensor}) + "a"), "0.1 float32(2)");
  EXPECT_EQ(names_of(build(call("m x", {kTensor}) + put(0), get(0))), "0 float32(2)");
  // Two that refer to each other, reached twice: named under the first path.
  EXPECT_EQ(
      names_of("]" + put(0) + "]" + put(1) + get(0) + "a" + kTensor + "a" + "a" + get(1) + "a"),
      "0.1 float32(2)");
}

TEST(walk_old_style_cycle_of_a_call) {
  // A call whose arguments hold the call.
  const std::string value = "]" + put(0) + "0" + call("collections OrderedDict", {get(0)}) +
                            put(1) + "0" + get(0) + list({text("a"), get(1)}) + "a" +
                            list({text("b"), kTensor}) + "a0" + get(1);
  EXPECT_EQ(names_of(value), "b float32(2)");
}

TEST(walk_module) {
  const std::string inner =
      module(ordered({text("weight"), kTensor}), ordered({text("mean"), kTensor}), ordered({}));
  const std::string outer =
      module(ordered({text("bias"), kTensor, text("none"), none()}), ordered({}),
             ordered({text("conv"), inner}), {text("extra"), kTensor});
  EXPECT_EQ(names_of(outer),
            "bias float32(2), conv.weight float32(2), conv.mean float32(2), extra float32(2)");
  EXPECT_EQ(weights_of(outer), "bias float32(2), conv.weight float32(2), conv.mean float32(2)");
}

TEST(walk_module_shared_and_cyclic) {
  const std::string shared =
      module(ordered({text("weight"), kTensor}), ordered({}), ordered({})) + put(5);
  EXPECT_EQ(
      weights_of(module(ordered({}), ordered({}), ordered({text("a"), shared, text("b"), get(5)}))),
      "a.weight float32(2), b.weight float32(2)");
  // A module among its own children.
  const std::string cyclic = "}" + put(1) + "0" +
                             module(ordered({text("weight"), kTensor}), ordered({}), get(1)) +
                             put(2) + "0" + get(1) + text("me") + get(2) + "s0" + get(2);
  EXPECT_EQ(weights_of(cyclic), "weight float32(2)");
}

TEST(walk_buffers_that_do_not_persist) {
  const std::string buffers = ordered({text("mean"), kTensor, text("scratch"), kTensor});
  for (const std::string& set : {op(Opcode::kEMPTY_SET) + "(" + text("scratch") + "\x90",
                                 call("builtins set", {list({text("scratch")})}),
                                 call("__builtin__ set", {list({text("scratch")})})}) {
    const std::string net =
        module(ordered({}), buffers, ordered({}), {text("_non_persistent_buffers_set"), set});
    EXPECT_EQ(weights_of(net), "mean float32(2)");
    EXPECT_EQ(names_of(net), "mean float32(2), scratch float32(2)");
  }
  // Not a set at all: nothing is left out.
  for (const std::string& odd : {none(), integer(1), text("scratch"), call("m x", {}), kTensor}) {
    const std::string net =
        module(ordered({}), buffers, ordered({}), {text("_non_persistent_buffers_set"), odd});
    EXPECT_EQ(weights_of(net), "mean float32(2), scratch float32(2)");
  }
}

TEST(walk_module_with_odd_parts) {
  for (const std::string& odd :
       {none(), integer(1), text("x"), list({kTensor}), kTensor, call("m x", {})}) {
    EXPECT_EQ(weights_of(module(odd, ordered({}), ordered({text("a"), kTensor}))), "a float32(2)");
    EXPECT_EQ(weights_of(module(ordered({text("a"), kTensor}), odd, odd)), "a float32(2)");
  }
}

TEST(state_dict_wrappers) {
  const std::string weights = ordered({text("w"), kTensor});
  for (const char* wrapper : {"state_dict", "model", "model_state_dict", "params_ema", "module"}) {
    EXPECT_EQ(weights_of(dict({text("epoch"), integer(3), text(wrapper), weights, text("optimizer"),
                               dict({text("m"), kTensor})})),
              "w float32(2)");
  }
  EXPECT_EQ(weights_of(weights), "w float32(2)");
  EXPECT_EQ(weights_of(dict({text("model"), dict({text("state_dict"), weights})})), "w float32(2)");
  // A parameter may be called like a wrapper.
  EXPECT_EQ(weights_of(dict({text("weights"), kTensor})), "weights float32(2)");
  EXPECT_EQ(weights_of(dict({text("model"), text("resnet18"), text("w"), kTensor})),
            "w float32(2)");
  EXPECT_EQ(weights_of(dict({text("state_dict"), dict({}), text("model"), weights})),
            "w float32(2)");
  EXPECT_EQ(weights_of(list({kTensor})), "0 float32(2)");
  EXPECT_EQ(weights_of(none()), "");
}

TEST(state_dict_of_a_wrapper_in_itself) {
  EXPECT_EQ(weights_of("}" + put(0) + text("state_dict") + get(0) + "s"), "");
  EXPECT_EQ(weights_of("}" + put(0) + text("model") + get(0) + "s" + text("w") + kTensor + "s"),
            "w float32(2)");
}

TEST(state_dict_from) {
  const std::string root =
      dict({text("a"), dict({text("b"), list({none(), dict({text("w"), kTensor})})}), text("a.b"),
            dict({text("x"), kTensor}), integer(7), dict({text("y"), kTensor})});
  EXPECT_EQ(weights_of(root, "a"), "b.1.w float32(2)");
  EXPECT_EQ(weights_of(root, "a.b"), "x float32(2)");  // the longest key wins
  EXPECT_EQ(weights_of(root, "7"), "y float32(2)");
  EXPECT_EQ(weights_of(root, ""), weights_of(root));
  for (const char* path : {"c", "a.c", ".", "a.b.z", "a.b.x.y", "7.z", "ab"})
    EXPECT_EQ(weights_of(root, path), "NO_SUCH_TENSOR");
  EXPECT_EQ(weights_of(list({kTensor}), "0"), " float32(2)");
  EXPECT_EQ(weights_of(list({kTensor}), "1"), "NO_SUCH_TENSOR");
  EXPECT_EQ(weights_of(none(), "a"), "NO_SUCH_TENSOR");
  const std::string net =
      module(ordered({}), ordered({}), ordered({text("conv"), ordered({text("weight"), kTensor})}));
  EXPECT_EQ(weights_of(net, "conv"), "weight float32(2)");
}

TEST(skipped_are_named) {
  const std::string lazy = call("torch.nn.parameter UninitializedParameter", {boolean(true)});
  OpenedCheckpoint checkpoint(
      archive_of(dict({text("a"), lazy, text("b"), kTensor, text("c"), list({lazy})})));
  ASSERT_TRUE(checkpoint.ok());
  EXPECT_EQ(shown(checkpoint->catalog(), checkpoint->names()), "b float32(2)");
  EXPECT_EQ(skipped_of(checkpoint), "a UNSUPPORTED_LAYOUT;c.0 UNSUPPORTED_LAYOUT;");
  EXPECT_EQ(problem_of(*checkpoint), "");
}

TEST(skipped_count_against_the_limit) {
  // A long name for each of many that cannot be given: 4 bytes of pickle, the whole name each.
  const std::string value =
      dict({text(repeat("n", 1000)), "]" + global("torch.nn.parameter", "UninitializedParameter") +
                                         put(0) + "0(" + repeat(get(0) + ")R", 10'000) + "e"});
  EXPECT_EQ(names_of(value, with_limit(&Limits::name_bytes, 1'000'000)), "LIMIT_NAMES");
  EXPECT_EQ(names_of(value), "");
}

TEST(broken_is_named) {
  OpenedCheckpoint checkpoint(archive_of(
      dict({text("a"), list({tensor(storage("0", 2), integers({99}), integers({1}))})})));
  ASSERT_FALSE(checkpoint.ok());
  EXPECT_EQ(code_name(checkpoint.failure().code), "BAD_TENSOR");
  EXPECT_TRUE(checkpoint.failure().message.starts_with("tensor 'a.0': "));
}

TEST(limit_of_names) {
  const std::string value = list({kTensor + put(0), get(0), get(0)});
  EXPECT_EQ(names_of(value, with_limit(&Limits::names, 3)),
            "0 float32(2), 1 float32(2), 2 float32(2)");
  OpenedCheckpoint checkpoint(archive_of(value), with_limit(&Limits::names, 2));
  ASSERT_FALSE(checkpoint.ok());
  EXPECT_EQ(code_name(checkpoint.failure().code), "LIMIT_NAMES");
  EXPECT_EQ(checkpoint.failure().subject, "names");
  EXPECT_EQ(checkpoint.failure().limit, 2);
}

TEST(limit_of_name_bytes) {
  const std::string value = dict({text("abc"), kTensor, text("de"), kTensor});
  EXPECT_EQ(names_of(value, with_limit(&Limits::name_bytes, 5)), "abc float32(2), de float32(2)");
  OpenedCheckpoint checkpoint(archive_of(value), with_limit(&Limits::name_bytes, 4));
  ASSERT_FALSE(checkpoint.ok());
  EXPECT_EQ(checkpoint.failure().subject, "nameBytes");
  // A long path without any tensor on it.
  std::string deep = "]";
  for (int i = 0; i < 100; ++i) deep = dict({text("0123456789"), deep});
  EXPECT_EQ(names_of(deep, with_limit(&Limits::name_bytes, 500)), "LIMIT_NAMES");
}

TEST(resource_laughs_without_tensors) {
  // 10^40 paths, none of which leads to a tensor.
  const std::string ten = repeat(get(0), 10);
  EXPECT_EQ(names_of("]" + put(0) + repeat("](" + ten + "e" + put(0), 40)), "");
  EXPECT_EQ(names_of(")" + put(0) + repeat("(" + ten + "t" + put(0), 40)), "");
  EXPECT_EQ(names_of(call("collections OrderedDict", {}) + put(0) +
                     repeat(call("collections OrderedDict", {list({list({none(), get(0)})})}) +
                                text("a") + get(0) + "s" + put(0),
                            40)),
            "");
  EXPECT_EQ(names_of("N" + put(0) + repeat(call("m x", {ten}) + put(0), 40)), "");
}

TEST(resource_laughs_of_tensors) {
  const std::string ten = repeat(get(0), 10);
  for (const std::string& level :
       {"](" + ten + "e" + put(0), "(" + ten + "t" + put(0), call("m x", {ten}) + put(0),
        call("builtins set", {list({ten})}) + put(0)}) {
    EXPECT_TRUE(names_of(kTensor + put(0) + repeat(level, 40)).starts_with("LIMIT_"));
  }
}

TEST(resource_laughs_of_keys) {
  // A key of tuples in tuples: 1000^4 items if it were written out.
  const std::string thousand = "(" + repeat(get(0), 1000) + "t" + put(0) + "0";
  const std::string key = "K\1" + put(0) + "0" + repeat(thousand, 4);
  OpenedCheckpoint checkpoint(archive_of(key + dict({get(0), kTensor})));
  ASSERT_TRUE(checkpoint.ok());
  ASSERT_EQ(checkpoint->names().size(), 1);
  EXPECT_LT(checkpoint->names().text.size(), 1 << 20);
}

TEST(resource_laughs_of_arguments) {
  // Only one argument of OrderedDict counts, so that a dict given 10,000 times is not read as
  // often.
  std::string entries;
  for (int i = 0; i < 10'000; ++i) entries += integer(i) + get(1);
  const std::string value = kTensor + put(1) + "0}(" + entries + "u" + put(0) + "0" +
                            call("collections OrderedDict", {repeat(get(0), 10'000)});
  OpenedCheckpoint checkpoint(archive_of(value));
  if (checkpoint.ok()) EXPECT_EQ(checkpoint->names().size(), 10'000);
  if (checkpoint.ok()) EXPECT_EQ(problem_of(*checkpoint), "");
}

TEST(resource_deep_values) {
  // Without recursion: on a thread with little stack.
  pthread_attr_t attributes;
  pthread_attr_init(&attributes);
  pthread_attr_setstacksize(&attributes, 256 << 10);
  pthread_t thread;
  const auto body = [](void*) -> void* {
    constexpr size_t kDeep = 200'000;
    OpenOptions options;
    options.limits.name_bytes = 10'000'000;
    for (const std::string& value :
         {repeat("]", kDeep) + kTensor + repeat("a", kDeep), kTensor + repeat("\x85", kDeep),
          global("m", "x") + put(0) + "0" + repeat(get(0), kDeep) + ")" + repeat("R", kDeep) +
              kTensor + "a",
          global("m", "x") + put(0) + "0" + kTensor +
              repeat("\x85" + put(1) + "0" + get(0) + get(1) + "R", kDeep),
          global("torch", "Size") + put(0) + "0" + kTensor +
              repeat("\x85" + put(1) + "0" + get(0) + get(1) + "R", 20)}) {
      OpenedCheckpoint checkpoint(archive_of(value), options);
      EXPECT_TRUE(checkpoint.ok());
      if (checkpoint.ok()) EXPECT_EQ(problem_of(*checkpoint), "");
    }
    return nullptr;
  };
  ASSERT_EQ(pthread_create(&thread, &attributes, body, nullptr), 0);
  pthread_attr_destroy(&attributes);
  pthread_join(thread, nullptr);
}

TEST(resource_deep_calls_of_known_functions) {
  // Deeper than anything torch writes: refused or left as objects, never followed without end.
  for (const char* function :
       {"torch Size", "torch.jit._pickle build_intlist", "torch._utils _rebuild_parameter",
        "copyreg _reconstructor", "copyreg __newobj__", "collections OrderedDict",
        "torch._tensor _rebuild_from_type_v2", "builtins bytes", "_codecs encode",
        "torch.storage _load_from_bytes", "numpy.core.multiarray scalar"}) {
    const size_t space = std::string_view(function).find(' ');
    const std::string name = global(std::string_view(function).substr(0, space),
                                    std::string_view(function).substr(space + 1));
    for (const int arguments : {1, 2, 3}) {
      const std::string level =
          put(1) + "0" + get(0) + "(" + repeat(get(1), static_cast<size_t>(arguments)) + "tR";
      OpenedCheckpoint checkpoint(archive_of(name + put(0) + "0" + kTensor + repeat(level, 2000)));
      if (checkpoint.ok()) EXPECT_EQ(problem_of(*checkpoint), "");
    }
  }
}

TEST(resource_many_names) {
  constexpr size_t kCount = 300'000;
  OpenedCheckpoint checkpoint(archive_of(kTensor + put(0) + "0](" + repeat(get(0), kCount) + "e"));
  ASSERT_TRUE(checkpoint.ok());
  EXPECT_EQ(checkpoint->names().size(), kCount);
  EXPECT_EQ(checkpoint->names().at(kCount - 1), std::to_string(kCount - 1));
  EXPECT_EQ(checkpoint->catalog().tensors.size(), 1);
}

TEST(walk_many_buffers_that_do_not_persist) {
  std::string buffers, hidden;
  for (int i = 0; i < 3000; ++i) {
    buffers += text("b" + std::to_string(i)) + get(0);
    hidden += text("b" + std::to_string(i));
  }
  const std::string net =
      module(ordered({}), ordered({buffers}), ordered({}),
             {text("_non_persistent_buffers_set"), call("builtins set", {list({hidden})})});
  EXPECT_TRUE(weights_of(kTensor + put(0) + "0" + net).empty());
}

// What one call of state_dict() costs must not be taken from the next one.
TEST(state_dict_again_and_again) {
  OpenedCheckpoint checkpoint(archive_of(list({kTensor, repeat("N", 5000)})));
  ASSERT_TRUE(checkpoint.ok());
  for (int i = 0; i < 500; ++i) {
    Names names;
    Status status =
        state_dict(checkpoint->interpreter(), checkpoint->root(), std::string_view("0"), names);
    ASSERT_TRUE(status.ok());
    ASSERT_EQ(names.size(), 1);
  }
}
