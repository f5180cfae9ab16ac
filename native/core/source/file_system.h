// What a file lies on, and whether it can be mapped without fear.
//
// A mapping of a file whose server, or whose program, goes away kills the process at the next touch
// of a page that is not there (SIGBUS); read() fails instead.
#pragma once

#include <cstdint>
#include <string_view>

#include "core/source/file_handle.h"

namespace torchmap {

enum class FileSystem {
  kLocal,    // disks, memory, layers of them, and what is not known
  kNetwork,  // another machine has it, or shares it; the host of a virtual machine
  kUser,     // a program has it (FUSE), whatever it has it from
};

// Of the open file; asks the system, a remote one may ask its server.
FileSystem file_system_of(FileHandle::Native file);

// By `f_type` of Linux's statfs(2), and by `f_fstypename` of macOS's where MNT_LOCAL is set.
FileSystem file_system_of_type(uint32_t type);
FileSystem file_system_of_name(std::string_view name);

// Whether a file there is mapped when nobody says how to open it. What is in the page cache has no
// say: on a disk mapping is the faster way with a warm and with a cold one.
constexpr bool suits_mapping(FileSystem kind) { return kind == FileSystem::kLocal; }

}  // namespace torchmap
