#include "core/source/file_system.h"

#include <algorithm>
#include <array>

#ifdef _WIN32
#define NOMINMAX
#define WIN32_LEAN_AND_MEAN
#ifndef _WIN32_WINNT
#define _WIN32_WINNT 0x0602
#endif
#include <windows.h>
#elif defined(__linux__)
#include <sys/vfs.h>
#elif defined(__APPLE__)
#include <sys/mount.h>
#include <sys/param.h>
#endif

namespace torchmap {
namespace {

// Sources: include/uapi/linux/magic.h (Linux 6), and for file systems outside of Linux those that
// `stat -f` calls remote (GNU coreutils, src/stat.c, human_fstype).
constexpr std::array<uint32_t, 24> kRemoteTypes = {
    0x6969,      // NFS
    0x517B,      // SMB
    0xFF534D42,  // CIFS
    0xFE534D42,  // SMB 2 and 3
    0x01021997,  // 9p
    0x5346414F,  // AFS
    0x6B414653,  // kAFS
    0x73757245,  // Coda
    0x00C36400,  // Ceph
    0x564C,      // NCP
    0x0BD00BD0,  // Lustre
    0x47504653,  // GPFS
    0x19830326,  // BeeGFS, once FhGFS
    0x20030528,  // OrangeFS
    0xAAD7AAEA,  // PanFS
    0xBEEFDEAD,  // StorNext
    0x013111A8,  // IBRIX
    0x61636673,  // ACFS
    0x01161970,  // GFS2
    0x7461636F,  // OCFS2
    0xBACBACBC,  // VMware's shared folders
    0x786F4256,  // VirtualBox's
    0x7C7C6673,  // Parallels'
    0x00C0FFEE,  // hostfs of User-mode Linux
};
constexpr uint32_t kFuse = 0x65735546;  // virtiofs, too

}  // namespace

FileSystem file_system_of_type(uint32_t type) {
  if (type == kFuse) return FileSystem::kUser;
  const bool is_remote =
      std::find(kRemoteTypes.begin(), kRemoteTypes.end(), type) != kRemoteTypes.end();
  return is_remote ? FileSystem::kNetwork : FileSystem::kLocal;
}

// Programs may say that what they show is local (mount_macfuse -o local).
FileSystem file_system_of_name(std::string_view name) {
  return name.find("fuse") == std::string_view::npos ? FileSystem::kLocal : FileSystem::kUser;
}

FileSystem file_system_of([[maybe_unused]] FileHandle::Native file) {
#ifdef _WIN32
  // For local files it fails, with ERROR_INVALID_PARAMETER.
  FILE_REMOTE_PROTOCOL_INFO info = {};
  if (GetFileInformationByHandleEx(file, FileRemoteProtocolInfo, &info, sizeof(info)))
    return FileSystem::kNetwork;
#elif defined(__linux__)
  struct statfs info;
  if (fstatfs(file, &info) == 0) return file_system_of_type(static_cast<uint32_t>(info.f_type));
#elif defined(__APPLE__)
  struct statfs info;
  if (fstatfs(file, &info) == 0) {
    return (info.f_flags & MNT_LOCAL) == 0 ? FileSystem::kNetwork
                                           : file_system_of_name(info.f_fstypename);
  }
#endif
  return FileSystem::kLocal;
}

}  // namespace torchmap
