#include "core/archive/foreign.h"

#include <algorithm>
#include <array>

#include "core/archive/lzma.h"

namespace torchmap {

namespace {

using namespace std::string_view_literals;

struct Magic {
  size_t offset;
  std::string_view bytes;
  std::string_view phrase;
  Packing packing = Packing::kNone;
};

#define COMPRESSED(kind, command) \
  "a file compressed with " kind ", which must be decompressed first, as with '" command "'"

// The first that matches wins.
constexpr Magic kMagics[] = {
    {0, "version https://git-lfs"sv,
     "a Git LFS pointer, not the file itself: run 'git lfs pull' where it was cloned"sv},
    {0, "# xet version"sv,
     "a Xet pointer, not the file itself: download it with a client that knows Xet"sv},
    {0, "\x1F\x8B"sv, COMPRESSED("gzip", "gzip -d"), Packing::kGzip},
    {0, "\x78\x01"sv, COMPRESSED("zlib", "pigz -dz"), Packing::kZlib},
    {0, "\x78\x5E"sv, COMPRESSED("zlib", "pigz -dz"), Packing::kZlib},
    {0, "\x78\x9C"sv, COMPRESSED("zlib", "pigz -dz"), Packing::kZlib},
    {0, "\x78\xDA"sv, COMPRESSED("zlib", "pigz -dz"), Packing::kZlib},
    {0, "\x28\xB5\x2F\xFD"sv, COMPRESSED("Zstandard", "zstd -d")},
    {0, "BZh"sv, COMPRESSED("bzip2", "bzip2 -d")},
    {0,
     "\xFD"
     "7zXZ\0"sv,
     COMPRESSED("xz", "xz -d"), Packing::kXz},
    {0, "\x04\x22\x4D\x18"sv, COMPRESSED("LZ4", "lz4 -d")},
    {0, "7z\xBC\xAF\x27\x1C"sv, COMPRESSED("7-Zip", "7z x"), Packing::kSevenZip},
    {0, "Rar!\x1A\x07"sv, COMPRESSED("RAR", "unrar x")},
    {0, "GGUF"sv, "a GGUF file, the format of llama.cpp"sv},
    {0, "lmgg"sv, "a GGML file, the old format of llama.cpp"sv},
    {0, "fmgg"sv, "a GGML file, the old format of llama.cpp"sv},
    {0, "tjgg"sv, "a GGML file, the old format of llama.cpp"sv},
    {0, "algg"sv, "a GGML adapter, the old format of llama.cpp"sv},
    {0, "\x89HDF\r\n\x1A\n"sv, "an HDF5 file, as Keras and TensorFlow write them"sv},
    {0, "\x93NUMPY"sv, "a NumPy array (.npy)"sv},
    {0, "PYTORCH1"sv,
     "a TorchScript file of the PyTorch 1.0 preview, which no release of PyTorch reads"sv},
    {4, "PTMF"sv, "a PyTorch mobile flatbuffer (.ptl), which holds no pickle"sv},
    {4, "TFL3"sv, "a TensorFlow Lite file"sv},
    {4, "ET12"sv, "an ExecuTorch program (.pte)"sv},
    {0, "\x89PNG\r\n\x1A\n"sv, "a PNG image"sv},
    {0, "\xFF\xD8\xFF"sv, "a JPEG image"sv},
    {0, "%PDF-"sv, "a PDF document"sv},
    {0,
     "\x7F"
     "ELF"sv,
     "an ELF program or library"sv},
    {0, "RIFF"sv, "a RIFF file, such as a sound or an image"sv},
    {0, "ARROW1"sv, "an Arrow file"sv},
    {0, "PAR1"sv, "a Parquet file"sv},
    {0, "SQLite format 3\0"sv, "an SQLite database"sv},
    {0, "PK\5\6"sv, "an empty zip archive"sv},
};

// It has no magic bytes.
constexpr Magic kLzmaFile{0, {}, COMPRESSED("LZMA", "lzma -d"), Packing::kLzma};

#undef COMPRESSED

const Magic* magic_of(ByteSpan head) {
  const std::string_view text = as_text(head);
  for (const Magic& magic : kMagics) {
    if (text.size() > magic.offset && text[magic.offset] == magic.bytes[0] &&
        text.substr(magic.offset).starts_with(magic.bytes)) {
      return &magic;
    }
  }
  return looks_like_lzma(head) ? &kLzmaFile : nullptr;
}

bool is_blank(char c) { return c == ' ' || c == '\t' || c == '\r' || c == '\n'; }

bool starts_like(std::string_view text, std::string_view lower_case) {
  if (text.size() < lower_case.size()) return false;
  return std::equal(lower_case.begin(), lower_case.end(), text.begin(), [](char want, char is) {
    return want == (is >= 'A' && is <= 'Z' ? static_cast<char>(is + ('a' - 'A')) : is);
  });
}

// An ONNX ModelProto as exporters write it: field 1, ir_version, a small varint; then field 2,
// producer_name, or field 7 or 8, graph and opset imports. Anything looser would claim other
// protobuf files, and pickles.
bool is_onnx(std::string_view head) {
  if (head.size() < 4 || head[0] != 0x08 || head[1] < 1 || head[1] > 20) return false;
  if (head[2] == 0x12) {
    const auto length = static_cast<uint8_t>(head[3]);
    return length < 64 && head.size() > size_t{4} + length &&
           std::all_of(head.begin() + 4, head.begin() + 4 + length,
                       [](char c) { return c >= ' ' && c <= '~'; });
  }
  return head[2] == 0x3A || head[2] == 0x42;
}

// Whether these are characters and nothing else: no control codes, and bytes above ASCII only as
// UTF-8 would have them.
bool is_text(std::string_view head) {
  size_t following = 0;
  for (const char c : head) {
    const auto byte = static_cast<uint8_t>(c);
    if (following > 0) {
      if (byte >> 6 != 0b10) return false;
      --following;
    } else if (byte >= 0x80) {
      if (byte < 0xC2 || byte > 0xF4) return false;
      following = byte < 0xE0 ? 1 : byte < 0xF0 ? 2 : 3;
    } else if (byte == 0x7F || (byte < ' ' && !is_blank(c) && byte != '\f')) {
      return false;
    }
  }
  return true;
}

std::string describe_text(std::string_view head) {
  std::string_view text = head;
  if (text.starts_with("\xEF\xBB\xBF")) text.remove_prefix(3);
  while (!text.empty() && is_blank(text.front())) text.remove_prefix(1);
  if (starts_like(text, "<!doctype html") || starts_like(text, "<html") ||
      starts_like(text, "<head") || starts_like(text, "<!-- ")) {
    return "an HTML page, likely an error or login page saved by a download";
  }
  // Stores such as S3 answer with XML.
  if (starts_like(text, "<?xml") || starts_like(text, "<error>")) {
    return "an XML document, likely an error message saved by a download";
  }
  if (!is_text(head)) return {};
  if (text.starts_with('{') || text.starts_with('[')) {
    return "a JSON document, possibly an error message saved by a download";
  }
  return "plain text";
}

}  // namespace

std::string_view foreign_format(ByteSpan head) {
  const Magic* const found = magic_of(head);
  return found == nullptr ? std::string_view() : found->phrase;
}

Packing packing_of(ByteSpan head) {
  // Asked of every string of a pickle: most are told by their first byte.
  static constexpr auto kFirst = [] {
    std::array<bool, 256> first{};
    for (const Magic& magic : kMagics)
      if (magic.packing != Packing::kNone) first[static_cast<uint8_t>(magic.bytes[0])] = true;
    return first;
  }();
  if (head.empty()) return Packing::kNone;
  if (!kFirst[std::to_integer<uint8_t>(head[0])])
    return looks_like_lzma(head) ? Packing::kLzma : Packing::kNone;
  const Magic* const found = magic_of(head);
  return found == nullptr ? Packing::kNone : found->packing;
}

std::string describe_foreign(ByteSpan head, uint64_t size) {
  const std::string_view text = as_text(head);
  if (size == 0) return "an empty file";
  if (text.empty()) return {};
  if (const std::string_view known = foreign_format(head); !known.empty())
    return std::string(known);
  if (std::all_of(text.begin(), text.end(), [](char c) { return c == '\0'; })) {
    return "a file of zero bytes, likely space reserved for a download that never came";
  }
  if (is_onnx(text)) return "an ONNX model";
  return describe_text(text);
}

}  // namespace torchmap
