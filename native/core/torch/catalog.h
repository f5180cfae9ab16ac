// The tables a reader fills: storages and the tensors over them. Plain rows, no object per tensor.
#pragma once

#include <array>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/pickle/nodes.h"
#include "core/torch/dtype.h"

namespace torchmap {

inline constexpr uint32_t kNoIndex = 0xFFFFFFFF;

// Where a storage's bytes are.
enum class StoragePlace : uint8_t {
  kNowhere,  // meta device: shapes without bytes
  kRecord,   // a record of the archive; its payload offset is looked up when the bytes are wanted
  kFile,     // at `offset` of the file
  kMemory,   // at `memory`: decoded from text inside the pickle
};

struct Storage {
  std::string_view key;         // as in the persistent id
  uint32_t device = 0;          // index into Catalog::devices
  DType dtype = DType::kUInt8;  // of the class in the persistent id; bytes when untyped
  bool untyped = false;
  uint8_t swap = 1;  // bytes per unit whose order must be reversed; 1 is none
  StoragePlace place = StoragePlace::kNowhere;
  uint32_t record = kNoIndex;  // index of the archive record
  uint64_t offset = 0;         // bytes from the start of the file, for kFile
  const std::byte* memory = nullptr;
  uint64_t bytes = 0;  // that the storage has
};

enum class Layout : uint8_t {
  kStrided,
  kSparseCoo,
  kSparseCsr,
  kMkldnn,
  kSparseCsc,
  kSparseBsr,
  kSparseBsc,
  kJagged
};

std::string_view layout_name(Layout layout);

enum TensorFlag : uint16_t {
  kRequiresGrad = 1,
  kIsParameter = 2,
  kConjugate = 4,    // the logical value is the conjugate of the stored one
  kNegative = 8,     // the logical value is the negative of the stored one
  kMeta = 16,        // shape only
  kContiguous = 32,  // row-major without gaps
  kWrapper = 64,     // a tensor subclass that keeps its values in the part `local`, or in its state
  kCoalesced = 128,  // sparse: indices are known to be unique and sorted
  kRagged = 512,     // nested or jagged: sizes of -1 differ from row to row, there are no strides
  kBareStorage = 256,  // not a tensor in the file: a storage of its own, seen as one dimension
};

enum class PartRole : uint8_t {
  kIndices,
  kValues,
  kCrowIndices,
  kColIndices,
  kCcolIndices,
  kRowIndices,
  kScales,
  kZeroPoints,
  kSizes,
  kStrides,
  kOffsets,
  kLengths,
  kLocal,
};

struct Part {
  PartRole role;
  uint32_t tensor;
};

enum class QScheme : uint8_t {
  kPerTensorAffine,
  kPerChannelAffine,
  kPerTensorSymmetric,
  kPerChannelSymmetric,
  kPerChannelFloatQParams
};

struct Quantizer {
  QScheme scheme = QScheme::kPerTensorAffine;
  double scale = 1;
  double zero_point = 0;
  uint32_t axis = 0;
  std::vector<double> scales, zero_points;  // old files: lists; else parts kScales and kZeroPoints
};

struct Tensor {
  DType dtype = DType::kUInt8;
  Layout layout = Layout::kStrided;
  uint16_t flags = 0;
  uint32_t storage = kNoIndex;
  int64_t offset = 0;  // elements
  uint32_t ndim = 0;
  uint32_t dims = 0;   // index into Catalog::dims: ndim sizes, then ndim strides (elements)
  uint32_t parts = 0;  // first of part_count entries of Catalog::parts
  uint32_t part_count = 0;
  uint32_t quantizer = kNoIndex;
  uint32_t device = 0;
  uint64_t numel = 0;  // elements
};

// numpy values that are not tensors: arrays and what they hold.
struct NdArray {
  std::string dtype;  // numpy's: "<f4", "|S3", "<M8[ns]"; "|O" for objects
  std::vector<int64_t> shape;
  bool fortran = false;
  uint32_t tensor = kNoIndex;  // elements as a tensor row, where a torch dtype exists
  std::string_view bytes;      // else the raw bytes, in the order `fortran` says
  NodeId objects = 0;          // else a list of values
};

struct Catalog {
  std::vector<Storage> storages;
  Buffer<Tensor> tensors;
  Buffer<int64_t> dims;
  Buffer<Part> parts;
  std::vector<Quantizer> quantizers;
  std::vector<NdArray> arrays;
  std::vector<std::pair<double, double>> complexes;
  std::vector<std::string_view> devices;  // few, each once
  std::map<uint32_t, std::string> lost;   // storages whose bytes a damaged file lost, and why

  uint32_t device(std::string_view name);
  // Where these, as many of one as of the other, stand in `dims`: equal ones mostly in one place.
  // kNoIndex when there are more than numbers of 32 bits can count.
  uint32_t add_dims(std::span<const int64_t> sizes, std::span<const int64_t> strides);
  const int64_t* sizes(const Tensor& tensor) const { return dims.data() + tensor.dims; }
  const int64_t* strides(const Tensor& tensor) const {
    return dims.data() + tensor.dims + tensor.ndim;
  }

 private:
  std::map<std::string_view, uint32_t> device_index_;
  std::string_view last_device_;
  uint32_t last_index_ = 0;
  // By a hash, the place + 1 of the last dimensions that had it, and their number.
  struct KnownDims {
    uint32_t place = 0, ndim = 0;
  };
  std::array<KnownDims, 256> known_dims_;
};

}  // namespace torchmap
