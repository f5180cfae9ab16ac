#include "core/torch/names.h"

#include "core/fingerprints.h"
#include "core/text.h"

namespace torchmap {
namespace {

// Bytes that few names are longer than.
constexpr size_t kLongName = 32;

}  // namespace

void Names::expect(size_t count) {
  text.reserve(kLongName * count);
  ends.make_room(count);
  tensors.make_room(count);
}

bool Names::are_distinct() const {
  if (size() < 2) return true;
  if (!is_ascii(text) || size() > UINT32_MAX / 4) return false;
  const uint64_t seed = hash_seed();
  uint64_t begin = 0;
  return Fingerprints().differ(static_cast<uint32_t>(size()), [&](uint32_t i) {
    const std::string_view name(text.data() + begin, ends[i] - begin);
    begin = ends[i];
    return hash_text(name, seed);
  });
}

}  // namespace torchmap
