// gzip and zlib, as Python writes them, and what is none.
#include "core/archive/gzip.h"

#include "packed_bytes.h"

using namespace torchmap;
using namespace torchmap::check;

namespace {

std::string named_gzip() {
  // gzip.GzipFile(filename='a', mtime=0)
  return unhex(
      "1f8b08080000000002ff6100358c411680500802cfcac029387a7f515a2f17a823a8088e8ee4da92aaac4c01"
      "86e93bfbbbcc3e74500aed8bec2b6b8a71ee4d9efea179000f7da1061664000000");
}

std::string hello_gzip() {
  // gzip.compress(b'hello', mtime=0)
  return unhex("1f8b0800000000000203cb48cdc9c9070086a6103605000000");
}

}  // namespace

TEST(gzip_members) {
  const std::string text = letters().substr(0, 100);
  check_unpacking(named_gzip(), text, unpack_gzip, true);
  check_unpacking(hello_gzip(), "hello", unpack_gzip, true);
  const Outcome both = unpack(named_gzip() + hello_gzip(), unpack_gzip);
  EXPECT_EQ(both.code, "");
  EXPECT_EQ(both.text, text + "hello");
  // The second one breaks.
  const Outcome broken = unpack(named_gzip() + hello_gzip().substr(0, 13), unpack_gzip);
  EXPECT_NE(broken.code, "");
  EXPECT_TRUE(broken.text.starts_with(text));
}

TEST(gzip_headers) {
  const std::string plain = hello_gzip();
  const std::string body = plain.substr(10);
  const auto head = [&](char flags) { return plain.substr(0, 3) + flags + plain.substr(4, 6); };
  using namespace std::string_literals;
  EXPECT_EQ(unpack(head(4) + "\3\0abc"s + body, unpack_gzip).text, "hello");
  EXPECT_EQ(unpack(head(8) + "name\0"s + body, unpack_gzip).text, "hello");
  EXPECT_EQ(unpack(head(16) + "comment\0"s + body, unpack_gzip).text, "hello");
  EXPECT_EQ(unpack(head(2) + "xx" + body, unpack_gzip).text, "hello");
  EXPECT_EQ(unpack(head(1) + body, unpack_gzip).text, "hello");
  EXPECT_EQ(unpack(head(32) + body, unpack_gzip).code, "BAD_RECORD");
  EXPECT_EQ(unpack(head(8) + "name", unpack_gzip).code, "TRUNCATED");
  EXPECT_EQ(unpack(head(4) + "\xFF\xFF" + body, unpack_gzip).code, "TRUNCATED");
  EXPECT_EQ(unpack("\x1F\x8B\7" + plain.substr(3), unpack_gzip).code, "UNSUPPORTED_COMPRESSION");
}

TEST(gzip_checksum_is_compared) {
  std::string changed = hello_gzip();
  changed[changed.size() - 1] ^= 1;
  const Outcome found = unpack(changed, unpack_gzip);
  EXPECT_EQ(found.code, "CHECKSUM_MISMATCH");
  EXPECT_EQ(found.text, "hello");
}

TEST(zlib_streams) {
  // zlib.compress
  check_unpacking(
      unhex(
          "789c358c411680500802cfcac029387a7f515a2f17a823a8088e8ee4da92aaac4c0186e93bfbbbcc3e74500a"
          "ed8bec2b6b8a71ee4d9efea179000f4fad2a14"),
      letters().substr(0, 100), unpack_zlib, true);
  EXPECT_EQ(unpack("x\x20", unpack_zlib).code, "UNSUPPORTED_COMPRESSION");
  EXPECT_EQ(unpack("x\x9D", unpack_zlib).code, "BAD_RECORD");
  EXPECT_EQ(unpack("\x88\x1C", unpack_zlib).code, "BAD_RECORD");
}

TEST(zlib_adler32) {
  EXPECT_EQ(adler32(1, {}), 1u);
  EXPECT_EQ(adler32(1, as_bytes("Wikipedia")), 0x11E60398u);
  const std::string many(100000, '\xFF');
  EXPECT_EQ(adler32(adler32(1, as_bytes(many).first(7)), as_bytes(many).subspan(7)),
            adler32(1, as_bytes(many)));
}

TEST(unpacked_stops_when_it_is_asked_to) {
  const std::string packed = hello_gzip();
  const std::atomic<bool> cancelled = true;
  SpanSource source(as_bytes(packed));
  Feed feed(source, 0, source.size());
  Unpacked out(100, &cancelled);
  EXPECT_TRUE(unpack_gzip(feed, out).code() == Code::kCancelled);
}
