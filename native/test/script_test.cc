// TorchScript: the two lines of code that are read, constants, and what crafted archives try.
#include "core/torch/script.h"

#include "check.h"
#include "checkpoint_opened.h"

using namespace torchmap;
using namespace torchmap::check;
using namespace std::string_literals;

namespace {

// "N! p=a,b b=c; ..." with '!' behind modules.
std::string classes_of(std::string_view source) {
  std::string out;
  parse_script_classes(source, [&](std::string_view name, ScriptClass found) {
    out += std::string(out.empty() ? "" : "; ") + std::string(name);
    if (found.is_module) out += "!";
    for (const auto& [letter, names] : {std::pair{" p=", found.parameters}, {" b=", found.buffers}})
      for (size_t i = 0; i < names.size(); ++i) out += (i == 0 ? letter : ",") + names[i];
  });
  return out;
}

std::string script_object(std::string_view module, std::string_view name,
                          const std::string& state) {
  return build(global(module, name) + ")\x81", state);
}

std::string floats(std::string_view key) {
  return tensor(storage(key, 2), integers({2}), integers({1}));
}

// A module with the attributes weight, mean and plain, and a submodule under `sub`.
std::string net() {
  const std::string linear = script_object("__torch__.nn.___torch_mangle_3", "Linear",
                                           dict({text("weight"), floats("0")}));
  return script_object("__torch__", "Net",
                       dict({text("plain"), floats("0"), text("mean"), floats("1"), text("weight"),
                             floats("2"), text("training"), boolean(true), text("sub"), linear,
                             text("list"), list({floats("3")})}));
}

const std::string kCode =
    "class Net(Module):\n  __parameters__ = [\"weight\", ]\n  __buffers__ = [\"mean\", \"sub\", ]\n"
    "  weight : Tensor\n  def forward(self: __torch__.Net) -> Tensor:\n    return self.weight\n";
const std::string kLinear =
    "class Linear(Module):\n  __parameters__ = [\"weight\", ]\n  __buffers__ = []\n";

struct Script {
  std::string data = net();
  std::string constants = pickle(tuple({}));
  std::vector<std::pair<std::string, std::string>> records = {
      {"code/__torch__.py", kCode}, {"code/__torch__/nn/___torch_mangle_3.py", kLinear}};

  std::string bytes() const {
    ZipBytes zip;
    zip.add("net/data.pkl", pickle(data));
    for (const char* key : {"0", "1", "2", "3"})
      zip.add(std::string("net/data/") + key, "12345678");
    zip.add("net/constants.pkl", constants);
    for (const auto& [name, content] : records) zip.add("net/" + name, content);
    zip.add("net/version", "3\n");
    return zip.finish();
  }
};

// The state dict after the code was read, parameters with '*'; or the code of the failure.
std::string weights(const std::string& bytes) {
  OpenedCheckpoint checkpoint(bytes);
  if (!checkpoint.ok()) return std::string(code_name(checkpoint.failure().code));
  EXPECT_EQ(problem_of(*checkpoint), "");
  if (ScriptCode* code = checkpoint->code(); code != nullptr) {
    const Status status = code->classify({});
    if (!status.ok()) return std::string(code_name(status.code()));
  }
  Names names;
  const Status status =
      state_dict(checkpoint->interpreter(), checkpoint->root(), std::nullopt, names);
  if (!status.ok()) return std::string(code_name(status.code()));
  std::string out;
  for (size_t i = 0; i < names.size(); ++i) {
    if (i > 0) out += " ";
    out += names.at(i);
    if (checkpoint->catalog().tensors[names.tensors[i]].flags & kIsParameter) out += "*";
  }
  return out;
}

void expect_failure(const std::string& bytes, Code code, std::string_view words,
                    std::string_view record) {
  OpenedCheckpoint checkpoint(bytes);
  ASSERT_FALSE(checkpoint.ok());
  EXPECT_EQ(code_name(checkpoint.failure().code), code_name(code));
  EXPECT_TRUE(checkpoint.failure().message.find(words) != std::string::npos);
  EXPECT_EQ(checkpoint.failure().record, record);
}

TEST(script_classes) {
  EXPECT_EQ(classes_of(kCode), "Net! p=weight b=mean,sub");
  EXPECT_EQ(classes_of(kCode + kLinear), "Net! p=weight b=mean,sub; Linear! p=weight");
  EXPECT_EQ(classes_of("class A(Module):\n  __parameters__ = [\"b\", \"a\"]\n  __buffers__ = []"),
            "A! p=a,b");
  EXPECT_EQ(classes_of("class A:\n  x : Tensor\nclass B(NamedTuple):\n  y : int\n"), "A; B");
  EXPECT_EQ(classes_of("class A(Module):\r\n  __parameters__ = [\"b\", ]\r\n"), "A! p=b");
  EXPECT_EQ(classes_of("def f(x: Tensor) -> Tensor:\n  return x\n"), "");
  EXPECT_EQ(classes_of(""), "");
  EXPECT_EQ(classes_of("\n\n\n"), "");
}

TEST(script_class_names_with_escapes) {
  EXPECT_EQ(
      classes_of("class A(Module):\n  __parameters__ = [\"a\\\"b\", 'c\\\\d', \"\\101\", ]\n"),
      "A! p=A,a\"b,c\\d");
}

TEST(script_lists_that_are_none_hide_their_class_only) {
  for (const char* broken : {"", "[", "[\"a", "[\"a\\", "[\"a\\9\"]", "[\"a\\1\"]", "[\"a\" \"b\"]",
                             "[a]", "(\"a\")", "[\"a\",, ]", "[\"a\"", "[\"a\"; ]"}) {
    EXPECT_EQ(classes_of("class A(Module):\n  __parameters__ = "s + broken + "\n" + kLinear),
              "Linear! p=weight");
  }
  // An indented class, and lists outside of a class or of its first level.
  EXPECT_EQ(classes_of("  class A(Module):\n  __parameters__ = [\"a\", ]\n"), "");
  EXPECT_EQ(classes_of("class A(Module):\n    __parameters__ = [\"a\", ]\n"), "A!");
}

TEST(script_state_dict) {
  EXPECT_EQ(weights(Script().bytes()), "weight* mean sub.weight*");
  // As in torch, a list that is not there is empty.
  Script script;
  script.records[0].second = "class Net(Module):\n  __parameters__ = [\"weight\", ]\n";
  EXPECT_EQ(weights(script.bytes()), "weight* sub.weight*");
  script.records[0].second = "class Net(Module):\n  __buffers__ = [\"mean\", ]\n";
  EXPECT_EQ(weights(script.bytes()), "mean sub.weight*");
}

TEST(script_without_its_code_has_all_tensors) {
  Script script;
  script.records.clear();
  EXPECT_EQ(weights(script.bytes()), "plain mean weight sub.weight");
  script.records = {{"code/__torch__.py", "class Net(Module):\n  __parameters__ = [weight]\n"}};
  EXPECT_EQ(weights(script.bytes()), "plain mean weight sub.weight");
  script.records = {{"code/__torch__.py", std::string(1 << 16, '\xFF')}};
  EXPECT_EQ(weights(script.bytes()), "plain mean weight sub.weight");
  // The class is not in the record of its module, but elsewhere.
  script.records = {{"code/__torch__/nn.py", kCode}};
  EXPECT_EQ(weights(script.bytes()), "plain mean weight sub.weight");
  // Of one class only.
  script.records = {{"code/__torch__.py", kCode}};
  EXPECT_EQ(weights(script.bytes()), "weight* mean sub.weight");
}

TEST(script_objects_that_are_no_modules_are_in_no_state_dict) {
  Script script;
  script.records[1].second = "class Linear:\n  weight : Tensor\n";
  EXPECT_EQ(weights(script.bytes()), "weight* mean");
  const std::string packed =
      script_object("__torch__.torch.classes.quantized", "LinearPackedParamsBase", floats("0"));
  script.data = script_object("__torch__", "Net",
                              dict({text("weight"), floats("1"), text("packed"), packed}));
  EXPECT_EQ(weights(script.bytes()), "weight*");
}

TEST(script_deflated_code_is_asked_for_at_once) {
  const std::string deflated = "not deflate at all";
  ZipBytes zip;
  zip.torch = false;
  zip.add("net/data.pkl", pickle(net()));
  for (const char* key : {"0", "1", "2", "3"}) zip.add(std::string("net/data/") + key, "12345678");
  zip.add("net/constants.pkl", pickle(tuple({})));
  for (const auto& [name, source] : Script().records) {
    ZipBytes::Entry entry;
    entry.name = "net/" + name;
    entry.stored_size = deflated.size();
    entry.size = source.size();
    entry.method = 8;
    zip.add(entry, deflated);
  }
  OpenedCheckpoint checkpoint(zip.finish());
  ASSERT_TRUE(checkpoint.ok());
  auto records = checkpoint->code()->records();
  ASSERT_TRUE(records.ok());
  ASSERT_EQ(records->size(), 2);
  for (const ScriptCode::Record& record : *records) {
    EXPECT_TRUE(record.deflated);
    EXPECT_EQ(as_text(record.stored), deflated);
  }
  EXPECT_EQ((*records)[0].bytes, kCode.size());
  // One is there, one has another size than the archive says.
  const InflatedRecord given[] = {{"net/code/__torch__.py", as_bytes(kCode)},
                                  {(*records)[1].name, as_bytes("class")}};
  ASSERT_TRUE(checkpoint->code()->classify(given).ok());
  Names names;
  ASSERT_TRUE(state_dict(checkpoint->interpreter(), checkpoint->root(), std::nullopt, names).ok());
  EXPECT_EQ(shown(checkpoint->catalog(), names),
            "weight float32(2), mean float32(2), sub.weight float32(2)");
  EXPECT_TRUE((checkpoint.tensor("weight")->flags & kIsParameter) != 0);
  EXPECT_TRUE((checkpoint.tensor("sub.weight")->flags & kIsParameter) == 0);
}

TEST(script_state_that_many_objects_share_is_bounded) {
  // 2,000 classes with one state of 2,000 entries and no tensor.
  Values entries, objects;
  for (int i = 0; i < 2000; ++i) {
    entries.push_back(text("e" + std::to_string(i)));
    entries.push_back(none());
  }
  objects.push_back(dict(entries) + put(1));
  for (int i = 0; i < 2000; ++i)
    objects.push_back(script_object("__torch__", "C" + std::to_string(i), get(1)));
  Script script;
  script.data = tuple(objects);
  OpenedCheckpoint checkpoint(script.bytes());
  if (!checkpoint.ok()) return EXPECT_EQ(code_name(checkpoint.failure().code), "LIMIT_WORK");
  const Status status = checkpoint->code()->classify({});
  ASSERT_FALSE(status.ok());
  EXPECT_EQ(code_name(status.code()), "LIMIT_WORK");
}

TEST(script_constants_are_tensors) {
  Script script;
  script.constants = pickle(tuple({floats("0"), floats("1.storage"), tuple({floats("0")})}));
  script.records.emplace_back("constants/0", "ABCDEFGH");
  script.records.emplace_back("constants/1.storage", "ABCDEFGH");
  OpenedCheckpoint checkpoint(script.bytes());
  ASSERT_TRUE(checkpoint.ok());
  EXPECT_EQ(problem_of(*checkpoint), "");
  EXPECT_EQ(shown(checkpoint->catalog(), checkpoint->names()),
            "plain float32(2), mean float32(2), weight float32(2), sub.weight float32(2), "
            "list.0 float32(2), constants.0 float32(2), constants.1 float32(2), "
            "constants.2.0 float32(2)");
  EXPECT_EQ(checkpoint->skipped().size(), 0);
  // Two storages called '0', of different records.
  const auto record_of = [&](const char* name) {
    const Storage& row = checkpoint->catalog().storages[checkpoint.tensor(name)->storage];
    return checkpoint->archive()->records()[row.record].name;
  };
  EXPECT_EQ(record_of("plain"), "net/data/0");
  EXPECT_EQ(record_of("constants.0"), "net/constants/0");
  EXPECT_EQ(record_of("constants.2.0"), "net/constants/0");
}

TEST(script_constants_that_lie) {
  Script script;
  script.constants = "\x80\2(";
  expect_failure(script.bytes(), Code::kBadPickle, "", "constants.pkl");
  script.constants = "";
  expect_failure(script.bytes(), Code::kBadPickle, "", "constants.pkl");
  script.constants = pickle(tuple({floats("0")}));
  expect_failure(script.bytes(), Code::kBadRecord, "'constants/0'", "constants/0");
  script.records.emplace_back("constants/0", "1234");
  expect_failure(script.bytes(), Code::kTruncated, "has 4 bytes", "net/constants/0");
  script.constants = pickle(tuple({tensor(storage("0", 1), integers({2}), integers({1}))}));
  expect_failure(script.bytes(), Code::kBadTensor, "'constants.0'", "");
  // What is no tuple has its tensors all the same, and none at all is fine.
  script.constants = pickle(dict({text("a"), tensor(storage("0", 1), integers({}), integers({}))}));
  EXPECT_EQ(weights(script.bytes()), "weight* mean sub.weight*");
  script.constants = pickle(none());
  EXPECT_EQ(weights(script.bytes()), "weight* mean sub.weight*");
}

TEST(script_constants_count_as_names) {
  Script script;
  script.constants = pickle(tuple({tensor(storage("0", 0), integers({0}), integers({1}))}));
  OpenOptions options;
  options.limits.names = 5;
  OpenedCheckpoint checkpoint(script.bytes(), options);
  ASSERT_FALSE(checkpoint.ok());
  EXPECT_EQ(code_name(checkpoint.failure().code), "LIMIT_NAMES");
  options.limits.names = 6;
  EXPECT_TRUE(OpenedCheckpoint(script.bytes(), options).ok());
}

TEST(script_constants_have_globals_that_can_be_refused) {
  Script script;
  script.constants = pickle(tuple({call("os system", {text("true")})}));
  EXPECT_TRUE(OpenedCheckpoint(script.bytes()).ok());
  OpenOptions options;
  options.strict_globals = true;
  OpenedCheckpoint checkpoint(script.bytes(), options);
  ASSERT_FALSE(checkpoint.ok());
  EXPECT_EQ(code_name(checkpoint.failure().code), "UNSAFE_GLOBAL");
}

TEST(script_mobile_flatbuffer_is_torch_s_own) {
  OpenedCheckpoint checkpoint("\x80\x02\0\0PTMF"s + std::string(64, '\0'));
  ASSERT_FALSE(checkpoint.ok());
  EXPECT_EQ(code_name(checkpoint.failure().code), "UNSUPPORTED_FORMAT");
}

}  // namespace
