// What must hold of every checkpoint that could be opened, whatever its bytes: reads all of it.
#pragma once

#include <string>
#include <vector>

#include "core/kernels/convert.h"
#include "core/kernels/gather.h"
#include "core/kernels/negate.h"
#include "core/torch/state_dict.h"
#include "core/windows.h"
#include "tape_check.h"

namespace torchmap::check {

class CheckpointCheck {
 public:
  explicit CheckpointCheck(Checkpoint& checkpoint)
      : checkpoint_(checkpoint), catalog_(checkpoint.catalog()), windows_(checkpoint) {}

  // Empty when all is well, else what is wrong first.
  std::string run() {
    if (ScriptCode* code = checkpoint_.code(); code != nullptr) (void)code->classify({});
    Names names;
    (void)state_dict(checkpoint_.interpreter(), checkpoint_.root(), std::nullopt, names);
    auto tape = make_tape(checkpoint_.interpreter(), checkpoint_.root());
    if (tape.ok()) problem_ = problem_of(*tape, catalog_);
    auto outline = make_outline(checkpoint_.interpreter(), checkpoint_.root());
    if (outline.ok() && problem_.empty()) problem_ = problem_of(*outline, catalog_);
    for (size_t i = 0; i < catalog_.tensors.size() && i < kMost; ++i) tensor(catalog_.tensors[i]);
    for (uint32_t i = 0; i < catalog_.storages.size() && i < kMost; ++i) {
      for (std::byte byte : bytes_of(i)) sum_ += std::to_integer<uint32_t>(byte);
    }
    for (size_t i = 0; i < names.size(); ++i)
      need(names.tensors[i] < catalog_.tensors.size(), "a name's tensor");
    return problem_;
  }

 private:
  static constexpr size_t kMost = 256;
  static constexpr uint64_t kFewElements = 1 << 14;

  void need(bool holds, const char* what) {
    if (!holds && problem_.empty()) problem_ = std::string("bad: ") + what;
  }

  // The bytes of a storage; none when it has none that can be given as they are.
  ByteSpan bytes_of(uint32_t index) {
    const Storage row = catalog_.storages[index];
    if (row.place == StoragePlace::kMemory) return {row.memory, static_cast<size_t>(row.bytes)};
    if (row.place == StoragePlace::kNowhere) return {};
    if (row.place == StoragePlace::kRecord &&
        checkpoint_.archive()->records()[row.record].method != 0) {
      return {};
    }
    auto window = windows_.find(index, 0, row.bytes, uint64_t{1} << 30);
    if (!window.ok()) return {};
    need(fits(window->offset, row.bytes, window->end - window->begin), "a storage in its window");
    auto bytes = checkpoint_.source().view(window->begin + window->offset, row.bytes);
    need(bytes.ok(), "a storage in the file");
    return bytes.ok() ? *bytes : ByteSpan();
  }

  void tensor(const Tensor& row) {
    need(fits(row.dims, uint64_t{2} * row.ndim, catalog_.dims.size()), "a tensor's dimensions");
    need(fits(row.parts, row.part_count, catalog_.parts.size()), "a tensor's parts");
    for (uint32_t i = 0; problem_.empty() && i < row.part_count; ++i)
      need(catalog_.parts[row.parts + i].tensor < catalog_.tensors.size(), "a part's tensor");
    need(row.device < catalog_.devices.size() || catalog_.devices.empty(), "a tensor's device");
    if (!problem_.empty() || row.storage == kNoIndex) return;
    need(row.storage < catalog_.storages.size(), "a tensor's storage");
    if (problem_.empty() && row.numel > 0 && row.numel <= kFewElements) elements(row);
  }

  // Makes the values dense, as materialising does.
  void elements(const Tensor& row) {
    const DTypeInfo& type = info(row.dtype);
    const ByteSpan storage = bytes_of(row.storage);
    if (storage.empty() || type.bits != 8 * type.bytes) return;
    std::vector<std::byte> dense(row.numel * type.bytes);
    gather(storage.data() + static_cast<uint64_t>(row.offset) * type.bytes, type.bytes,
           {catalog_.sizes(row), row.ndim}, {catalog_.strides(row), row.ndim}, dense.data());
    swap_bytes(dense, type.swap);
    conjugate(dense.data(), row.dtype, row.numel);
    negate(dense.data(), row.dtype, row.numel);
    std::vector<float> reals(row.numel);
    if (converts_to_float32(row.dtype))
      to_float32(dense.data(), row.dtype, row.numel, reals.data());
  }

  Checkpoint& checkpoint_;
  const Catalog& catalog_;
  Windows windows_;
  uint32_t sum_ = 0;
  std::string problem_;
};

inline std::string problem_of(Checkpoint& checkpoint) { return CheckpointCheck(checkpoint).run(); }

}  // namespace torchmap::check
