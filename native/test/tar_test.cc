#include "core/archive/tar.h"

#include "check.h"
#include "files.h"

using namespace torchmap;
using namespace torchmap::check;

namespace {

std::string octal(uint64_t value, size_t digits) {
  std::string text(digits, '0');
  for (size_t i = digits; value > 0 && i-- > 0; value >>= 3) {
    text[i] = static_cast<char>('0' + (value & 7));
  }
  return text;
}

std::string base256(uint64_t value) {
  std::string text(12, '\0');
  for (size_t i = 12; i-- > 1; value >>= 8) text[i] = static_cast<char>(value & 0xFF);
  text[0] = '\x80';
  return text;
}

// Writes the checksum of a header block into it.
std::string sealed(std::string block, bool signed_bytes = false) {
  block.replace(148, 8, "        ");
  int64_t sum = 0;
  for (const char c : block) sum += signed_bytes ? static_cast<int8_t>(c) : static_cast<uint8_t>(c);
  return block.replace(148, 8, octal(static_cast<uint64_t>(sum), 6) + '\0' + ' ');
}

struct Header {
  std::string name;
  char type = '0';
  std::string size = {};  // the field's 12 bytes, when not those of the payload
  std::string magic = std::string("ustar\00000", 8);
  std::string prefix = {};
};

std::string header_block(const Header& header, uint64_t size) {
  std::string block(512, '\0');
  block.replace(0, header.name.size(), header.name);
  block.replace(100, 8, std::string("0000644\0", 8));
  block.replace(124, 12, header.size.empty() ? octal(size, 11) + '\0' : header.size);
  block[156] = header.type;
  block.replace(257, header.magic.size(), header.magic);
  block.replace(345, header.prefix.size(), header.prefix);
  return block;
}

std::string padded(std::string_view payload) {
  return std::string(payload) + std::string((512 - payload.size() % 512) % 512, '\0');
}

std::string member(const Header& header, std::string_view payload) {
  return sealed(header_block(header, payload.size())) + padded(payload);
}

// "<length> <key>=<value>\n", the length counting itself.
std::string pax(const std::string& key, const std::string& value) {
  const std::string rest = " " + key + "=" + value + "\n";
  size_t length = rest.size() + 1;
  while (std::to_string(length).size() + rest.size() != length) ++length;
  return std::to_string(length) + rest;
}

const std::string kEnd(1024, '\0');

// Reads the archive and shows it as "name=payload;..." or "? CODE record".
std::string show_tar(const std::string& bytes, const Limits& limits = {}) {
  const auto source = open_memory(as_bytes(bytes));
  auto members = read_tar(*source, limits);
  if (!members.ok()) {
    const Failure& failure = members.status().failure();
    EXPECT_FALSE(failure.message.empty());
    return "? " + std::string(code_name(failure.code)) +
           (failure.record.empty() ? "" : " " + failure.record);
  }
  std::string text;
  for (const TarMember& each : *members) {
    auto payload = source->view(each.offset, each.size);
    EXPECT_TRUE(payload.ok());
    if (payload.ok()) text += each.name + "=" + std::string(as_text(*payload)) + ";";
  }
  return text;
}

}  // namespace

TEST(tar_members) {
  const std::string bytes = member({"sys_info"}, "1") +
                            member({"./pickle"}, std::string(512, 'p')) + member({"tensors"}, "") +
                            member({"storages"}, "four") + kEnd;
  EXPECT_TRUE(looks_like_tar(as_bytes(bytes)));
  EXPECT_EQ(show_tar(bytes),
            "sys_info=1;pickle=" + std::string(512, 'p') + ";tensors=;storages=four;");
  // The end may be missing, and the zeros that fill the last block.
  EXPECT_EQ(show_tar(member({"a"}, "1")), "a=1;");
  EXPECT_EQ(show_tar(member({"a"}, "1").substr(0, 513)), "a=1;");
  EXPECT_EQ(show_tar(member({"a"}, "1") + kEnd + "whatever"), "a=1;");
}

TEST(tar_regular_members_only) {
  std::string bytes = member({"folder/", '5'}, "") + member({"old/", '\0'}, "");
  for (const char type : {'1', '2', '3', '4', '6'}) {
    // A size there is not that of a payload.
    bytes += member({"link", type, octal(77, 11) + '\0'}, "");
  }
  bytes += member({"V"}, "1") + member({"old", '\0'}, "2") + member({"contiguous", '7'}, "3");
  bytes += member({"volume", 'V'}, "skipped") + member({"last"}, "4");
  EXPECT_EQ(show_tar(bytes + kEnd), "V=1;old=2;contiguous=3;last=4;");
}

TEST(tar_long_names) {
  const std::string name = "./" + std::string(300, 'n');
  const std::string gnu = member({"././@LongLink", 'L'}, name + '\0') +
                          member({"././@LongLink", 'K'}, "target") +
                          member({name.substr(0, 100)}, "1");
  EXPECT_EQ(show_tar(gnu + member({"next"}, "2") + kEnd), name.substr(2) + "=1;next=2;");

  const std::string paxed = member({"global", 'g'}, pax("comment", "none")) +
                            member({"PaxHeaders/x", 'x'}, pax("mtime", "1.5") + pax("path", name)) +
                            member({"short"}, "1");
  EXPECT_EQ(show_tar(paxed + member({"next"}, "2") + kEnd), name.substr(2) + "=1;next=2;");

  Header split{"name"};
  split.prefix = "folder";
  EXPECT_EQ(show_tar(member(split, "1")), "folder/name=1;");
  split.magic = "ustar  ";  // GNU keeps times there
  EXPECT_EQ(show_tar(member(split, "1")), "name=1;");
  EXPECT_EQ(show_tar(member({std::string(100, 'n')}, "1")), std::string(100, 'n') + "=1;");
}

TEST(tar_pax_size) {
  const std::string bytes = member({"x", 'x'}, pax("size", "3")) +
                            member({"a", '0', octal(0, 11) + '\0'}, "abc") + member({"b"}, "2");
  EXPECT_EQ(show_tar(bytes + kEnd), "a=abc;b=2;");
}

TEST(tar_pax_malformed) {
  for (const std::string text : {"x", "3 a", "99 path=a\n", "10 path=ab\n", "0 path=a\n", "2 \n",
                                 "5 ab\n", "-3 a=\n", "99999999999999999999999 path=a\n",
                                 "10 size=x\n", "11 size=-1\n", "28 size=99999999999999999999\n"}) {
    EXPECT_EQ(show_tar(member({"x", 'x'}, text) + member({"a"}, "1")), "? BAD_ARCHIVE");
  }
  EXPECT_EQ(
      show_tar(member({"x", 'x'}, pax("path", "b") + std::string(9, '\0')) + member({"a"}, "1")),
      "b=1;");
}

TEST(tar_sizes) {
  EXPECT_EQ(show_tar(member({"a", '0', base256(3)}, "abc") + member({"b"}, "2")), "a=abc;b=2;");
  EXPECT_EQ(show_tar(member({"a", '0', "          3 "}, "abc")), "a=abc;");
  EXPECT_EQ(show_tar(member({"a", '0', std::string(12, '\0')}, "")), "a=;");
  for (const uint64_t size :
       {uint64_t{600}, uint64_t{1} << 40, uint64_t{1} << 62, UINT64_MAX >> 1}) {
    EXPECT_EQ(show_tar(member({"a", '0', base256(size)}, "abc")), "? TRUNCATED a");
  }
  EXPECT_EQ(show_tar(member({"a", '0', "777777777777"}, "abc")), "? TRUNCATED a");
  const std::string negative(12, '\xFF');
  const std::string huge = "\x80" + std::string(11, '\xFF');
  for (const std::string& field :
       {negative, huge, std::string("00000000009\0", 12), std::string("-1")}) {
    std::string twelve = field;
    twelve.resize(12);
    EXPECT_EQ(show_tar(member({"a", '0', twelve}, "abc")), "? BAD_ARCHIVE");
  }
}

TEST(tar_beyond_8_gib) {
  const uint64_t size = (uint64_t{9} << 30) + 1;
  TemporaryFile file(sealed(header_block({"big", '0', base256(size)}, 0)));
  file.write(512 + size + 511, member({"small"}, "1") + kEnd);
  ASSERT_TRUE(file.ok());
  auto source = open_file(file.path(), {});
  ASSERT_TRUE(source.ok());
  auto members = read_tar(**source, {});
  ASSERT_TRUE(members.ok());
  ASSERT_EQ(members->size(), 2);
  EXPECT_EQ((*members)[0].size, size);
  EXPECT_EQ((*members)[1].name, "small");
}

TEST(tar_checksums) {
  std::string block = header_block({"caf\xC3\xA9"}, 0);
  EXPECT_TRUE(looks_like_tar(as_bytes(sealed(block))));
  EXPECT_TRUE(looks_like_tar(as_bytes(sealed(block, true))));
  const std::string good = sealed(block);
  for (size_t i = 0; i < good.size(); ++i) {
    if (i >= 148 && i < 156) continue;  // the checksum itself may be written in several ways
    std::string bad = good;
    bad[i] = static_cast<char>(bad[i] ^ 1);
    EXPECT_FALSE(looks_like_tar(as_bytes(bad)));
  }
  EXPECT_FALSE(looks_like_tar(as_bytes(good.substr(0, 511))));
  EXPECT_FALSE(looks_like_tar(as_bytes(std::string(512, '\0'))));
  EXPECT_FALSE(looks_like_tar(as_bytes(std::string(512, 'x'))));
  EXPECT_EQ(show_tar(member({"a"}, "1") + std::string(512, 'x')), "? BAD_ARCHIVE");
}

TEST(tar_sparse_members) {
  EXPECT_EQ(show_tar(member({"a", 'S'}, "1")), "? BAD_ARCHIVE a");
  EXPECT_EQ(show_tar(member({"x", 'x'}, pax("GNU.sparse.major", "1")) + member({"a"}, "1")),
            "? BAD_ARCHIVE a");
}

TEST(tar_header_text_is_limited) {
  EXPECT_EQ(show_tar(member({"l", 'L'}, std::string((1 << 20) + 1, 'n')) + member({"a"}, "1")),
            "? BAD_ARCHIVE");
  // Any number of them is just read through.
  std::string bytes;
  for (int i = 0; i < 1000; ++i) bytes += member({"l", 'L'}, "name" + std::to_string(i));
  EXPECT_EQ(show_tar(bytes + member({"a"}, "1")), "name999=1;");
  EXPECT_EQ(show_tar(bytes), "");
}

TEST(tar_limit_of_members) {
  Limits limits;
  limits.records = 2;
  const std::string two = member({"a"}, "1") + member({"b"}, "2");
  EXPECT_EQ(show_tar(two + kEnd, limits), "a=1;b=2;");
  EXPECT_EQ(show_tar(two + member({"c"}, "3") + kEnd, limits), "? LIMIT_RECORDS");
}

TEST(tar_last_member_of_a_name_counts) {
  const std::string bytes = member({"a"}, "1") + member({"b"}, "2") + member({"./a"}, "3");
  const auto source = open_memory(as_bytes(bytes));
  auto members = read_tar(*source, {});
  ASSERT_TRUE(members.ok());
  EXPECT_TRUE(find_member(*members, "a") == &(*members)[2]);
  EXPECT_TRUE(find_member(*members, "c") == nullptr);
}

TEST(tar_truncated_or_flipped_anywhere) {
  const std::string whole = member({"././@LongLink", 'L'}, "long") +
                            member({"x", 'x'}, pax("size", "4")) + member({"a"}, "1234") +
                            member({"b"}, std::string(600, 'b')) + kEnd;
  for (size_t size = 0; size < whole.size(); ++size) show_tar(whole.substr(0, size));
  for (size_t i = 0; i < whole.size(); ++i) {
    std::string bytes = whole;
    bytes[i] = static_cast<char>(bytes[i] ^ 0xFF);
    show_tar(bytes);
  }
}
