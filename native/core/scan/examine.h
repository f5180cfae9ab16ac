// Looks at what one pickle decoded to: names, calls, state, and the bytes it carries.
#pragma once

#include <set>
#include <unordered_map>

#include "core/hash.h"
#include "core/pickle/decoder.h"
#include "core/scan/report.h"

namespace torchmap {

// Bytes of a storage by its key, as the largest tensor needs them.
using StorageUses = std::unordered_map<std::string, uint64_t, SeededHash>;

// Bytes that a pickle carries.
struct CarriedBytes {
  NodeId node = 0;
  std::string bytes;
  uint64_t offset = 0;  // bytes from the start of the record or file, of the global that loads it
  bool is_loaded = false;  // torch.storage._load_from_bytes reads it as a file
};

// Adds to the report and to the storages; gives the bytes that could be pickles or archives. With
// `garbled` the pickle was not read to its end: names that are none of Python's are left out, since
// bytes of something else can look like opcodes.
std::vector<CarriedBytes> examine_pickle(const Pool& pool, ByteSpan pickle,
                                         const PicklePlace& place, bool garbled, ScanReport& report,
                                         StorageUses& storages);

// Whether a global could be one: identifiers between dots.
bool is_plausible(const GlobalName& global);
bool names_something(const Pool& pool);

// Whether bytes begin like a pickle or an archive.
bool may_be_loaded(std::string_view bytes);

}  // namespace torchmap
