// The input of a fuzzer, flush against a page that cannot be touched: one byte read too far is a
// crash, also without AddressSanitizer. POSIX only.
#pragma once

#include <sys/mman.h>
#include <unistd.h>

#include <cstdlib>
#include <cstring>

#include "core/limits.h"
#include "core/source/source.h"

namespace torchmap::fuzz {

// A mapped file as the core sees it.
class GuardedSource final : public Source {
 public:
  GuardedSource(const uint8_t* data, size_t size) {
    const auto page = static_cast<size_t>(sysconf(_SC_PAGESIZE));
    const size_t room = (size + page - 1) / page * page;
    length_ = room + page;
    void* pages =
        mmap(nullptr, length_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (pages == MAP_FAILED) std::abort();
    begin_ = static_cast<std::byte*>(pages);
    if (mprotect(begin_ + room, page, PROT_NONE) != 0) std::abort();
    bytes_ = {begin_ + room - size, size};
    if (size > 0) std::memcpy(bytes_.data(), data, size);
    identity_.size = size;
  }
  ~GuardedSource() override { munmap(begin_, length_); }

  ByteSpan bytes() const { return bytes_; }
  Result<ByteSpan> view(uint64_t offset, uint64_t length) override {
    TRY(check_range(offset, length));
    return ByteSpan(bytes_).subspan(offset, length);
  }
  Status read(uint64_t offset, std::span<std::byte> target) override {
    TRY(check_range(offset, target.size()));
    if (!target.empty()) std::memcpy(target.data(), bytes_.data() + offset, target.size());
    return {};
  }
  std::span<std::byte> mapped() override { return bytes_; }

 private:
  std::byte* begin_ = nullptr;
  size_t length_ = 0;
  std::span<std::byte> bytes_;
};

// Ends the process when what must always hold does not.
inline void require(bool holds) {
  if (!holds) std::abort();
}

// Caps under which no input is slow.
inline Limits small_limits() {
  Limits limits;
  limits.opcodes = limits.nodes = limits.memo = 1 << 20;
  limits.names = 1 << 14;
  limits.name_bytes = limits.string = 1 << 20;
  limits.records = 1 << 12;
  limits.copy_bytes = limits.inflated_bytes = 1 << 24;
  return limits;
}

// Reads every byte, so that a page that is not there is found out.
inline uint32_t touch(ByteSpan bytes) {
  uint32_t sum = 0;
  for (std::byte byte : bytes) sum += std::to_integer<uint32_t>(byte);
  return sum;
}

}  // namespace torchmap::fuzz
