// Which ranges of the mapped file become ArrayBuffers.
//
// V8 charges every external buffer its full length and collects more often the more of them there
// are, so small storages that lie near each other share one window, at most kCell long; a large
// storage has its own. Never one window for the whole file: some runtimes end at 2^32 bytes. Where
// windows are copies, each storage has its own. Where a storage begins its record's header says:
// those of neighbours are read at once.
#pragma once

#include <map>
#include <span>
#include <vector>

#include "core/checkpoint.h"

namespace torchmap {

struct Window {
  uint32_t id = 0;     // the same range always has the same number
  uint64_t begin = 0;  // bytes from the start of the file
  uint64_t end = 0;
  bool fresh = false;   // asked for the first time
  bool copy = false;    // small and misaligned: a copy costs less than a window of its own
  uint64_t offset = 0;  // from `begin` to the first byte asked for
  uint64_t start = 0;   // of the storage: the first byte asked for
};

class Windows {
 public:
  static constexpr uint64_t kCell = uint64_t{1} << 30;
  static constexpr uint64_t kSmall = uint64_t{64} << 10;

  explicit Windows(Checkpoint& checkpoint) : checkpoint_(&checkpoint) {}

  // Goes on with another checkpoint of the same file, whose storages begin with those of the one
  // before: windows stay the same.
  void go_on_with(Checkpoint& checkpoint) { checkpoint_ = &checkpoint; }

  // A window over bytes [start, end) of a storage, no longer than `longest` bytes unless the range
  // itself is; `shared`: with its neighbours.
  Result<Window> find(uint32_t storage, uint64_t start, uint64_t end, uint64_t longest,
                      bool shared = true);

  // What is known of storages that share a window, by storage; of all there were to begin with.
  struct Places {
    std::span<uint32_t> windows;  // one more than the window's number; 0 where it is not known
    std::span<uint32_t> offsets;  // bytes from the window's start
  };
  // Adds `storage`, which `window` was found for, where others may have that window too, and those
  // behind it whose headers are near enough to be read at once, up to the first that is known.
  // Whether it did.
  bool add_places(uint32_t storage, const Window& window, Places places) const;

 private:
  struct Range {
    uint64_t begin, end;
  };
  // The room a storage takes in the file, headers included; cheap, because no header is read.
  Range room(const Storage& storage) const;
  void plan();
  // Whether a storage that begins there has the elements of that cell's window aligned.
  bool is_aligned(const Storage& storage, uint32_t cell, uint64_t offset) const;

  static constexpr uint32_t kNone = UINT32_MAX;

  Checkpoint* checkpoint_;
  bool planned_ = false;
  std::vector<Range> cells_;       // at most kCell long
  std::vector<uint32_t> cell_of_;  // of each storage; kNone for one that is longer than a cell
  std::vector<uint32_t> order_;    // storages that have a cell, as they lie in the file
  std::map<std::pair<uint64_t, uint64_t>, uint32_t> ids_;  // by range
};

}  // namespace torchmap
