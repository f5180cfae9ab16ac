// model.json of torch 1.0 to 1.3: what is read, and what crafted files try.
#include "check.h"
#include "checkpoint_opened.h"
#include "core/format/model_json_reader.h"

using namespace torchmap;
using namespace torchmap::check;
using namespace std::string_literals;

namespace {

const std::string kTensor =
    R"({"dims":["2","3"],"offset":"0","strides":["3","1"],"requiresGrad":true,"dataType":"FLOAT",)"
    R"("data":{"key":"tensors/0"},"device":"cpu"})";

std::string model(const std::string& tensors, const std::string& module,
                  const std::string& more = "") {
  return R"({"protoVersion":"5",)" + more + R"("mainModule":)" + module +
         R"(,"producerName":"pytorch","tensors":[)" + tensors + "]}";
}

std::string archive(const std::string& json, const std::string& attributes = "") {
  ZipBytes zip;
  zip.add("net/version", "1\n");
  zip.add("net/tensors/0", std::string(24, '\1'));
  if (!attributes.empty()) zip.add("net/attributes.pkl", attributes);
  zip.add("net/model.json", json);
  return zip.finish();
}

// A tensor row with one field replaced.
std::string changed(const std::string& from, const std::string& to) {
  std::string row = kTensor;
  const size_t at = row.find(from);
  return at == std::string::npos ? "?" : row.replace(at, from.size(), to);
}

const std::string kModule = R"({"name":"net","parameters":[{"tensorId":"0","name":"w"}]})";

// The names, or "CODE: message".
std::string opened(const std::string& bytes) {
  OpenedCheckpoint checkpoint(bytes);
  if (!checkpoint.ok())
    return std::string(code_name(checkpoint.failure().code)) + ": " + checkpoint.failure().message;
  EXPECT_EQ(problem_of(*checkpoint), "");
  return shown(checkpoint->catalog(), checkpoint->names());
}

std::string with_tensor(const std::string& row) { return opened(archive(model(row, kModule))); }

void expect_start(const std::string& found, std::string_view start) {
  EXPECT_EQ(found.substr(0, start.size()), start);
}

TEST(model_json_reads) {
  EXPECT_EQ(with_tensor(kTensor), "w float32(2, 3)");
  EXPECT_EQ(with_tensor(changed(R"(["2","3"])", "[2, 3]")), "w float32(2, 3)");
  EXPECT_EQ(with_tensor(changed(R"("dataType":"FLOAT")", R"("dataType":1)")), "w float32(2, 3)");
  EXPECT_EQ(with_tensor(R"({"dataType":"INT64","data":{"key":"tensors/0"},"device":"cpu"})"),
            "w int64()");
  EXPECT_EQ(with_tensor(changed(R"("FLOAT")", R"("INT8","isQuantized":true,"scale":0.5)")),
            "w qint8(2, 3)");
}

TEST(model_json_modules_and_attributes) {
  const std::string module =
      R"({"name":"net","attributes":[{"type":"List[Tensor]","name":"list","id":"0"},)"
      R"({"type":"int","name":"n","id":"1"},{"type":"Tensor","name":"late","id":"-1"}],)"
      R"("submodules":[{"name":"a.b","parameters":[{"tensorId":"0","name":"w"}],)"
      R"("submodules":[{"name":"0","parameters":[{"isBuffer":true,"tensorId":0,"name":"w"}]}]}]})";
  const std::string attributes = pickle(
      tuple({list({call("torch.jit._pickle build_tensor_from_id", {integer(0)})}), integer(5)}));
  OpenedCheckpoint checkpoint(archive(model(kTensor, module), attributes));
  ASSERT_TRUE(checkpoint.ok());
  EXPECT_EQ(problem_of(*checkpoint), "");
  EXPECT_EQ(shown(checkpoint->catalog(), checkpoint->names()),
            "list.0 float32(2, 3), a.b.w float32(2, 3), a.b.0.w float32(2, 3)");
  Names names;
  ASSERT_TRUE(state_dict(checkpoint->interpreter(), checkpoint->root(), std::nullopt, names).ok());
  EXPECT_EQ(shown(checkpoint->catalog(), names), "a.b.w float32(2, 3), a.b.0.w float32(2, 3)");
  EXPECT_EQ(checkpoint->era(), "1.0 to 1.3");
  EXPECT_TRUE(checkpoint->code() == nullptr);
}

TEST(model_json_tensors_that_lie) {
  const auto fails = [](const std::string& from, const std::string& to, std::string_view start) {
    expect_start(with_tensor(changed(from, to)), start);
  };
  fails(R"(["2","3"])", R"(["9223372036854775807","3"])", "BAD_TENSOR: tensor 0");
  fails(R"(["2","3"])", R"(["4294967296","4294967296"])", "BAD_TENSOR: tensor 0");
  fails(R"(["2","3"])", R"(["-2","3"])", "BAD_TENSOR: tensor 0");
  fails(R"(["2","3"])", R"(["3","3"])", "BAD_TENSOR: tensor 0");
  fails(R"(["2","3"])", R"(["2"])", "BAD_TENSOR: tensor 0");
  fails(R"(["2","3"])", R"(["99999999999999999999","3"])", "BAD_TENSOR: 'dims'");
  fails(R"(["2","3"])", R"(["2 ","3"])", "BAD_TENSOR: 'dims'");
  fails(R"(["2","3"])", R"([2.5,3])", "BAD_TENSOR: 'dims'");
  fails(R"(["2","3"])", R"([null,[]])", "BAD_TENSOR: 'dims'");
  fails(R"(["2","3"])", R"("23")", "BAD_TENSOR: 'dims' is no list");
  fails(R"("offset":"0")", R"("offset":"1")", "BAD_TENSOR: tensor 0");
  fails(R"("offset":"0")", R"("offset":"-1")", "BAD_TENSOR: tensor 0");
  fails(R"("offset":"0")", R"("offset":"9223372036854775807")", "BAD_TENSOR: tensor 0");
  fails(R"("offset":"0")", R"("offset":{})", "BAD_TENSOR: the offset");
  fails(R"(["3","1"])", R"(["-3","1"])", "BAD_TENSOR: tensor 0");
  fails(R"(["3","1"])", R"(["9223372036854775807","9223372036854775807"])", "BAD_TENSOR: tensor 0");
  fails("FLOAT", "DOUBLE", "BAD_TENSOR: tensor 0");
  fails("FLOAT", "STRING", "UNSUPPORTED_DTYPE: data type 'STRING'");
  fails(R"("dataType":"FLOAT",)", "", "UNSUPPORTED_DTYPE");
  fails(R"("FLOAT")", R"("FLOAT","isQuantized":true)", "UNSUPPORTED_DTYPE");
  fails(R"("FLOAT")", R"("INT8","isQuantized":true,"scale":"x")", "BAD_TENSOR: scale");
  fails("tensors/0", "tensors/1", "BAD_RECORD: record 'tensors/1'");
  fails("tensors/0", "../../etc/passwd", "BAD_RECORD");
  fails(R"({"key":"tensors/0"})", R"({})", "BAD_TENSOR: a tensor names no record");
  fails(R"({"key":"tensors/0"})", R"([])", "BAD_TENSOR: a tensor names no record");
  for (const char* row : {"null", "1", "[]", "{}", "\"x\""}) {
    expect_start(with_tensor(row), "UNSUPPORTED_DTYPE");
  }
}

TEST(model_json_modules_that_lie) {
  const auto fails = [](const std::string& module, std::string_view start) {
    expect_start(opened(archive(model(kTensor, module), pickle(list({integer(0)})))), start);
  };
  fails(R"({"parameters":[{"tensorId":"1","name":"w"}]})",
        "BAD_TENSOR: 'w' is tensor 1 of a table of 1");
  fails(R"({"parameters":[{"tensorId":"-2","name":"w"}]})", "BAD_TENSOR: 'w' is tensor -2");
  fails(R"({"parameters":[{"tensorId":"x","name":"w"}]})", "BAD_TENSOR: 'w' has no tensor");
  fails(R"({"parameters":{}})", "BAD_TENSOR: 'parameters' is no list");
  fails(R"({"submodules":[1]})", "BAD_TENSOR: a module is no object");
  fails(R"({"attributes":[{"name":"a","id":"1"}]})", "BAD_TENSOR: attribute 'a' is value 1 of 1");
  fails(R"({"attributes":[{"name":"a","id":"-5"}]})", "BAD_TENSOR: attribute 'a' is value -5");
  fails(R"({"getStateAttributeId":"7"})", "BAD_TENSOR: the state of a module");
  fails(R"({"getStateAttributeId":"-1"})", "BAD_TENSOR: the state of a module");
  EXPECT_EQ(opened(archive(model(kTensor, R"({"parameters":[{"tensorId":"-1","name":"w"}]})"))),
            "");
  EXPECT_EQ(opened(archive(model(kTensor, R"({"parameters":[null,3]})"))), " float32(2, 3)");
}

TEST(model_json_attributes_that_lie) {
  const auto fails = [](const std::string& attributes, std::string_view start) {
    expect_start(opened(archive(model(kTensor, kModule), attributes)), start);
  };
  fails("\x80\2]", "BAD_PICKLE");
  fails(pickle(integer(3)), "BAD_PICKLE: attributes.pkl of version 5");
  fails(pickle(tuple({call("torch.jit._pickle build_tensor_from_id", {integer(9)})})),
        "BAD_TENSOR: 'attributes.pkl' is tensor 9");
  fails(pickle(tuple({call("torch.jit._pickle build_tensor_from_id", {integer(-1)})})),
        "BAD_TENSOR: 'attributes.pkl' is tensor -1");
  // Calls of another form stay what they are, also one that is its own state.
  const std::string id = global("__main__", "TensorID") + ")\x81";
  EXPECT_EQ(
      opened(archive(model(kTensor, kModule),
                     pickle(tuple({call("torch.jit._pickle build_tensor_from_id", {}),
                                   call("torch.jit._pickle build_tensor_from_id", {text("0")}), id,
                                   build(id + put(1), get(1)), build(id, text("x")),
                                   build(global("__main__", "IntList") + ")\x81", none())})))),
      "w float32(2, 3)");
}

TEST(model_json_of_others) {
  for (const char* json : {"{}", "[]", "null", R"({"format":"layers-model"})",
                           R"({"mainModule":{}})", R"({"mainModule":[],"producerName":"pytorch"})",
                           R"({"mainModule":{},"producerName":"keras"})"}) {
    expect_start(opened(archive(json)), "NOT_A_CHECKPOINT");
  }
  for (const char* json : {"", "{", "{]", "\xFF", "[1,]"})
    expect_start(opened(archive(json)), "BAD_RECORD");
  EXPECT_EQ(opened(archive(R"({"mainModule":{},"producerName":"pytorch"})")), "");
}

TEST(model_json_modules_as_deep_as_the_file) {
  constexpr int kDepth = 20000;
  std::string open, close;
  for (int i = 0; i < kDepth; ++i) {
    open += R"({"name":"a","submodules":[)";
    close += "]}";
  }
  EXPECT_EQ(opened(archive(model(kTensor, open + close))), "");
  const std::string found = opened(archive(model(kTensor, open + kModule + close)));
  EXPECT_EQ(found.size(), 2 * size_t{kDepth - 1} + std::string("net.w float32(2, 3)").size());
}

}  // namespace
