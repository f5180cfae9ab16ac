// The members of an uncompressed tar archive (ustar, GNU long names, pax size and path).
// torch 0.1.x saved checkpoints this way: members sys_info, pickle, tensors, storages.
// Facts: torch/serialization.py, _legacy_load (v2.13); POSIX pax interchange format; the GNU tar
// manual, "Basic Tar Format". Where they leave a choice, what Python's tarfile does, since torch
// reads with it.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "core/limits.h"
#include "core/source/source.h"

namespace torchmap {

struct TarMember {
  std::string name;     // "./" at the front removed
  uint64_t offset = 0;  // bytes: payload
  uint64_t size = 0;    // bytes; they lie inside the file
};

// Whether the first 512 bytes are a tar header: its checksum is right.
bool looks_like_tar(ByteSpan head);

// Regular members in file order; links, devices and directories are left out. `links` is given the
// names of links and devices. kTruncated, kBadArchive or kLimitRecords, with the member's name and
// offset where known.
Result<std::vector<TarMember>> read_tar(Source& source, const Limits& limits,
                                        std::vector<std::string>* links = nullptr);

// The member of that name, or null. Of several the last, which is what extracting would leave.
const TarMember* find_member(const std::vector<TarMember>& members, std::string_view name);

}  // namespace torchmap
