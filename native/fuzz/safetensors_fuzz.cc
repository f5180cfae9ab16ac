// Any bytes as the JSON and the data of safetensors: what opens covers the data, each byte once.
// The first two bytes are the length of the JSON, so that mutations hardly ever miss it.
#include "fuzz/guarded.h"
#include "test/checkpoint_check.h"

using namespace torchmap;
using fuzz::require;

namespace {

// Bytes of the data that are not in storages of their own: those of what was skipped.
void check_cover(Checkpoint& checkpoint, uint64_t start, uint64_t size) {
  uint64_t at = start, covered = 0;
  for (const Storage& storage : checkpoint.catalog().storages) {
    require(storage.place == StoragePlace::kFile && storage.offset >= at);
    require(fits(storage.offset, storage.bytes, size));
    at = storage.offset + storage.bytes;
    covered += storage.bytes;
  }
  if (checkpoint.skipped().empty() && !checkpoint.salvaged()) require(covered == size - start);
  require(checkpoint.names().size() == checkpoint.catalog().storages.size());
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size < 2) return 0;
  const size_t header = std::min<size_t>(load_le<uint16_t>(data), size - 2);
  std::vector<uint8_t> file(8 + size - 2);
  for (size_t i = 0; i < 8; ++i) file[i] = static_cast<uint8_t>(uint64_t{header} >> (8 * i));
  std::copy(data + 2, data + size, file.begin() + 8);
  const auto source = std::make_shared<fuzz::GuardedSource>(file.data(), file.size());
  for (const bool salvage : {false, true}) {
    auto opened = Checkpoint::open(source, {fuzz::small_limits(), false, nullptr, salvage});
    if (!opened.ok()) {
      require(!opened.status().failure().message.empty());
      continue;
    }
    if ((*opened)->format() != Format::kSafetensors) continue;
    check_cover(**opened, 8 + header, file.size());
    require(check::problem_of(**opened).empty());
  }
  return 0;
}
