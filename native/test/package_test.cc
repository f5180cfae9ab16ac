// Archives of torch.package: resources, what their persistent ids stand for, and archives that lie.
#include "check.h"
#include "checkpoint_opened.h"

using namespace torchmap;
using namespace torchmap::check;
using namespace std::string_literals;

namespace {

using Records = std::vector<std::pair<std::string, std::string>>;

std::string archive(const Records& records) {
  ZipBytes zip;
  for (const char* key : {"0", "1"})
    zip.add("p/.data/" + std::string(key) + ".storage", std::string(32, key[0]));
  for (const auto& [name, bytes] : records) zip.add("p/" + name, bytes);
  zip.add("p/.data/extern_modules", "torch\n");
  zip.add("p/.data/version", "6\n");
  return zip.finish();
}

std::string pickled(const std::string& value) { return "\x80\x03" + value + "."; }

// A tensor of 2 floats over a storage with a number for a key.
std::string numbered(int64_t key, int64_t numel = 8, std::string_view type = "FloatStorage") {
  const std::string over =
      tuple({text("storage"), global("torch", type), integer(key), text("cpu"), integer(numel)}) +
      "Q";
  return tensor(over, integers({2}), integers({1}));
}

std::string reduced(std::string_view function, const Values& arguments, bool with_id = true) {
  const size_t space = function.find(' ');
  Values items = {text("reduce_package"), integer(7),
                  global(function.substr(0, space), function.substr(space + 1)), tuple(arguments)};
  if (!with_id) items.erase(items.begin() + 1);
  return tuple(items) + "Q";
}

// Names and shapes, then what was skipped, or the failure's code.
std::string read(const Records& records, const OpenOptions& options = {}) {
  OpenedCheckpoint checkpoint(archive(records), options);
  if (!checkpoint.ok()) return std::string(code_name(checkpoint.failure().code));
  EXPECT_EQ(problem_of(*checkpoint), "");
  std::string out = shown(checkpoint->catalog(), checkpoint->names());
  for (const Skipped& row : checkpoint->skipped())
    out += "; " + row.name + " " + std::string(code_name(row.code));
  return out;
}

// The names of state_dict().
std::string weights(const Records& records) {
  OpenedCheckpoint checkpoint(archive(records));
  if (!checkpoint.ok()) return std::string(code_name(checkpoint.failure().code));
  Names names;
  Status status =
      state_dict(checkpoint->interpreter(), checkpoint->weights_root(), std::nullopt, names);
  if (!status.ok()) return std::string(code_name(status.code()));
  return shown(checkpoint->catalog(), names);
}

std::string module_of(const std::string& parameters) {
  return build(call("net.code Net", {}), dict({text("_parameters"), parameters, text("_buffers"),
                                               dict({}), text("_modules"), dict({})}));
}

// What the root is, as Python would print it.
std::string root_of(const Records& records) {
  OpenedCheckpoint checkpoint(archive(records));
  if (!checkpoint.ok()) return std::string(code_name(checkpoint.failure().code));
  return Shown(checkpoint->pool(), checkpoint->root()).text;
}

TEST(package_resources_share_storages) {
  const Records records = {
      {"a/x.pkl", pickled(numbered(0))},
      {"b.pkl", pickled(dict({text("k"), numbered(0), text("l"), numbered(1, 4, "LongStorage")}))}};
  EXPECT_EQ(read(records), "a/x.pkl float32(2), b.pkl.k float32(2), b.pkl.l int64(2)");
  OpenedCheckpoint checkpoint(archive(records));
  ASSERT_TRUE(checkpoint.ok());
  EXPECT_TRUE(checkpoint->format() == Format::kPackage);
  EXPECT_EQ(checkpoint.tensor("a/x.pkl")->storage, checkpoint.tensor("b.pkl.k")->storage);
}

TEST(package_resources_that_are_no_pickles_are_text_or_bytes) {
  EXPECT_EQ(root_of({{"a/t", "text"},
                     {"a/b", "\xff"},
                     {"a/n", "a\0b"s},
                     {"a/e", ""},
                     {"a/one", "\x80"},
                     {"a/p6", "\x80\x06."},
                     {"a/trailing", pickled(integer(1)) + "x"},
                     {"code.py", "x = 1"},
                     {"a/__init__.py", ""},
                     {"a/pickle", pickled(integer(1))}}),
            "{str 'a/t': 'text', str 'a/b': b'\xff', str 'a/n': b'a\0b', str 'a/e': '', "s +
                "str 'a/one': b'\x80', str 'a/p6': b'\x80\x06.', str 'a/trailing': "s + "b'" +
                pickled(integer(1)) + "x', str 'a/pickle': 1}");
}

TEST(package_resources_that_cannot_be_decoded_are_skipped) {
  EXPECT_EQ(read({{"a", "\x80\x03"}, {"b", "\x80\x03no pickle"}, {"c", pickled(numbered(0))}}),
            "c float32(2); a BAD_PICKLE; b BAD_PICKLE");
  const std::string large((1 << 20) + 1, 'x');
  EXPECT_EQ(read({{"large", large}, {"c", pickled(numbered(0))}}),
            "c float32(2); large UNSUPPORTED_FORMAT");
  EXPECT_EQ(root_of({{"t", large.substr(1)}}).size(),
            large.size() - 1 + std::string_view("{str 't': ''}").size());
}

TEST(package_limits_are_not_skipped) {
  OpenOptions options;
  options.limits.nodes = 300;
  EXPECT_EQ(read({{"a", pickled("(" + repeat(integer(1000), 300) + "t")}}, options), "LIMIT_NODES");
  std::atomic<bool> cancelled = true;
  options = {};
  options.cancelled = &cancelled;
  EXPECT_EQ(read({{"a", pickled(numbered(0))}}, options), code_name(Code::kCancelled));
}

TEST(package_storages_are_checked) {
  EXPECT_EQ(read({{"a", pickled(numbered(0, 9))}}), "TRUNCATED");
  EXPECT_EQ(read({{"a", pickled(numbered(2))}}), "BAD_RECORD");
  EXPECT_EQ(read({{"a", pickled(numbered(-1))}}), "BAD_RECORD");
  EXPECT_EQ(read({{"a", pickled(numbered(0, -1))}}), "BAD_TENSOR");
  EXPECT_EQ(read({{"a", pickled(numbered(0, 1))}}), "BAD_TENSOR");
  EXPECT_EQ(read({{"a", pickled(tuple({text("other"), integer(1)}) + "Q")}}), "BAD_PICKLE");
}

TEST(package_objects_that_reduce_themselves_are_calls) {
  EXPECT_EQ(read({{"a", pickled(reduced("m f", {numbered(0), text("x")}))}}), "a.0 float32(2)");
  EXPECT_EQ(read({{"a", pickled(reduced("m f", {numbered(0)}, false))}}), "a.0 float32(2)");
  // One that is named twice is one value.
  const std::string twice =
      tuple({text("reduce_package"), integer(7), global("m", "f"), tuple({numbered(0)})}) + put(1) +
      "Q" + get(1) + "Q";
  OpenedCheckpoint checkpoint(archive({{"a", pickled("(" + twice + "t")}}));
  ASSERT_TRUE(checkpoint.ok());
  EXPECT_EQ(shown(checkpoint->catalog(), checkpoint->names()),
            "a.0.0 float32(2), a.1.0 float32(2)");
  const Pool& pool = checkpoint->pool();
  const NodeId first = pool.list(Pool::items_of(pool[checkpoint->root()]))[1];
  const auto items = pool.tuple(pool.target(first));
  EXPECT_EQ(pool.target(items[0]), pool.target(items[1]));
}

TEST(package_graph_modules_are_modules) {
  const std::string state = dict({text("_parameters"), dict({text("w"), numbered(0)}),
                                  text("_buffers"), dict({}), text("_modules"), dict({})});
  const Records records = {
      {"a", pickled(reduced("torch.fx.graph_module reduce_package_graph_module",
                            {state, text("fx-generated._0")}))}};
  EXPECT_EQ(read(records), "a.w float32(2)");
  EXPECT_EQ(weights(records), "w float32(2)");
}

TEST(package_script_modules_are_found_by_their_number) {
  const std::string object =
      build(global("__torch__.Net", "Net") + ")\x81",
            dict({text("w"), tensor(storage("0.storage", 8), integers({2}), integers({1}))}));
  const std::string used = reduced("torch.jit._script unpackage_script_module", {text("0")});
  const Records records = {{".data/ts_code/0/data.pkl", pickled(object)},
                           {".data/ts_code/0/constants.pkl", pickled(tuple({}))},
                           {".data/ts_code/code/__torch__.py", "class Net: ..."},
                           {"a.pkl", pickled(dict({text("m"), used, text("t"), numbered(0)}))}};
  EXPECT_EQ(read(records), "a.pkl.m.w float32(2), a.pkl.t float32(2)");
  OpenedCheckpoint checkpoint(archive(records));
  ASSERT_TRUE(checkpoint.ok());
  EXPECT_EQ(checkpoint.tensor("a.pkl.m.w")->storage, checkpoint.tensor("a.pkl.t")->storage);
  // One that is missing is skipped, one that nothing names is a resource, and so are constants.
  EXPECT_EQ(read({{"a.pkl", pickled(used)}}), "; a.pkl UNSUPPORTED_FORMAT");
  EXPECT_EQ(read({{".data/ts_code/0/data.pkl", pickled(object)}}),
            ".data/ts_code/0/data.pkl.w float32(2)");
  EXPECT_EQ(read({{".data/ts_code/0/constants.pkl", pickled(tuple({numbered(1)}))}}),
            ".data/ts_code/0/constants.pkl.0 float32(2)");
  EXPECT_EQ(read({{".data/ts_code/0/data.pkl", "\x80\x02"}, {"a.pkl", pickled(used)}}),
            "; .data/ts_code/0/data.pkl BAD_PICKLE; a.pkl UNSUPPORTED_FORMAT");
  // A module that holds itself.
  EXPECT_EQ(read({{".data/ts_code/0/data.pkl", pickled(list({used}))}, {"a.pkl", pickled(used)}}),
            "");
  EXPECT_EQ(read({{".data/ts_code/0/data.pkl", pickled(used)}, {"a.pkl", pickled(used)}}),
            "BAD_TENSOR");
}

TEST(package_long_text_is_no_number_of_a_script_module) {
  const std::string used = reduced("torch.jit._script unpackage_script_module",
                                   {text(std::string(1 << 20, '0')) + put(1)});
  std::string many = "(" + used;
  for (int i = 0; i < 20'000; ++i)
    many += reduced("torch.jit._script unpackage_script_module", {get(1)});
  EXPECT_EQ(read({{"a.pkl", pickled(many + "t")}}), "");
}

TEST(package_weights_are_those_of_the_one_resource_that_has_some) {
  const std::string state = dict({text("w"), numbered(0)});
  EXPECT_EQ(weights({{"a", "text"}, {"b", pickled(state)}, {"c", pickled(integer(1))}}),
            "w float32(2)");
  EXPECT_EQ(
      weights({{"a", pickled(module_of(dict({text("w"), numbered(0)})))}, {"b", pickled(state)}}),
      "w float32(2)");
  EXPECT_EQ(weights({{"a", pickled(state)}, {"b", pickled(state)}}),
            "a.w float32(2), b.w float32(2)");
  EXPECT_EQ(weights({{"a", pickled(dict({text("state_dict"), state}))}}), "w float32(2)");
}

TEST(package_without_resources_is_empty) {
  EXPECT_EQ(read({}), "");
  EXPECT_EQ(root_of({}), "{}");
}

TEST(package_damaged_anywhere) {
  const std::string used = reduced("torch.jit._script unpackage_script_module", {text("0")});
  const std::string good =
      archive({{".data/ts_code/0/data.pkl",
                pickled(build(global("__torch__", "N") + ")\x81", dict({text("w"), numbered(0)})))},
               {"a/b", pickled(tuple({used, reduced("m f", {numbered(0)}), numbered(1)}))},
               {"a/t", "text"}});
  EXPECT_EQ(damaged_anywhere(good), "");
}

}  // namespace
