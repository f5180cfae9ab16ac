// LZMA, LZMA2 and xz, as liblzma writes them, and what is none.
#include "core/archive/lzma.h"

#include "core/archive/filters.h"
#include "core/archive/xz.h"
#include "packed_bytes.h"

using namespace torchmap;
using namespace torchmap::check;

namespace {

// lzma.compress(letters, format=FORMAT_ALONE)
std::string alone() {
  return unhex(
      "5d00008000ffffffffffffffff0030990848489bedd29bbf0daa604b71f718b7f658775615790dbe8e3ffc65"
      "dcb19f21b7ebe2ccfab959e4d8e4eb7ded4fd436ff67eb71671c5dc3df7acd56428e48fd9a373a64dcbec4fe"
      "cd61d3db3502d312de5de17f3efaf2be0d31fbc43ad278e60d8266e10fdd3318cc62b63f9cf72c316363a7c9"
      "13793ceea6b5777bc31f0b15f2f1f103208c7b119b7a60fc3d1bad253ada7956adb90ad5de2ccee5d4a08226"
      "1c1fa9fbbf1c9571ae6d496398b0040cd9a0e1b6d2c1cf25f1838c279048e49a8f3962971b9f86f43b94da6d"
      "ebc53d4c507caebbf964b700ec04b8ff54abc1254245007e72540710bb7af5a0025514047ed4134d24055a4a"
      "bbf42964faace3db144f1a1cd85b460a7489c3bdb66bffd9b45b0f");
}

// The same with lc=0, lp=4, pb=4 and a dictionary of 4,096 bytes.
std::string alone_by_place() {
  return unhex(
      "d800100000ffffffffffffffff00309908262c7d986004c2633d60a5f32f8eb22b09946c8722baea57f96908"
      "f52576f454a66de6e419f49102f5d2d26ed18c6100638d02e183360e402596ae11cd7389b108f50040a3a5ab"
      "16a12d7cc76169f9d11608172ce5b12d709dcbb673494bb7b0853748b3f7882d1e2dbe7811410d5f96fc5b57"
      "1fc06f8aef7f67819e82f3b7b7751a9d15545e81bc4f825914d82c6382f0a7c6c142129efb6ea42fd33dc959"
      "16407ca0a186a1cc1bed3095aacd0c45895d90b1fc92940f1eda9c3ae602cf1fde37584fa3609488548f556b"
      "c37e396f7468e84be4619c43ce33e5b8969fc4165d9e112cd8d9638bf0dfa6e789ee09bd980b075be31b1c0f"
      "0e86e8deac27696c24db31413cbb6fe8d0a84001e777ce452c552a7245e7ffffc5d5084e");
}

// format=FORMAT_RAW, LZMA2 with a dictionary of 65,536 bytes
std::string raw_lzma2() {
  return unhex(
      "e004af01105d0030990848489bedd29bbf0daa604b71f718b7f658775615790dbe8e3ffc65dcb19f21b7ebe2"
      "ccfab959e4d8e4eb7ded4fd436ff67eb71671c5dc3df7acd56428e48fd9a373a64dcbec4fecd61d3db3502d3"
      "12de5de17f3efaf2be0d31fbc43ad278e60d8266e10fdd3318cc62b63f9cf72c316363a7c913793ceea6b577"
      "7bc31f0b15f2f1f103208c7b119b7a60fc3d1bad253ada7956adb90ad5de2ccee5d4a082261c1fa9fbbf1c95"
      "71ae6d496398b0040cd9a0e1b6d2c1cf25f1838c279048e49a8f3962971b9f86f43b94da6debc53d4c507cae"
      "bbf964b700ec04b8ff54abc1254245007e72540710bb7af5a0025514047ed4134d24055a4abbf42964faace3"
      "db144f1a1cd85b460a7489837e000000");
}

// lzma.compress(letters[:200])
std::string whole_xz() {
  return unhex(
      "fd377a585a000004e6d6b4460200210116000000742fe5a3e000c7006e5d0030990848489bedd29bbf0daa60"
      "4b71f718b7f658775615790dbe8e3ffc65dcb19f21b7ebe2ccfab959e4d8e4eb7ded4fd436ff67eb71671c5d"
      "c3df7acd56428e48fd9a373a64dcbec4fecd61d3db3502d312de5de17f3efaf2be0d31fbc43ad278e60d8266"
      "e10fdd3318cc11d39c000000f2f811e9e58b193600018a01c80100000d6625f3b1c467fb020000000004595a");
}

// machine_code() with CRC-32, x86, Delta of 7 bytes and LZMA2
std::string filtered_xz() {
  return unhex(
      "fd377a585a0000016922de360302040003010621011600007d5cdbffe001f301be5d00741258a00c515d570a"
      "3a0252779f4fe134e2d326424e3457d82efb704fe1bfe80f4ea7a0b58a082b20643adee14782a9443a1a3e94"
      "2ec40a55da0224c5314e749fa65cf4abfacff43370b2f49ff51831ec7fa34b5fc2d7ce567d9d37909c94d40e"
      "cbfa2ce0ad19badc9e7d8c618e3cab6867480694ed060df379c49e4df1e451b9b84e90de06868200e57af659"
      "231a642565fff661db3a4a58a00fc2aca6f9da450e915c677e1e8b9f4af7b8a114af619f17e6057ab555b908"
      "c2094701ff8e9e30a180927dd88b2e4be9be851c37591769d626a74fd11cb4067068aef737fcbe6e2a65e8b4"
      "7ce8f2f4454aaa28983f99921cee2ffa284c64d6edd5d01ede8c1968e6d0de2532d3f377f9aa2f33fb91dc97"
      "4a16e3fdda374b0c463c49e587dd8d1251e1704d6872b206a325ffbe20190c013d3bcc81173acb56a85460c2"
      "394eaf5558da7a14820ca16c92f3d70abe12bab7d0f1128b5ecf0d6e5e2c8593ad3fdc40d695930b5db1429d"
      "80a1440dff34f52f3fc2c2b52ac1381a93c0c9da8d575ea8d39ee25bcb10fc7a3123e9cd938c32fc89dab8cc"
      "a58ef962167beca288f2a36e28436108172fe78004cb480ec275796cda54bdfc779d94a3b74946c6a4000000"
      "e75574690001da03f4030000edae123c3e300d8b020000000001595a");
}

Status lzma2(Feed& feed, Unpacked& out) { return unpack_lzma2(feed, 8, out); }

}  // namespace

TEST(lzma_files) {
  for (const std::string& packed : {alone(), alone_by_place()}) {
    EXPECT_TRUE(looks_like_lzma(as_bytes(packed)));
    check_unpacking(packed, letters(), unpack_lzma_file, false);
  }
}

TEST(lzma_of_known_size) {
  const auto sized = [](uint64_t size) {
    std::string packed = alone();
    for (size_t i = 0; i < 8; ++i) packed[5 + i] = static_cast<char>(size >> (8 * i) & 0xFF);
    return packed;
  };
  const std::string text = letters();
  // A marker may come all the same.
  EXPECT_TRUE(unpack(sized(text.size()), unpack_lzma_file) == (Outcome{"", text, alone().size()}));
  EXPECT_EQ(unpack(sized(text.size() + 1), unpack_lzma_file).code, "BAD_RECORD");
  for (const size_t size : {size_t{0}, size_t{1}, size_t{650}, text.size() - 1}) {
    const Outcome found = unpack(sized(size), unpack_lzma_file);
    EXPECT_EQ(found.code, "BAD_RECORD");
    EXPECT_EQ(found.text, text.substr(0, size));
  }
}

TEST(lzma_is_told_by_its_first_bytes) {
  using namespace std::string_literals;
  const std::string packed = alone();
  const auto looks = [](const std::string& bytes) { return looks_like_lzma(as_bytes(bytes)); };
  EXPECT_FALSE(looks(packed.substr(0, 17)));
  EXPECT_FALSE(looks(std::string(30, '\0')));
  EXPECT_FALSE(looks("\xE1"s + packed.substr(1)));
  EXPECT_FALSE(looks(packed.substr(0, 1) + "\1\2\3\4" + packed.substr(5)));
  EXPECT_FALSE(looks(packed.substr(0, 5) + "\1\2\3\4\5\6\7\x08" + packed.substr(13)));
  EXPECT_FALSE(looks(packed.substr(0, 13) + "\1" + packed.substr(14)));
  EXPECT_EQ(unpack("\xE1"s + packed.substr(1), unpack_lzma_file).code, "BAD_RECORD");
  // lc=8
  EXPECT_EQ(unpack("\x08"s + packed.substr(1), unpack_lzma_file).code, "UNSUPPORTED_COMPRESSION");
}

TEST(lzma2_chunks) {
  using namespace std::string_literals;
  check_unpacking(raw_lzma2(), letters(), lzma2, false);
  const std::string hello = "\1\0\4hello"s;
  check_unpacking(hello + "\2\0\1 a\0"s, "hello a", lzma2, false);
  // What is stored goes before what is packed.
  const std::string chunk = raw_lzma2();
  EXPECT_EQ(unpack(hello + chunk, lzma2).text, "hello" + letters());
  EXPECT_TRUE(unpack("\0"s, lzma2) == (Outcome{"", "", 1}));
  EXPECT_EQ(unpack("\2\0\1 a\0"s, lzma2).code, "BAD_RECORD");
  EXPECT_EQ(unpack("\3\0\1 a\0"s, lzma2).code, "BAD_RECORD");
  for (const char* kind : {"\x80", "\xA0"})
    EXPECT_EQ(unpack(hello + kind + chunk.substr(1), lzma2).code, "BAD_RECORD");
  const auto any = [](Feed& feed, Unpacked& out) { return unpack_lzma2(feed, 41, out); };
  EXPECT_EQ(unpack(hello + "\0"s, any).code, "BAD_RECORD");
}

// Every match is cut somewhere by the end of the room.
TEST(lzma_with_any_room) {
  const std::string packed = alone(), text = letters();
  for (size_t room = 0; room < text.size(); ++room)
    EXPECT_EQ(unpack(packed, unpack_lzma_file, room).text, text.substr(0, room));
}

TEST(xz_files) {
  const std::string text = letters().substr(0, 200);
  check_unpacking(whole_xz(), text, unpack_xz, true);
  const std::string code = machine_code(), packed = filtered_xz();
  EXPECT_TRUE(unpack(packed, unpack_xz) == (Outcome{"", code, packed.size()}));
  for (size_t at = 0; at < packed.size(); ++at) {
    EXPECT_NE(unpack(packed.substr(0, at), unpack_xz).code, "");
    std::string changed = packed;
    changed[at] ^= 4;
    if (const Outcome found = unpack(changed, unpack_xz); found.code.empty())
      EXPECT_EQ(found.text, code);
  }
}

TEST(xz_streams_behind_each_other) {
  const std::string one = whole_xz(), text = letters().substr(0, 200);
  const std::string zeros(8, '\0');
  EXPECT_TRUE(unpack(one + zeros + one, unpack_xz) ==
              (Outcome{"", text + text, 2 * one.size() + 8}));
  EXPECT_TRUE(unpack(one + zeros, unpack_xz) == (Outcome{"", text, one.size() + 8}));
  EXPECT_TRUE(unpack(one + zeros + "other", unpack_xz) == (Outcome{"", text, one.size()}));
  const Outcome cut = unpack(one + one.substr(0, 100), unpack_xz);
  EXPECT_EQ(cut.code, "TRUNCATED");
  EXPECT_TRUE(cut.text.starts_with(text));
}

TEST(filters_in_place) {
  std::vector<std::byte> bytes(20, std::byte{1});
  undo_delta(bytes, 3);
  EXPECT_EQ(std::to_integer<int>(bytes[19]), 7);
  undo_delta(bytes, 256);
  EXPECT_EQ(std::to_integer<int>(bytes[19]), 7);
  for (size_t size = 0; size < 6; ++size) undo_x86(std::span(bytes).first(size));
  // A call that ends the bytes.
  std::vector<std::byte> call{std::byte{0xE8}, std::byte{5}, {}, {}, {}};
  undo_x86(call);
  EXPECT_EQ(load_le<uint32_t>(&call[1]), 0u);
}
