// Archives of 7-Zip, as py7zr writes them, and headers that lie.
#include "core/archive/seven_zip.h"

#include "core/archive/crc32.h"
#include "packed_bytes.h"
#include "zip_bytes.h"

using namespace torchmap;
using namespace torchmap::check;
using namespace std::string_literals;

namespace {

// letters[:60], nothing, "hello" and letters[60:90] in one folder, of LZMA.
std::string solid() {
  return unhex(
      "377abcaf271c0004eaae077fc3000000000000001500000000000000fdc9fcee0030990848489bedd29bbf0d"
      "aa604b71f718b7f658775615790dbe8e3ffc65dcb19f21b7ebe2ccfab957edca331d5e683bce40505227dcca"
      "c22a64637af252fcd3d0806dd709a1f9986980e0009400705d0000813307ae0fd280ebbd40c090d343c4e1f9"
      "e8b20059293685dc90ccf9f8530ef2e90c4031673ed5a922be1195e1338db7299c7c59973c7f9164a1851d6e"
      "1590bb3bb531b7d39d19303139952cdaa61042e05a9f006e6369017593a3b55d578e0e8616a83469b3647ed4"
      "53f9504d00000017064b01097800070b010001212101180c80950000");
}

// machine_code() with x86 and LZMA2; a header that is not packed.
std::string filtered() {
  return unhex(
      "377abcaf271c0004e3d3a8cd69010000000000004c00000000000000b1bb43eae001f301615d00741258a00c"
      "515d731faa63fd50dc4ad8ca5ba4574dab1e10762b5d5d07de23d41b60f1689098f24165630220f3e1133173"
      "d2f89f5259e4865e5ac0285242a858f1e553b511ff1fdd6063504c9c9461776d457aa394fe130af74b6df6cc"
      "c7b2b03b1ae0ce2c350fdbc71802583129448e55c2616768a6bc36b603d1847eb4d8f7c028a0d162bdf74cad"
      "86c4b678bc2f18632f5a57be476d8ac18f9f76a8d91a3d6d3ed72a1fde9becad91833958b341675ceb99266b"
      "c3dfb34437611443c3755f485b30b58c0fd90d08d1d4bf25a68b905676b164de1b9bdc6681554359e009ac81"
      "2a0ecb64e73c1646da778c104469c529121975beda30fb65bf3c4495a7f087974736e212a4d0c8fae85129b1"
      "adedf1020b48012267e80c81f1cb94ccb769929110385b487500f9de52b51bf67fef7c7286b23be6df1ce7d1"
      "02bf61aaa3771234d06097a7de9ad14a75ca33819310999651dabd8e61ff363f6699eb127c879c0000010406"
      "000109816900070b01000221210116040303010301000c81f481f400080a01e7557469000005011903000000"
      "11050061000000140a01000080a621c989d601150601002080a4810000");
}

// An archive of these packed bytes and this header, with checksums that are right.
std::string archive_of(const std::string& packed, const std::string& header) {
  const std::string place =
      le(packed.size(), 8) + le(header.size(), 8) + le(crc32(0, as_bytes(header)), 4);
  return "7z\xBC\xAF\x27\x1C\0\4"s + le(crc32(0, as_bytes(place)), 4) + place + packed + header;
}

// Each member as "name=bytes;", then what is wrong with folders. The code where it is no archive.
std::string contents(const std::string& archive) {
  const std::vector<std::byte> bytes(as_bytes(archive).begin(), as_bytes(archive).end());
  SpanSource source(bytes);
  auto opened = SevenZip::read(source, Limits(), nullptr);
  if (!opened.ok()) return std::string(code_name(opened.status().code()));
  EXPECT_LE(opened->end(), archive.size());
  std::string text, faults;
  for (const SevenZipMember& member : opened->members()) {
    text += opened->name(member) + "=";
    if (member.folder != SevenZipMember::kNone) {
      const SevenZipFolder& folder = opened->folders()[member.folder];
      Unpacked out(std::min<uint64_t>(folder.size, 1 << 14));
      const Status outcome = opened->unpack(source, folder, out);
      if (!outcome.ok()) faults += code_name(outcome.code());
      if (member.offset <= out.size())
        text += as_text(out.bytes()).substr(member.offset, member.size);
    }
    text += ";";
  }
  return text + faults;
}

// A header of one folder of 5 bytes that are stored.
std::string stored_header(const std::string& method = "\1\1\0"s, const std::string& size = "\5"s) {
  return "\1\4\6\0\1\x09\5\0\7\x0B\1\0"s + method + "\x0C"s + size + "\0\0\0"s;
}

}  // namespace

TEST(seven_zip_members) {
  const std::string text = letters();
  EXPECT_EQ(contents(solid()), "a=" + text.substr(0, 60) +
                                   ";empty=;b=hello;\u00FC\U0001F642=" + text.substr(60, 30) + ";");
  EXPECT_EQ(contents(filtered()), "a=" + machine_code() + ";");
  EXPECT_EQ(contents(archive_of("hello", stored_header())), "=hello;");
  EXPECT_EQ(contents(archive_of("", "")), "");
}

TEST(seven_zip_cut_or_changed) {
  for (const std::string& archive : {solid(), filtered()}) {
    for (size_t at = 0; at < archive.size(); ++at) {
      EXPECT_NE(contents(archive.substr(0, at)), "");
      for (const int change : {1, 0x80, 0xFF}) {
        std::string changed = archive;
        changed[at] = static_cast<char>(changed[at] ^ change);
        contents(changed);
      }
    }
  }
  EXPECT_EQ(contents(solid().substr(0, 31)), "TRUNCATED");
  EXPECT_EQ(contents(solid().substr(0, 100)), "TRUNCATED");
}

// As the header would be if its checksum had been made for it.
TEST(seven_zip_header_cut_or_changed) {
  const std::string archive = filtered();
  const size_t offset = 32 + load_le<uint64_t>(&archive[12]);
  const std::string packed = archive.substr(32, offset - 32), header = archive.substr(offset);
  EXPECT_EQ(contents(archive_of(packed, header)), "a=" + machine_code() + ";");
  for (size_t at = 0; at < header.size(); ++at) {
    if (at > 0) contents(archive_of(packed, header.substr(0, at)));
    for (int change = 1; change < 256; ++change) {
      std::string changed = header;
      changed[at] = static_cast<char>(changed[at] ^ change);
      contents(archive_of(packed, changed));
    }
  }
}

TEST(seven_zip_claims_more_than_there_is) {
  const std::string most = "\xFF" + std::string(8, '\x7F');
  const auto header = [](const std::string& bytes) { return contents(archive_of("hello", bytes)); };
  EXPECT_EQ(header("\1\5"s + most + "\0\0"s), "BAD_ARCHIVE");
  EXPECT_EQ(header("\1\4\6\0"s + most + "\x09\5\0\0\0"s), "BAD_ARCHIVE");
  EXPECT_EQ(header("\1\4\6\0\1\x09\5\0\7\x0B"s + most + "\0\0\0"s), "BAD_ARCHIVE");
  EXPECT_EQ(header("\1\4\6"s + most + "\1\x09\5\0\7\x0B\1\0\1\1\0\x0C\5\0\0\0"s), "BAD_ARCHIVE");
  // A folder of so many streams.
  EXPECT_EQ(header("\1\4\6\0\1\x09\5\0\7\x0B\1\0\1\1\0\x0C\5\0\x08\x0D"s + most + "\0\0\0"s),
            "BAD_ARCHIVE");
  // Streams longer than their folder.
  EXPECT_EQ(header("\1\4\6\0\1\x09\5\0\7\x0B\1\0\1\1\0\x0C\5\0\x08\x0D\2\x09\6\0\0\0"s),
            "BAD_ARCHIVE");
  EXPECT_EQ(header("\1\4\6\0\1\x09\5\0\7\x0B\1\0\1\1\0\x0C\5\0\x08\x0D\2\x09\2\0\0\0"s),
            "=he;=llo;");
  // A folder that becomes more than is packed, or less.
  EXPECT_EQ(header(stored_header("\1\1\0"s, most)), "=hello;TRUNCATED");
  EXPECT_EQ(header(stored_header("\1\1\0"s, "\2"s)), "=he;");
  // Properties that end elsewhere.
  EXPECT_EQ(header("\1\5\1\x11"s + most + "\0\0"s), "TRUNCATED");
  EXPECT_EQ(header("\1\5\1\x11\3\0ab\0\0"s), "TRUNCATED");
}

TEST(seven_zip_methods_that_are_not_read) {
  const auto method = [](const std::string& bytes) {
    return contents(archive_of("hello", stored_header(bytes)));
  };
  EXPECT_EQ(method("\1\3\3\4\1"s), "=;UNSUPPORTED_COMPRESSION");
  EXPECT_EQ(method("\1\3\4\2\2"s), "=;UNSUPPORTED_COMPRESSION");
  EXPECT_EQ(method("\1\4\6\xF1\7\1"s), "=;UNSUPPORTED_COMPRESSION");
  // Without the properties that it needs.
  EXPECT_EQ(method("\1\3\3\1\1"s), "=;UNSUPPORTED_COMPRESSION");
  EXPECT_EQ(method("\1\1\x21"s), "=;UNSUPPORTED_COMPRESSION");
  EXPECT_EQ(method("\1\xC1\0"s), "BAD_ARCHIVE");
  // No method at all, and one that nothing comes out of.
  EXPECT_EQ(method("\0"s), "BAD_ARCHIVE");
  EXPECT_EQ(method("\1\x11\0\1\0"s), "BAD_ARCHIVE");
}

// A header that is packed in a header that is packed, and so on.
TEST(seven_zip_headers_in_headers) {
  std::string header = stored_header(), packed = "hello";
  const auto size = [](size_t value) { return "\x80"s + static_cast<char>(value); };
  for (int i = 0; i < 6; ++i) {
    const std::string found = contents(archive_of(packed, header));
    if (i < 4) EXPECT_EQ(found, "=hello;");
    if (i >= 4) EXPECT_EQ(found, "BAD_ARCHIVE");
    const std::string outer = "\x17\6"s + size(packed.size()) + "\1\x09"s + size(header.size()) +
                              "\0\7\x0B\1\0\1\1\0\x0C"s + size(header.size()) + "\0\0"s;
    packed += header;
    header = outer;
  }
}
