// What a JavaScript handle stands for: an object tagged so that nothing else can be passed for it.
#pragma once

#include <napi.h>

#include <atomic>
#include <optional>

#include "core/checkpoint.h"
#include "core/source/ranges.h"
#include "core/windows.h"

namespace torchmap::addon {

struct Session {
  explicit Session(std::unique_ptr<Checkpoint> opened) : checkpoint(std::move(opened)) {
    windows.emplace(*checkpoint);
  }
  ~Session() { *closed = true; }

  std::unique_ptr<Checkpoint> checkpoint;  // empty once closed
  std::optional<Windows> windows;
  bool external = true;  // whether pages may be handed out as they are
  // For work on other threads that only this checkpoint wants.
  std::shared_ptr<std::atomic<bool>> closed = std::make_shared<std::atomic<bool>>(false);
};

Napi::Object wrap(Napi::Env env, std::unique_ptr<Checkpoint> checkpoint);

// The session behind a handle; throws TypeError for anything that is no handle.
Session& unwrap(const Napi::Value& value);

// kTruncated unless bytes [start, end) are in a storage. lib has checked them against what the
// storage is said to have.
Status check_range(Checkpoint& checkpoint, uint32_t storage, uint64_t start, uint64_t end);

// Where bytes [start, end) of a storage lie in the file; kBadTensor for one that lies elsewhere.
Result<uint64_t> file_place(Checkpoint& checkpoint, uint32_t storage, uint64_t start, uint64_t end);

// A file that several checkpoints lie in; empty once closed.
using SharedFile = std::shared_ptr<Source>;
Napi::Object wrap_file(Napi::Env env, SharedFile file);
SharedFile& unwrap_file(const Napi::Value& value);

// What was brought here of an object that is elsewhere.
using SharedRanges = std::shared_ptr<RangesSource>;
Napi::Object wrap_ranges(Napi::Env env, SharedRanges ranges);
SharedRanges& unwrap_ranges(const Napi::Value& value);

}  // namespace torchmap::addon
