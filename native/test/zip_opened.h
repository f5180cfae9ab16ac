// An archive of bytes, opened, and what tests ask of it.
#pragma once

#include <memory>
#include <string>
#include <utility>

#include "check.h"
#include "core/archive/zip.h"

namespace torchmap::check {

// An archive and what its names point into.
struct Opened {
  std::string bytes;
  std::shared_ptr<Source> source;
  Result<ZipArchive> archive;

  explicit Opened(std::string from, const Limits& limits = {})
      : bytes(std::move(from)),
        source(open_memory(as_bytes(bytes))),
        archive(ZipArchive::read(*source, limits)) {}
  explicit Opened(std::shared_ptr<Source> from)
      : source(std::move(from)), archive(ZipArchive::read(*source, {})) {}
  Opened(const Opened&) = delete;

  bool ok() const { return archive.ok(); }
  const Failure& failure() { return archive.status().failure(); }

  // The payload of a record, or "?" and why not.
  std::string payload(std::string_view name) {
    const uint32_t index = archive->find(name);
    if (index == ZipArchive::kNone) return "? not found";
    auto found = archive->payload(*source, index);
    if (!found.ok()) return "? " + std::string(code_name(found.status().code()));
    return std::string(as_text(*found));
  }
};

// That opening fails with `code`, and says `words`.
inline void expect_fails(std::string bytes, Code code, std::string_view words = {},
                         std::string_view record = {}) {
  Opened zip(std::move(bytes));
  ASSERT_FALSE(zip.ok());
  EXPECT_EQ(code_name(zip.failure().code), code_name(code));
  EXPECT_TRUE(zip.failure().message.find(words) != std::string::npos);
  EXPECT_EQ(zip.failure().record, record);
}

}  // namespace torchmap::check
