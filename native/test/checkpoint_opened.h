// A checkpoint of bytes, opened, and what tests ask of it.
#pragma once

#include <memory>
#include <string>
#include <utility>

#include "check.h"
#include "checkpoint_check.h"
#include "pickle_bytes.h"

namespace torchmap::check {

// --- values that torch pickles ---

// A storage of the record data/<key>, by its persistent id.
inline std::string storage(std::string_view key, int64_t numel,
                           std::string_view type = "FloatStorage",
                           std::string_view location = "cpu") {
  const std::string_view module = type == "UntypedStorage" ? "torch.storage" : "torch";
  return tuple({text("storage"), global(module, type), text(key), text(location), integer(numel)}) +
         "Q";
}
inline Values tensor_arguments(const std::string& over, const std::string& sizes,
                               const std::string& strides, int64_t offset = 0) {
  return {over,    integer(offset), sizes,
          strides, boolean(false),  call("collections OrderedDict", {})};
}
inline std::string tensor(const std::string& over, const std::string& sizes,
                          const std::string& strides, int64_t offset = 0) {
  return call("torch._utils _rebuild_tensor_v2", tensor_arguments(over, sizes, strides, offset));
}
// A vector of 2 floats over the storage '0'.
inline std::string small_tensor() { return tensor(storage("0", 2), integers({2}), integers({1})); }

// An archive with `value` as data.pkl and four storages of 64 bytes.
inline std::string archive_of(const std::string& value) {
  ZipBytes zip;
  zip.add("archive/data.pkl", pickle(value));
  for (const char* key : {"0", "1", "2", "3"}) {
    std::string content;
    for (int i = 0; i < 64; ++i) content += static_cast<char>(i + 64 * (key[0] - '0'));
    zip.add(std::string("archive/data/") + key, content);
  }
  zip.add("archive/version", "3\n");
  return zip.finish();
}

struct OpenedCheckpoint {
  std::string bytes;
  Result<std::unique_ptr<Checkpoint>> opened;

  explicit OpenedCheckpoint(std::string from, const OpenOptions& options = {})
      : bytes(std::move(from)), opened(Checkpoint::open(open_memory(as_bytes(bytes)), options)) {}
  OpenedCheckpoint(const OpenedCheckpoint&) = delete;

  bool ok() const { return opened.ok(); }
  const Failure& failure() { return opened.status().failure(); }
  Checkpoint& operator*() { return **opened; }
  Checkpoint* operator->() { return opened->get(); }

  // Of the tensor with that name; there must be one.
  const Tensor* tensor(std::string_view name) {
    const Names& names = (*opened)->names();
    for (size_t i = 0; i < names.size(); ++i) {
      if (names.at(i) == name) return &(*opened)->catalog().tensors[names.tensors[i]];
    }
    return nullptr;
  }
};

// "a float32(2, 3), b.c int64()" in the order of the walk, or the code of the failure.
inline std::string shown(const Catalog& catalog, const Names& names) {
  std::string out;
  for (size_t i = 0; i < names.size(); ++i) {
    const Tensor& row = catalog.tensors[names.tensors[i]];
    if (i > 0) out += ", ";
    out += std::string(names.at(i)) + " " + std::string(info(row.dtype).name) + "(";
    for (uint32_t d = 0; d < row.ndim; ++d) {
      if (d > 0) out += ", ";
      out += std::to_string(catalog.sizes(row)[d]);
    }
    out += ")";
  }
  return out;
}

inline std::string names_of(const std::string& value, const OpenOptions& options = {}) {
  OpenedCheckpoint checkpoint(archive_of(value), options);
  if (!checkpoint.ok()) return std::string(code_name(checkpoint.failure().code));
  EXPECT_EQ(problem_of(*checkpoint), "");
  return shown(checkpoint->catalog(), checkpoint->names());
}

// The names of state_dict().
inline std::string weights_of(const std::string& value,
                              std::optional<std::string_view> from = std::nullopt) {
  OpenedCheckpoint checkpoint(archive_of(value));
  if (!checkpoint.ok()) return std::string(code_name(checkpoint.failure().code));
  Names names;
  Status status = state_dict(checkpoint->interpreter(), checkpoint->root(), from, names);
  if (!status.ok()) return std::string(code_name(status.code()));
  return shown(checkpoint->catalog(), names);
}

// Changes every byte of a small archive, and cuts it at every byte: nothing may go wrong but the
// opening. Empty when all is well.
inline std::string damaged_anywhere(const std::string& good) {
  if (!OpenedCheckpoint(good).ok()) return "it does not open undamaged";
  size_t opened = 0;
  for (size_t i = 0; i < good.size(); ++i) {
    for (const char change : {'\x01', '\x80', '\x30'}) {
      std::string bad = good;
      bad[i] = static_cast<char>(bad[i] ^ change);
      OpenedCheckpoint checkpoint(bad);
      if (!checkpoint.ok()) continue;
      ++opened;
      const std::string problem = problem_of(*checkpoint);
      if (!problem.empty()) return "byte " + std::to_string(i) + " changed: " + problem;
    }
    if (OpenedCheckpoint(good.substr(0, i)).ok()) return "it opens cut at " + std::to_string(i);
  }
  return opened > 0 ? "" : "it never opens damaged";
}

}  // namespace torchmap::check
