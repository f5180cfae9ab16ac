// Archives of torch.export: what they say of tensors, and archives that lie.
#include "check.h"
#include "checkpoint_opened.h"

using namespace torchmap;
using namespace torchmap::check;

namespace {

std::string meta(std::string_view dtype = "7", std::string_view sizes = R"([{"as_int":2}])",
                 std::string_view strides = R"([{"as_int":1}])",
                 std::string_view offset = R"({"as_int":0})", std::string_view layout = "7",
                 std::string_view device = R"({"type":"cpu","index":null})") {
  return "{\"dtype\":" + std::string(dtype) + ",\"sizes\":" + std::string(sizes) +
         ",\"requires_grad\":true,\"device\":" + std::string(device) +
         ",\"strides\":" + std::string(strides) + ",\"storage_offset\":" + std::string(offset) +
         ",\"layout\":" + std::string(layout) + "}";
}

std::string payload(const std::string& described, std::string_view path = "\"weight_0\"",
                    std::string_view use_pickle = "false", std::string_view is_param = "true") {
  return "{\"path_name\":" + std::string(path) + ",\"is_param\":" + std::string(is_param) +
         ",\"use_pickle\":" + std::string(use_pickle) + ",\"tensor_meta\":" + described + "}";
}

std::string table(std::initializer_list<std::pair<std::string_view, std::string>> entries) {
  std::string out;
  for (const auto& [name, value] : entries)
    out += (out.empty() ? "\"" : ",\"") + std::string(name) + "\":" + value;
  return "{\"config\":{" + out + "}}";
}

// The bytes 0 to `count`.
std::string ramp(size_t count) {
  std::string out;
  for (size_t i = 0; i < count; ++i) out += static_cast<char>(i);
  return out;
}

struct Parts {
  std::string weights = table({});
  std::string constants = table({});
  std::string samples = {};
  std::vector<std::pair<std::string, std::string>> more = {};  // records
  std::string format = "pt2", version = "0", order = "little";
};

std::string archive(const Parts& parts) {
  ZipBytes zip;
  const auto add = [&](const std::string& name, std::string_view bytes) {
    zip.add("m/" + name, bytes);
  };
  add("data/weights/weight_0", ramp(32));
  add("data/weights/weight_1", "");
  if (!parts.weights.empty()) add("data/weights/model_weights_config.json", parts.weights);
  if (!parts.constants.empty()) add("data/constants/model_constants_config.json", parts.constants);
  add("models/model.json", "{}");
  add("data/sample_inputs/model.pt", parts.samples);
  for (const auto& [name, bytes] : parts.more) add(name, bytes);
  add("archive_format", parts.format);
  if (!parts.version.empty()) add("archive_version", parts.version);
  add(".data/version", "6\n");
  add("byteorder", parts.order);
  return zip.finish();
}

// Names and shapes, then what was skipped but for records no table names, or the failure's code.
std::string read(const std::string& bytes, const OpenOptions& options = {}) {
  OpenedCheckpoint checkpoint(bytes, options);
  if (!checkpoint.ok()) return std::string(code_name(checkpoint.failure().code));
  EXPECT_EQ(problem_of(*checkpoint), "");
  std::string out = shown(checkpoint->catalog(), checkpoint->names());
  for (const Skipped& row : checkpoint->skipped()) {
    if (row.name.starts_with("data/")) continue;
    out += "; " + row.name + " " + std::string(code_name(row.code));
  }
  return out;
}

std::string weights(std::initializer_list<std::pair<std::string_view, std::string>> entries) {
  Parts parts;
  parts.weights = table(entries);
  return read(archive(parts));
}

std::string weight(const std::string& described) { return weights({{"w", payload(described)}}); }

std::string nested(const std::string& value) {
  ZipBytes zip;
  zip.add("archive/data.pkl", pickle(value));
  zip.add("archive/byteorder", "little");
  zip.add("archive/data/0", ramp(16));
  return zip.finish();
}

TEST(pt2_gives_tensors_by_their_names_and_places) {
  Parts parts;
  parts.weights = table({{"a.b", payload(meta())}, {"tied", payload(meta())}});
  parts.constants = table({{"a.b", payload(meta("5"), "\"tensor_0\"", "false", "false")}});
  parts.samples = nested(tuple({tuple({small_tensor()}), dict({})}));
  parts.more = {{"data/constants/tensor_0", ramp(16)}};
  OpenedCheckpoint checkpoint(archive(parts));
  ASSERT_TRUE(checkpoint.ok());
  EXPECT_EQ(shown(checkpoint->catalog(), checkpoint->names()),
            "a.b float32(2), tied float32(2), constants.a.b int64(2), sample_inputs.0.0 "
            "float32(2)");
  EXPECT_EQ(checkpoint->skipped().size(), 1);  // weight_1, which no table names
  EXPECT_TRUE(checkpoint->format() == Format::kPt2);
  const Tensor *first = checkpoint.tensor("a.b"), *tied = checkpoint.tensor("tied"),
               *constant = checkpoint.tensor("constants.a.b");
  EXPECT_EQ(first->storage, tied->storage);
  EXPECT_NE(first->storage, constant->storage);
  EXPECT_EQ(first->flags & (kIsParameter | kRequiresGrad), kIsParameter | kRequiresGrad);
  EXPECT_EQ(constant->flags & kIsParameter, 0);
  EXPECT_EQ(checkpoint->catalog().storages[first->storage].bytes, 32);
  Names names;
  ASSERT_TRUE(
      state_dict(checkpoint->interpreter(), checkpoint->weights_root(), std::nullopt, names).ok());
  EXPECT_EQ(shown(checkpoint->catalog(), names), "a.b float32(2), tied float32(2)");
  EXPECT_EQ(problem_of(*checkpoint), "");
}

TEST(pt2_reads_nested_storages_where_they_lie) {
  Parts parts;
  parts.samples = nested(small_tensor());
  const std::string bytes = archive(parts);
  OpenedCheckpoint checkpoint(bytes);
  ASSERT_TRUE(checkpoint.ok());
  const Tensor* sample = checkpoint.tensor("sample_inputs");
  ASSERT_TRUE(sample != nullptr);
  const auto offset = checkpoint->storage_offset(sample->storage);
  const Storage& storage = checkpoint->catalog().storages[sample->storage];
  EXPECT_TRUE(storage.place == StoragePlace::kFile);
  EXPECT_EQ(bytes.substr(storage.offset, storage.bytes), ramp(8));
}

TEST(pt2_dtypes_are_those_of_the_schema) {
  const std::pair<int, std::string_view> known[] = {{1, "uint8"},
                                                    {2, "int8"},
                                                    {3, "int16"},
                                                    {4, "int32"},
                                                    {5, "int64"},
                                                    {6, "float16"},
                                                    {7, "float32"},
                                                    {8, "float64"},
                                                    {9, "complex32"},
                                                    {10, "complex64"},
                                                    {11, "complex128"},
                                                    {12, "bool"},
                                                    {13, "bfloat16"},
                                                    {28, "uint16"},
                                                    {29, "float8_e4m3fn"},
                                                    {30, "float8_e5m2"},
                                                    {31, "float8_e4m3fnuz"},
                                                    {32, "float8_e5m2fnuz"},
                                                    {33, "float8_e8m0fnu"},
                                                    {34, "uint32"},
                                                    {35, "uint64"}};
  for (int number = -1; number < 40; ++number) {
    std::string wanted = "; w UNSUPPORTED_DTYPE";
    for (const auto& [value, name] : known) {
      if (value == number) wanted = "w " + std::string(name) + "(2)";
    }
    EXPECT_EQ(weight(meta(std::to_string(number))), wanted);
  }
  EXPECT_EQ(weight(meta("9223372036854775807")), "; w UNSUPPORTED_DTYPE");
}

TEST(pt2_refuses_numbers_that_are_none) {
  for (const char* wrong : {"\"7\"", "7.0", "7e0", "null", "[7]", "true", "{}"}) {
    EXPECT_EQ(weight(meta(wrong)), "BAD_TENSOR");
    EXPECT_EQ(weight(meta("7", wrong)), "BAD_TENSOR");
    EXPECT_EQ(weight(meta("7", "[" + std::string(wrong) + "]")), "BAD_TENSOR");
    EXPECT_EQ(weight(meta("7", "[{\"as_int\":" + std::string(wrong) + "}]")), "BAD_TENSOR");
    EXPECT_EQ(weight(meta("7", "[]", "[]", wrong)), "BAD_TENSOR");
    EXPECT_EQ(weight(meta("7", "[]", "[]", R"({"as_int":0})", wrong)), "BAD_TENSOR");
  }
  EXPECT_EQ(weight(meta("7", R"([{"as_expr":{"expr_str":"s0","hint":{"as_int":2}}}])")),
            "BAD_TENSOR");
  EXPECT_EQ(weight(meta("7", "[]", "[]", R"({"as_int":0,"as_expr":1})")), "BAD_TENSOR");
  for (const char* device :
       {"null", "\"cpu\"", "{}", R"({"type":1,"index":null})", R"({"type":"cpu","index":"0"})"}) {
    EXPECT_EQ(weight(meta("7", "[]", "[]", R"({"as_int":0})", "7", device)), "BAD_TENSOR");
  }
}

TEST(pt2_checks_views_against_the_payload) {
  const auto view = [](std::string_view sizes, std::string_view strides, std::string_view offset) {
    return weight(meta("7", sizes, strides, "{\"as_int\":" + std::string(offset) + "}"));
  };
  const std::string two = R"([{"as_int":2}])", eight = R"([{"as_int":8}])",
                    one = R"([{"as_int":1}])", huge = R"([{"as_int":9223372036854775807}])",
                    below = R"([{"as_int":-1}])";
  EXPECT_EQ(view(eight, one, "0"), "w float32(8)");
  EXPECT_EQ(view(eight, one, "1"), "BAD_TENSOR");
  EXPECT_EQ(view(two, one, "6"), "w float32(2)");
  EXPECT_EQ(view(two, one, "7"), "BAD_TENSOR");
  EXPECT_EQ(view(two, one, "-1"), "BAD_TENSOR");
  EXPECT_EQ(view(two, one, "9223372036854775807"), "BAD_TENSOR");
  EXPECT_EQ(view(two, one, "9223372036854775808"), "BAD_TENSOR");
  EXPECT_EQ(view(two, huge, "0"), "BAD_TENSOR");
  EXPECT_EQ(view(huge, one, "0"), "BAD_TENSOR");
  EXPECT_EQ(view(below, one, "0"), "BAD_TENSOR");
  EXPECT_EQ(view(two, below, "0"), "BAD_TENSOR");
  EXPECT_EQ(view(two, "[]", "0"), "BAD_TENSOR");
  EXPECT_EQ(view(R"([{"as_int":4294967296},{"as_int":4294967296}])",
                 R"([{"as_int":0},{"as_int":0}])", "0"),
            "BAD_TENSOR");
  EXPECT_EQ(weight(meta("11")), "w complex128(2)");
  EXPECT_EQ(weight(meta("11", R"([{"as_int":3}])")), "BAD_TENSOR");
}

TEST(pt2_layouts_other_than_strided_are_skipped) {
  for (int layout = 0; layout < 9; ++layout) {
    EXPECT_EQ(weight(meta("7", "[]", "[]", R"({"as_int":0})", std::to_string(layout))),
              layout == 7 ? "w float32()" : "; w UNSUPPORTED_LAYOUT");
  }
}

TEST(pt2_payloads_are_records_of_their_folder) {
  const auto path = [](std::string_view name) { return weights({{"w", payload(meta(), name)}}); };
  EXPECT_EQ(path("\"weight_0\""), "w float32(2)");
  for (const char* wrong :
       {"\"weight_9\"", "\"\"", "\"/weight_0\"", "\"../weights/weight_0\"", "\"WEIGHT_0\"",
        "\"../../archive_format\"", "\"../constants/model_constants_config.json\"",
        "\"/etc/passwd\"", "\"weight_0\\u0000\""}) {
    EXPECT_EQ(path(wrong), "BAD_RECORD");
  }
  for (const char* wrong : {"0", "null", "{}", "[\"weight_0\"]"})
    EXPECT_EQ(path(wrong), "BAD_TENSOR");
  EXPECT_EQ(weights({{"w", payload(meta(), "\"weight_0\"", "0")}}), "BAD_TENSOR");
  EXPECT_EQ(weights({{"w", payload(meta(), "\"weight_0\"", "false", "1")}}), "BAD_TENSOR");
  EXPECT_EQ(weights({{"w", payload("null")}}), "BAD_TENSOR");
  EXPECT_EQ(weights({{"w", "null"}}), "BAD_TENSOR");
  EXPECT_EQ(weights({{"w", "[]"}}), "BAD_TENSOR");
  // A name given twice has its last value, as in Python.
  EXPECT_EQ(weights({{"w", payload("null")}, {"w", payload(meta("5"))}}), "w int64(2)");
}

TEST(pt2_payloads_without_bytes_are_shapes) {
  Parts parts;
  parts.weights = table({{"fake", payload(meta(), "\"weight_1\"")},
                         {"none", payload(meta("7", R"([{"as_int":0}])"), "\"weight_1\"")}});
  OpenedCheckpoint checkpoint(archive(parts));
  ASSERT_TRUE(checkpoint.ok());
  EXPECT_NE(checkpoint.tensor("fake")->flags & kMeta, 0);
  EXPECT_EQ(checkpoint.tensor("none")->flags & kMeta, 0);
  EXPECT_EQ(problem_of(*checkpoint), "");
}

TEST(pt2_byte_order_is_that_of_the_first_tensor_of_a_payload) {
  Parts parts;
  parts.order = "big";
  parts.weights = table({{"w", payload(meta("8"))}});
  OpenedCheckpoint checkpoint(archive(parts));
  ASSERT_TRUE(checkpoint.ok());
  EXPECT_EQ(checkpoint->catalog().storages[checkpoint.tensor("w")->storage].swap, 8);
}

TEST(pt2_objects_are_skipped) {
  Parts parts;
  parts.constants = table({{"obj", payload("null", "\"custom_obj_0\"", "true", "false")},
                           {"opaque", payload("null", "\"opaque_obj_0\"", "true", "false")}});
  parts.more = {{"data/constants/custom_obj_0", "PK?"}, {"data/constants/opaque_obj_0", "?"}};
  EXPECT_EQ(read(archive(parts)),
            "; constants.obj UNSUPPORTED_FORMAT; constants.opaque UNSUPPORTED_FORMAT");
}

TEST(pt2_records_that_no_table_names_are_skipped) {
  Parts parts;
  parts.weights = table({{"w", payload(meta())}});
  parts.more = {{"data/constants/tensor_0", "?"}, {"data/other", "?"}};
  OpenedCheckpoint checkpoint(archive(parts));
  ASSERT_TRUE(checkpoint.ok());
  ASSERT_TRUE(checkpoint->skipped().size() == 2);
  EXPECT_EQ(checkpoint->skipped()[0].name, "data/weights/weight_1");
  EXPECT_EQ(checkpoint->skipped()[1].name, "data/constants/tensor_0");
}

TEST(pt2_pickled_payloads_are_nested_archives) {
  const auto pickled = [](const std::string& bytes) {
    Parts parts;
    parts.weights = table({{"w", payload(meta(), "\"p\"", "true")},
                           {"same", payload(meta(), "\"p\"", "true")},
                           {"raw", payload(meta())},
                           {"empty", payload(meta("7", R"([{"as_int":0}])"), "\"weight_1\"")}});
    parts.more = {{"data/weights/p", bytes}};
    return read(archive(parts));
  };
  EXPECT_EQ(pickled(nested(small_tensor())),
            "w float32(2), same float32(2), raw float32(2), empty float32(0)");
  EXPECT_EQ(pickled("no archive"), "TRUNCATED");
  EXPECT_EQ(pickled("PK\3\4 no archive"), "TRUNCATED");
  const std::string good = nested(small_tensor());
  EXPECT_EQ(pickled(good.substr(0, good.size() - 1)), "TRUNCATED");
  EXPECT_EQ(pickled(nested(integer(1))), "raw float32(2), empty float32(0)");
  ZipBytes other;
  other.add("archive/data.txt", "");
  EXPECT_EQ(pickled(other.finish()), "BAD_RECORD");
  EXPECT_EQ(pickled(nested("\x80")), "BAD_PICKLE");
  EXPECT_EQ(pickled(nested(tensor(storage("0", 5), integers({5}), integers({1})))), "TRUNCATED");
  EXPECT_EQ(pickled(nested(tensor(storage("7", 5), integers({5}), integers({1})))), "BAD_RECORD");
  // An archive inside an archive inside the archive is no tensor.
  EXPECT_EQ(pickled(archive({})), "BAD_RECORD");
}

TEST(pt2_tables_are_json_of_one_form) {
  for (const char* wrong : {"", "{", "nothing", "[]", "{}", "{\"config\":[]}", "{\"config\":null}",
                            "{\"config\":{}} x", "\xff"}) {
    Parts parts;
    parts.weights = wrong;
    const std::string bytes = archive(parts);
    // Without the record at all it is missed, too.
    EXPECT_EQ(read(bytes), "BAD_RECORD");
  }
  Parts parts;
  parts.constants = "";
  EXPECT_EQ(read(archive(parts)), "BAD_RECORD");
  parts = {};
  parts.weights = std::string(100'000, '[');
  EXPECT_EQ(read(archive(parts)), "BAD_RECORD");
}

TEST(pt2_versions) {
  Parts parts;
  parts.version = "1";
  EXPECT_EQ(read(archive(parts)), "UNSUPPORTED_VERSION");
  parts.version = "";
  EXPECT_EQ(read(archive(parts)), "");
  parts.format = "pt3";
  EXPECT_EQ(read(archive(parts)), "UNSUPPORTED_FORMAT");
}

TEST(pt2_many_models_do_not_share_a_table_by_case) {
  Parts parts;
  parts.weights = table({{"w", payload(meta())}});
  parts.more = {{"models/MODEL.json", "{}"}};
  EXPECT_EQ(read(archive(parts)), "BAD_RECORD");
}

TEST(pt2_of_several_models_has_their_names_in_front) {
  Parts parts;
  parts.weights = table({{"w", payload(meta())}});
  parts.more = {{"models/a.json", "{}"},
                {"data/weights/a_weights_config.json",
                 table({{"w", payload(meta("5"))}, {"v", payload(meta(), "\"weight_1\"")}})},
                {"data/constants/a_constants_config.json", table({})}};
  EXPECT_EQ(read(archive(parts)), "model.w float32(2), a.w int64(2), a.v float32(2)");
}

TEST(pt2_names_count_against_the_limit) {
  OpenOptions options;
  options.limits.names = 1;
  Parts parts;
  parts.weights = table({{"w", payload(meta())}, {"v", payload(meta())}});
  EXPECT_EQ(read(archive(parts), options), "LIMIT_NAMES");
  options = {};
  options.limits.nodes = 100;
  EXPECT_EQ(read(archive(parts), options), "LIMIT_NODES");
}

TEST(pt2_old_layout) {
  const std::string good = nested(dict({text("w"), small_tensor()}));
  const auto old = [](const std::string& name, const std::string& bytes) {
    ZipBytes zip;
    zip.torch = false;
    zip.add("serialized_exported_program.json", "{}");
    zip.add(name, bytes);
    zip.add("version", "5.1");
    return read(zip.finish());
  };
  EXPECT_EQ(old("serialized_state_dict.pt", good), "w float32(2)");
  EXPECT_EQ(old("serialized_state_dict.json", good), "w float32(2)");
  EXPECT_EQ(old("serialized_state_dict.pt", ""), "");
  EXPECT_EQ(old("serialized_state_dict.pt", "garbage"), "TRUNCATED");
  EXPECT_EQ(old("serialized_constants.pt", good), "BAD_RECORD");
}

TEST(pt2_weights_of_inductor_are_views) {
  const auto inductor = [](const std::string& text) {
    ZipBytes zip;
    zip.add("m/data/weights/weight_0", nested(small_tensor()));
    zip.add("m/data/aotinductor/model/weights_config.json", text);
    zip.add("m/archive_format", "pt2");
    return read(zip.finish());
  };
  EXPECT_EQ(inductor(R"({"w":["weight_0",[1,1],[1,1],1]})"), "aotinductor.w float32(1, 1)");
  EXPECT_EQ(inductor(R"({"w":["weight_0",[3],[1],0]})"), "BAD_TENSOR");
  EXPECT_EQ(inductor(R"({"w":["weight_0",[3],[1]]})"), "BAD_TENSOR");
  EXPECT_EQ(inductor(R"({"w":["weight_0",["3"],[1],0]})"), "BAD_TENSOR");
  EXPECT_EQ(inductor(R"({"w":["weight_1",[1],[1],0]})"), "BAD_RECORD");
  EXPECT_EQ(inductor(R"({"w":7})"), "BAD_RECORD");
  EXPECT_EQ(inductor("[]"), "BAD_RECORD");
}

TEST(pt2_damaged_anywhere) {
  Parts parts;
  parts.weights = table({{"w", payload(meta())}, {"p", payload(meta(), "\"p\"", "true")}});
  parts.constants = table({{"c", payload("null", "\"custom_obj_0\"", "true", "false")}});
  parts.more = {{"data/weights/p", nested(small_tensor())}, {"data/constants/custom_obj_0", "?"}};
  const std::string good = archive(parts);
  EXPECT_EQ(damaged_anywhere(good), "");
}

}  // namespace
