#include "core/archive/foreign.h"

#include "check.h"
#include "zip_bytes.h"

using namespace torchmap;
using namespace torchmap::check;
using namespace std::string_literals;

namespace {

std::string describe(const std::string& bytes) {
  return describe_foreign(as_bytes(bytes), bytes.size());
}

// Whether the phrase for these bytes holds `words`.
void expect_named(const std::string& bytes, std::string_view words) {
  const std::string phrase = describe(bytes);
  if (phrase.find(words) == std::string::npos) EXPECT_EQ(phrase, words);
}

}  // namespace

TEST(foreign_downloads_gone_wrong) {
  expect_named("", "an empty file");
  expect_named("version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n",
               "git lfs pull");
  expect_named("<!DOCTYPE html>\n<html>", "an HTML page");
  expect_named("\xEF\xBB\xBF \r\n<!doctype HTML><title>", "an HTML page");
  expect_named("<HTML><body>404", "an HTML page");
  expect_named("<?xml version=\"1.0\"?><Error><Code>AccessDenied", "an XML document");
  expect_named("<Error><Code>NoSuchKey", "an XML document");
  expect_named("{\"error\":\"Repository not found\"}", "a JSON document");
  expect_named("[1, 2]", "a JSON document");
  expect_named("Entry not found", "plain text");
  expect_named("Datei nicht gefunden: gr\xC3\xB6\xC3\x9F", "plain text");
  expect_named(std::string(4096, '\0'), "zero bytes");
}

TEST(foreign_compressed) {
  expect_named("\x1F\x8B\x08\0"s, "gzip -d");
  expect_named("\x28\xB5\x2F\xFD\x04"s, "zstd -d");
  expect_named("BZh91AY&SY", "bzip2 -d");
  expect_named("\xFD"s + "7zXZ\0\0"s, "xz -d");
  expect_named("7z\xBC\xAF\x27\x1C\0"s, "7z x");
  expect_named("Rar!\x1A\x07\x01"s, "unrar x");
}

TEST(foreign_formats) {
  expect_named("GGUF\3\0\0\0"s, "GGUF");
  expect_named("lmgg", "GGML");
  expect_named("\x89HDF\r\n\x1A\n"s, "HDF5");
  expect_named("\x93NUMPY\1\0"s, "NumPy");
  expect_named("PYTORCH1"s, "preview");
  expect_named("\x18\0\0\0PTMF"s, "mobile");
  expect_named("\x1C\0\0\0TFL3"s, "TensorFlow Lite");
  expect_named("\x89PNG\r\n\x1A\n"s, "PNG");
  expect_named("\xFF\xD8\xFF\xE0"s, "JPEG");
  expect_named("%PDF-1.7\n%\xE2\xE3", "PDF");
  expect_named("\x7F"s + "ELF\2\1"s, "ELF");
  expect_named("\x08\x07\x12\x07pytorch\x1A\x05"s, "ONNX");
  expect_named("\x08\x08\x3A\xC0\x04"s, "ONNX");
}

TEST(foreign_says_nothing_about_what_it_does_not_know) {
  for (const std::string& bytes :
       {"\x80\2}q\0."s, "\x80\2\x8A\x0Al\xFC\x9C"s, "PK\3\4"s, "\0\0\0\0\0\0\0\1"s, "\x08\x01"s,
        "\x08\x01\x12\5ab"s, "\x08\xFF\x12\2ab"s, "text\0"s, "caf\xE9 noir"s, "\xC3"s + "A"s}) {
    EXPECT_EQ(describe(bytes), "");
  }
}

TEST(foreign_of_a_part_of_the_file) {
  // Zero bytes or text at the front of a long file, cut inside a character.
  EXPECT_EQ(describe_foreign(as_bytes("gr\xC3"), 1 << 20), "plain text");
  EXPECT_EQ(describe_foreign({}, 1 << 20), "");
}

TEST(foreign_every_prefix) {
  for (const std::string& whole :
       {"version https://git-lfs"s, "\x08\x07\x12\x07pytorch\x1A\x05"s, "\x18\0\0\0PTMF"s,
        "\xEF\xBB\xBF<!doctype html>"s, "SQLite format 3\0"s}) {
    for (size_t size = 0; size <= whole.size(); ++size) {
      // Flush against the end of its own allocation, where reading on would be noticed.
      const std::vector<char> exact(whole.begin(), whole.begin() + static_cast<ptrdiff_t>(size));
      describe_foreign(std::as_bytes(std::span(exact)), size);
    }
  }
}
