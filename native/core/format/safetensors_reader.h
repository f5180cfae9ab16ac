// safetensors: u64 N (little-endian) · N bytes of JSON · data.
//   JSON   name -> {"dtype", "shape", "data_offsets": [begin, end)} with offsets from the first
//          byte behind the JSON, and "__metadata__": text -> text
//   data   row-major, little-endian; the tensors cover it without holes and without overlaps
// Accepts and refuses what the reference does. Source: safetensors/src/tensor.rs,
// SafeTensors::read_metadata and Metadata::validate (v0.8.0). There is no pickle: the root is a dict
// of tensors by name, in the order of their bytes.
#pragma once

#include "core/checkpoint.h"
#include "core/json.h"

namespace torchmap {

// Whether a file may begin so: a length that the format allows, then the start of a JSON object.
// Zip archives, tar archives and pickles can begin so, too, if only in theory.
bool starts_like_safetensors(ByteSpan head);

class SafetensorsReader {
 public:
  SafetensorsReader(Checkpoint& checkpoint, const OpenOptions& options)
      : checkpoint_(checkpoint), options_(options) {}

  // The length and the JSON: kTruncated, or kBadIndex for what no writer of safetensors begins
  // with.
  Status read_header();
  // What the JSON says; after read_header().
  Status read_tensors();

 private:
  struct Type;
  struct Row {
    std::string_view name;
    const Type* type = nullptr;
    uint64_t begin = 0, end = 0;        // bytes of the data
    uint32_t first_dim = 0, ndim = 0;   // in dims_
  };
  static const Type kTypes[];
  static const Type* find_type(std::string_view name);

  Status read_entries();
  Status read_metadata(std::string_view key, JsonValue value);
  Status read_row(std::string_view name, JsonValue value);
  Status read_field(Row& row, std::string_view field, JsonValue value);
  Status read_type(Row& row, JsonValue value);
  void drop_replaced();
  Status check_places();
  Status check_end();
  Status torch_sizes(const Row& row, std::vector<int64_t>& sizes) const;
  // `have` bytes of data are there.
  Status add_tensors(uint64_t have);
  // A failure about a text of the JSON, which says where in the file it is.
  Status wrong(std::string_view at, std::string what, Code code = Code::kBadIndex) const;

  Checkpoint& checkpoint_;
  const OpenOptions& options_;
  std::optional<Json> json_;
  uint64_t header_bytes_ = 0;  // N
  bool has_metadata_ = false;
  bool has_nested_extras_ = false;
  std::optional<Names> metadata_;
  std::vector<Row> rows_;
  std::vector<uint64_t> dims_;
  NodeId root_ = 0;
};

}  // namespace torchmap
