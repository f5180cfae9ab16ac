// Any bytes as a checkpoint: opened, named, written to the tape, every storage and tensor read.
#include <vector>

#include "core/kernels/convert.h"
#include "core/kernels/gather.h"
#include "core/torch/state_dict.h"
#include "core/windows.h"
#include "fuzz/guarded.h"
#include "test/tape_check.h"

using namespace torchmap;
using fuzz::require;

namespace {

constexpr uint64_t kFewBytes = 1 << 16;

// The bytes of a storage, or nothing where it has none of its own in the file.
ByteSpan bytes_of(Checkpoint& checkpoint, Windows& windows, uint32_t index) {
  const Storage row = checkpoint.catalog().storages[index];
  if (row.place == StoragePlace::kMemory) return {row.memory, row.bytes};
  if (row.place == StoragePlace::kNowhere) return {};
  if (row.place == StoragePlace::kRecord &&
      checkpoint.archive()->records()[row.record].method != 0)
    return {};
  auto window = windows.find(index, 0, row.bytes, uint64_t{1} << 30);
  if (!window.ok()) return {};
  require(fits(window->offset, row.bytes, window->end - window->begin));
  require(window->end <= checkpoint.source().size());
  auto bytes = checkpoint.source().view(window->begin + window->offset, row.bytes);
  require(bytes.ok());
  return *bytes;
}

void check_tensor(const Catalog& catalog, const Tensor& tensor, ByteSpan storage) {
  const uint32_t itemsize = info(tensor.dtype).bytes;
  if (storage.empty() || tensor.numel == 0 || tensor.numel > kFewBytes) return;
  if (info(tensor.dtype).bits != 8 * itemsize) return;  // elements share bytes
  const size_t start = static_cast<size_t>(tensor.offset) * itemsize;
  std::vector<std::byte> dense(tensor.numel * itemsize);
  gather(storage.data() + start, itemsize, {catalog.sizes(tensor), tensor.ndim},
         {catalog.strides(tensor), tensor.ndim}, dense.data());
  swap_bytes(dense, info(tensor.dtype).swap);
  conjugate(dense.data(), tensor.dtype, tensor.numel);
  negate(dense.data(), tensor.dtype, tensor.numel);
  std::vector<float> reals(tensor.numel);
  if (converts_to_float32(tensor.dtype))
    to_float32(dense.data(), tensor.dtype, tensor.numel, reals.data());
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  auto source = std::make_shared<fuzz::GuardedSource>(data, size);
  auto opened = Checkpoint::open(source, {fuzz::small_limits(), false, nullptr});
  if (!opened.ok()) return require(!opened.status().failure().message.empty()), 0;
  Checkpoint& checkpoint = **opened;
  Names names;
  (void)state_dict(checkpoint.interpreter(), checkpoint.root(), std::nullopt, names);
  auto tape = make_tape(checkpoint.interpreter(), checkpoint.root());
  if (tape.ok()) require(check::problem_of(*tape, checkpoint.catalog()).empty());

  Windows windows(checkpoint);
  const Catalog& catalog = checkpoint.catalog();
  std::vector<ByteSpan> bytes;
  for (uint32_t i = 0; i < catalog.storages.size() && i < 256; ++i) {
    bytes.push_back(bytes_of(checkpoint, windows, i));
    fuzz::touch(bytes.back());
  }
  for (size_t i = 0; i < catalog.tensors.size() && i < 256; ++i) {
    const Tensor& tensor = catalog.tensors[i];
    if (tensor.storage < bytes.size()) check_tensor(catalog, tensor, bytes[tensor.storage]);
  }
  return 0;
}
