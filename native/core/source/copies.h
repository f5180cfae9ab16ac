// Copies of byte ranges, each made once and kept until destruction.
#pragma once

#include <map>
#include <memory>
#include <utility>

#include "core/bytes.h"
#include "core/status.h"

namespace torchmap {

class Copies {
 public:
  // The copy of [offset, offset + length). The first time, `fill` writes it: Status(span of bytes).
  // The caller has checked that so many bytes exist, which bounds what is allocated.
  template <typename Fill>
  Result<ByteSpan> get(uint64_t offset, uint64_t length, Fill&& fill) {
    const auto key = std::pair(offset, length);
    if (const auto found = copies_.find(key); found != copies_.end()) {
      return ByteSpan(found->second.get(), static_cast<size_t>(length));
    }
    // Not zeroed first: gigabytes would be written twice.
    std::unique_ptr<std::byte[]> bytes(new std::byte[static_cast<size_t>(length)]);
    TRY(fill(std::span(bytes.get(), static_cast<size_t>(length))));
    const auto [place, added] = copies_.emplace(key, std::move(bytes));
    return ByteSpan(place->second.get(), static_cast<size_t>(length));
  }

 private:
  std::map<std::pair<uint64_t, uint64_t>, std::unique_ptr<std::byte[]>> copies_;
};

}  // namespace torchmap
