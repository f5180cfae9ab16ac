#include "core/attached.h"

#include <array>

#include "core/bytes.h"
#include "core/torch/geometry.h"

namespace torchmap {
namespace {

// Doubles count exactly up to here.
constexpr double kMostExact = 9007199254740992.0;
// Parts that a tensor has itself, and with those of its parts; readers make a few at most.
constexpr uint32_t kMostRoles = 16, kMostParts = 1024;

std::optional<uint64_t> whole_number(double value) {
  if (!(value >= 0 && value <= kMostExact)) return std::nullopt;
  const auto whole = static_cast<int64_t>(value);  // cheaper than to unsigned ones
  if (static_cast<double>(whole) != value) return std::nullopt;
  return static_cast<uint64_t>(whole);
}

// Strides of what has no elements can be any number; beyond 2^63 they were rounded up to it.
std::optional<int64_t> dimension(double value) {
  if (!(value >= -1 && value <= 0x1p63)) return std::nullopt;
  if (value == 0x1p63) return INT64_MAX;
  const auto whole = static_cast<int64_t>(value);
  if (static_cast<double>(whole) != value) return std::nullopt;
  return whole;
}

class AttachedCheck {
 public:
  AttachedCheck(const AttachedTables& tables, uint64_t size) : tables_(tables), size_(size) {}

  Result<std::vector<Storage>> run() {
    TRY(check_shapes());
    TRY(read_quantizers());
    const size_t count = tables_.places.size();
    storages_.reserve(count);
    for (size_t i = 0; i < count; ++i) TRY(read_storage(i));
    for (size_t i = 0; i < tensor_count(); ++i) TRY(check_tensor(i));
    TRY(check_parts());
    for (const auto& rows : {tables_.named, tables_.weights}) {
      for (const uint32_t row : rows)
        if (row >= tensor_count()) return wrong("a name", row, "names no tensor");
    }
    return std::move(storages_);
  }

 private:
  static Status wrong(std::string_view what, uint64_t number, std::string_view fault) {
    return Status(Code::kBadIndex, "the handle is wrong: " + std::string(what) + " " +
                                       std::to_string(number) + " " + std::string(fault));
  }

  size_t tensor_count() const { return tables_.tensors.size() / PackedRow::kTensor; }
  const uint32_t* tensor(size_t i) const { return tables_.tensors.data() + i * PackedRow::kTensor; }
  // Null for the many tensors that have none.
  const uint32_t* extra(const uint32_t* row) const {
    return row[9] == kNoIndex ? nullptr : tables_.extras.data() + row[9] * PackedRow::kExtra;
  }
  static uint64_t numel(const uint32_t* row) { return row[4] | uint64_t{row[5]} << 32; }

  Status check_shapes() const {
    const bool even = tables_.tensors.size() % PackedRow::kTensor == 0 &&
                      tables_.extras.size() % PackedRow::kExtra == 0 &&
                      tables_.parts.size() % PackedRow::kPart == 0 &&
                      tables_.storages.size() == tables_.places.size() * PackedRow::kStorage;
    return even ? Status() : wrong("a table of", tables_.tensors.size(), "words has half a row");
  }

  // Each is scheme, scale, zero point, axis, how many scales and zero points, and those.
  Status read_quantizers() {
    std::span<const double> left = tables_.quantizers;
    while (!left.empty()) {
      const size_t number = quantizers_.size();
      if (left.size() < PackedRow::kQuantizer) return wrong("quantizer", number, "is cut");
      const auto scheme = whole_number(left[0]), axis = whole_number(left[3]),
                 scales = whole_number(left[4]), zeros = whole_number(left[5]);
      left = left.subspan(PackedRow::kQuantizer);
      const bool fits = scheme && axis && scales && zeros &&
                        *scheme <= static_cast<uint64_t>(QScheme::kPerChannelFloatQParams) &&
                        *scales <= left.size() && *zeros <= left.size() - *scales;
      if (!fits) return wrong("quantizer", number, "has numbers that cannot be");
      left = left.subspan(*scales + *zeros);
      quantizers_.push_back({static_cast<QScheme>(*scheme), *axis, *scales, *zeros});
    }
    return {};
  }

  Status read_storage(size_t i) {
    const double* row = tables_.storages.data() + i * PackedRow::kStorage;
    const auto kind = whole_number(row[0]), bytes = whole_number(row[1]),
               deflated = whole_number(row[2]);
    if (!kind || !bytes || !deflated) return wrong("storage", i, "has numbers that cannot be");
    Storage storage;
    const uint64_t dtype = *kind & 0xFF, place = *kind >> 8 & 3, swap = *kind >> 10 & 63,
                   device = *kind >> 16;
    if (dtype >= static_cast<uint64_t>(DType::kCount) || swap == 0 || (swap & (swap - 1)) != 0 ||
        swap > 8 || device >= std::max<uint64_t>(tables_.devices, 1)) {
      return wrong("storage", i, "is of no dtype, byte order or device that there is");
    }
    storage.dtype = static_cast<DType>(dtype);
    storage.place = static_cast<StoragePlace>(place);
    storage.bytes = *deflated == 0 ? *bytes : *deflated;
    if (storage.place == StoragePlace::kRecord)
      return wrong("storage", i, "is said to lie in a record");
    if (storage.place == StoragePlace::kFile) {
      const auto offset = whole_number(tables_.places[i]);
      if (!offset || !fits(*offset, storage.bytes, size_))
        return wrong("storage", i, "does not lie in the file");
      storage.offset = *offset;
    }
    storages_.push_back(storage);
    return {};
  }

  Status check_tensor(size_t i) {
    const uint32_t* row = tensor(i);
    const uint32_t dtype = row[0] & 0xFF, layout = row[0] >> 8 & 0xFF, flags = row[0] >> 16;
    const uint32_t ndim = row[7];
    const bool known = dtype < static_cast<uint32_t>(DType::kCount) &&
                       layout <= static_cast<uint32_t>(Layout::kJagged) &&
                       row[8] < std::max<uint64_t>(tables_.devices, 1) &&
                       (row[1] == kNoIndex || row[1] < storages_.size()) &&
                       (row[9] == kNoIndex || row[9] < tables_.extras.size() / PackedRow::kExtra) &&
                       fits(row[6], uint64_t{ndim} * 2, tables_.dims.size());
    if (!known) return wrong("tensor", i, "names rows that are not there");
    if ((flags & kRagged) != 0) {
      const bool plain = row[1] == kNoIndex && ndim > 0 && (flags & kContiguous) == 0;
      if (!plain || !read_dims(row[6], ndim))
        return wrong("tensor", i, "is nested and yet it is not");
      return {};
    }
    KnownShape& shape = shapes_[row[6] % shapes_.size()];
    if (shape.dims != row[6] || shape.ndim != ndim) {
      if (!read_dims(row[6], ndim))
        return wrong("tensor", i, "has sizes or strides that cannot be");
      const std::span<const int64_t> all = dims_;
      TRY_ASSIGN(const Geometry geometry, check_geometry(0, all.first(ndim), all.last(ndim)));
      shape = {row[6], ndim, geometry};
    }
    const auto offset = row[2] | uint64_t{row[3]} << 32;
    if (shape.geometry.numel != numel(row) || offset > INT64_MAX - shape.geometry.extent ||
        shape.geometry.contiguous != ((flags & kContiguous) != 0)) {
      return wrong("tensor", i, "is not what its sizes and strides make");
    }
    return row[1] == kNoIndex ? Status() : check_extent(i, shape.geometry, offset);
  }

  // Sizes and strides, into dims_; whether they can be such.
  bool read_dims(uint32_t place, uint32_t ndim) {
    dims_.clear();
    for (const double value : tables_.dims.subspan(place, size_t{ndim} * 2)) {
      const auto number = dimension(value);
      if (!number) return false;
      dims_.push_back(*number);
    }
    return true;
  }

  // That the tensor lies in its storage, `offset` elements behind where it begins.
  Status check_extent(size_t i, const Geometry& geometry, uint64_t offset) const {
    const uint32_t* row = tensor(i);
    if (storages_[row[1]].place == StoragePlace::kNowhere) {
      return (row[0] >> 16 & kMeta) != 0 ? Status()
                                         : wrong("tensor", i, "has bytes that are nowhere");
    }
    const auto dtype = static_cast<DType>(row[0] & 0xFF);
    const auto bytes =
        static_cast<uint64_t>(tables_.storages[size_t{row[1]} * PackedRow::kStorage + 1]);
    const uint64_t end = offset + geometry.extent;
    // Two divisions, for the few dtypes that have several elements in a byte.
    const bool is_packed = info(dtype).bits != 8u * info(dtype).bytes;
    const auto needed =
        checked_mul(is_packed ? packed_elements(dtype, end) : end, info(dtype).bytes);
    if (geometry.numel == 0 || (needed && *needed <= bytes)) return {};
    return Status(Code::kBadTensor, "the handle is wrong: tensor " + std::to_string(i) +
                                        " does not lie in its storage of " + std::to_string(bytes) +
                                        " bytes");
  }

  // Parts lead to tensors that are there, and to no endless number of them.
  Status check_parts() {
    if (tables_.extras.empty()) return {};
    counts_.assign(tensor_count(), 0);
    for (size_t i = 0; i < tensor_count(); ++i) {
      const uint32_t* own = extra(tensor(i));
      if (own == nullptr) continue;
      if (own[1] > kMostRoles || !fits(own[0], own[1], tables_.parts.size() / PackedRow::kPart))
        return wrong("tensor", i, "has parts that are not there");
      for (uint32_t p = 0; p < own[1]; ++p) {
        const uint32_t* part = tables_.parts.data() + (size_t{own[0]} + p) * PackedRow::kPart;
        if (part[0] > static_cast<uint32_t>(PartRole::kLocal) || part[1] >= tensor_count())
          return wrong("tensor", i, "has parts that are not there");
      }
      if (own[2] != kNoIndex) TRY(check_quantizer(i, own));
    }
    for (size_t i = 0; i < tensor_count(); ++i) {
      if (extra(tensor(i)) != nullptr && !count_parts(static_cast<uint32_t>(i)))
        return wrong("tensor", i, "is a part of itself, or of too many");
    }
    return {};
  }

  // As many scales and zero points as there are channels, in lists or in tensors.
  Status check_quantizer(size_t i, const uint32_t* own) const {
    if (own[2] >= quantizers_.size())
      return wrong("tensor", i, "has a quantizer that is not there");
    const uint32_t* row = tensor(i);
    const KnownQuantizer& quantizer = quantizers_[own[2]];
    const bool by_channel = quantizer.scheme != QScheme::kPerTensorAffine &&
                            quantizer.scheme != QScheme::kPerTensorSymmetric;
    if (info(static_cast<DType>(row[0] & 0xFF)).kind != DTypeKind::kQuantized || !by_channel)
      return {};
    if (quantizer.axis >= row[7]) return wrong("tensor", i, "is quantised along no dimension");
    const auto channels = whole_number(tables_.dims[row[6] + quantizer.axis]);
    bool has_scales = false, has_zeros = false, fits = true;
    for (uint32_t p = 0; p < own[1]; ++p) {
      const uint32_t* part = tables_.parts.data() + (size_t{own[0]} + p) * PackedRow::kPart;
      const auto role = static_cast<PartRole>(part[0]);
      if (role != PartRole::kScales && role != PartRole::kZeroPoints) continue;
      fits = fits && numel(tensor(part[1])) == channels;
      (role == PartRole::kScales ? has_scales : has_zeros) = true;
    }
    fits = fits && (has_scales || quantizer.scales == channels) &&
           (has_zeros || quantizer.zeros == channels);
    return fits ? Status() : wrong("tensor", i, "has other scales than channels");
  }

  // How many tensors one is made of, itself included, into counts_; whether that has an end.
  bool count_parts(uint32_t first) {
    constexpr uint32_t kBegun = kMostParts + 1;
    std::vector<uint32_t> path{first};
    while (!path.empty()) {
      const uint32_t at = path.back();
      const uint32_t* own = extra(tensor(at));
      const uint32_t parts = own == nullptr ? 0 : own[1];
      uint32_t sum = 1;
      bool is_known = true;
      for (uint32_t p = 0; is_known && p < parts; ++p) {
        const uint32_t next = tables_.parts[(size_t{own[0]} + p) * PackedRow::kPart + 1];
        const uint32_t known = counts_[next];
        if (known == kBegun || path.size() > kMostParts) return false;
        sum += known;
        if (known != 0) continue;
        is_known = false;
        counts_[at] = kBegun;
        path.push_back(next);
      }
      if (!is_known) continue;
      if (sum > kMostParts) return false;
      counts_[at] = sum;
      path.pop_back();
    }
    return true;
  }

  // What stands in one place of the dims, which most tensors share with others.
  struct KnownShape {
    uint32_t dims = kNoIndex, ndim = 0;
    Geometry geometry;
  };
  struct KnownQuantizer {
    QScheme scheme;
    uint64_t axis, scales, zeros;
  };

  const AttachedTables& tables_;
  const uint64_t size_;
  std::vector<Storage> storages_;
  std::array<KnownShape, 64> shapes_;
  std::vector<KnownQuantizer> quantizers_;
  std::vector<int64_t> dims_;     // of the tensor that is looked at
  std::vector<uint32_t> counts_;  // by tensor; 0: not counted yet
};

}  // namespace

Result<std::vector<Storage>> check_attached(const AttachedTables& tables, uint64_t size) {
  return AttachedCheck(tables, size).run();
}

}  // namespace torchmap
