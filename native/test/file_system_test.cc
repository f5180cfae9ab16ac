#include "core/source/file_system.h"

#ifdef __linux__
#include <sys/vfs.h>
#endif

#include "check.h"
#include "core/source/source.h"
#include "files.h"

using namespace torchmap;

TEST(file_systems_by_type) {
  // NFS, SMB, CIFS, SMB 2, 9p, AFS, Ceph, Lustre: include/uapi/linux/magic.h, GNU coreutils stat.c.
  for (const uint32_t type : {0x6969u, 0x517Bu, 0xFF534D42u, 0xFE534D42u, 0x01021997u, 0x5346414Fu,
                              0x00C36400u, 0x0BD00BD0u}) {
    EXPECT_TRUE(file_system_of_type(type) == FileSystem::kNetwork);
    EXPECT_FALSE(suits_mapping(file_system_of_type(type)));
  }
  EXPECT_TRUE(file_system_of_type(0x65735546) == FileSystem::kUser);
  EXPECT_FALSE(suits_mapping(FileSystem::kUser));
  // ext4, XFS, btrfs, tmpfs, overlay, squashfs, and one that nobody knows.
  for (const uint32_t type :
       {0xEF53u, 0x58465342u, 0x9123683Eu, 0x01021994u, 0x794C7630u, 0x73717368u, 0x12345678u}) {
    EXPECT_TRUE(file_system_of_type(type) == FileSystem::kLocal);
    EXPECT_TRUE(suits_mapping(file_system_of_type(type)));
  }
}

TEST(file_systems_by_name) {
  for (const char* name : {"macfuse", "osxfuse", "fusefs_rclone"})
    EXPECT_TRUE(file_system_of_name(name) == FileSystem::kUser);
  for (const char* name : {"apfs", "hfs", "exfat", ""})
    EXPECT_TRUE(file_system_of_name(name) == FileSystem::kLocal);
}

TEST(source_chooses_by_file_system) {
  const check::TemporaryFile file("the quick brown fox");
  auto opened = open_file(file.path(), {false, true});
  ASSERT_TRUE(opened.ok());
  auto handle = FileHandle::open(file.path());
  ASSERT_TRUE(handle.ok());
  const FileSystem kind = file_system_of(handle->native());
  EXPECT_EQ((*opened)->mapped().empty(), !suits_mapping(kind));
#ifdef __linux__
  struct statfs info;
  ASSERT_EQ(statfs(file.path().c_str(), &info), 0);
  EXPECT_TRUE(kind == file_system_of_type(static_cast<uint32_t>(info.f_type)));
#endif
}
