// A byte, then any bytes as a deflated stream: in one piece and in parts, whose length the first
// byte says, it becomes the same.
#include <algorithm>
#include <vector>

#include "core/archive/inflate.h"
#include "fuzz/guarded.h"

using namespace torchmap;
using fuzz::require;

namespace {

constexpr size_t kRoom = size_t{1} << 20;

class Parts final : public InflateStream {
 public:
  Parts(ByteSpan deflated, size_t part) : left_(deflated), part_(part) {}

  Result<size_t> read(std::span<std::byte> target) override {
    const size_t taken = std::min({target.size(), left_.size(), part_});
    if (taken > 0) std::memcpy(target.data(), left_.data(), taken);
    left_ = left_.subspan(taken);
    return taken;
  }
  Result<bool> take(ByteSpan inflated) override {
    fuzz::touch(inflated);
    bytes.insert(bytes.end(), inflated.begin(), inflated.end());
    return bytes.size() <= kRoom;
  }

  std::vector<std::byte> bytes;

 private:
  ByteSpan left_;
  const size_t part_;
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  const fuzz::GuardedSource source(data + 1, size - 1);
  std::vector<std::byte> target(kRoom);
  auto whole = inflate(source.bytes(), target);
  Parts parts(source.bytes(), size_t{1} + data[0] * size_t{7});
  auto done = inflate(parts);
  if (!whole.ok()) {
    // Unless more than is wanted came before what is wrong.
    require(!done.ok() || !done->ended);
    return 0;
  }
  require(whole->bytes <= kRoom);
  if (whole->ended) {
    require(done.ok() && done->ended && done->bytes == whole->bytes);
    require(std::equal(parts.bytes.begin(), parts.bytes.end(), target.begin()));
  } else {
    // There is more than there is room for; the parts may break behind that.
    require(!done.ok() || !done->ended);
  }
  return 0;
}
