// Builds zip archives byte by byte, as torch does or as it should never be. Tests change what has
// been added before finish() to make the directory lie.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace torchmap::check {

// `count` bytes of `value`, little-endian.
inline std::string le(uint64_t value, int count) {
  std::string bytes;
  for (; count > 0; --count, value >>= 8) bytes += static_cast<char>(value & 0xFF);
  return bytes;
}

inline uint32_t crc32_of(std::string_view bytes) {
  uint32_t crc = ~0u;
  for (const char c : bytes) {
    crc ^= static_cast<uint8_t>(c);
    for (int bit = 0; bit < 8; ++bit) crc = crc >> 1 ^ (crc & 1 ? 0xEDB88320u : 0);
  }
  return ~crc;
}

class ZipBytes {
 public:
  // One entry of the directory.
  struct Entry {
    std::string name;
    uint64_t header_offset = 0;
    uint64_t stored_size = 0;
    uint64_t size = 0;
    uint32_t crc = 0;
    uint16_t flags = 0;
    uint16_t method = 0;
    std::string extra;            // beside the zip64 field, which is made as needed
    bool omit_zip64 = false;      // although it is needed
    std::string local_name = {};  // when it differs
  };

  // As torch writes them: zeros in local headers, payloads aligned by an 'FB' field, descriptors
  // and a zip64 end record even where they are not needed.
  bool torch = true;
  size_t alignment = 64;
  // What the end records claim, when it is not the truth.
  std::string comment = {};
  bool lie_about_count = false;
  uint64_t count = 0;

  std::string bytes;
  std::vector<Entry> entries;

  Entry& add(std::string name, std::string_view payload) {
    Entry entry;
    entry.name = std::move(name);
    entry.size = payload.size();
    entry.stored_size = payload.size();
    entry.crc = crc32_of(payload);
    if (torch) entry.flags = payload.empty() ? 0x0800 : 0x0808;
    return add(std::move(entry), payload);
  }

  // Writes the local header and the payload as `entry` has them; only the place is filled in.
  Entry& add(Entry entry, std::string_view payload) {
    entry.header_offset = bytes.size();
    const std::string& name = entry.local_name.empty() ? entry.name : entry.local_name;
    std::string extra;
    if (torch) {
      const size_t start = bytes.size() + 30 + name.size() + 4;
      const size_t padding = (alignment - start % alignment) % alignment;
      extra = "FB" + le(padding, 2) + std::string(padding, 'Z');
    }
    const uint64_t size = torch ? 0 : entry.size;
    const uint64_t stored_size = torch ? 0 : entry.stored_size;
    bytes += "PK\3\4" + le(torch ? 0 : 20, 2) + le(entry.flags, 2) + le(entry.method, 2);
    bytes += le(0, 4) + le(torch ? 0 : entry.crc, 4) + le(stored_size, 4) + le(size, 4);
    bytes += le(name.size(), 2) + le(extra.size(), 2) + name + extra;
    bytes += payload;
    if (entry.flags & 8) {
      bytes += "PK\7\10" + le(entry.crc, 4) + le(entry.stored_size, 4) + le(entry.size, 4);
    }
    return entries.emplace_back(std::move(entry));
  }

  // The directory alone.
  std::string directory() const {
    std::string out;
    for (const Entry& entry : entries) {
      const auto narrow = [](uint64_t value) { return value < kMax32 ? value : kMax32; };
      std::string wide;
      for (const uint64_t value : {entry.size, entry.stored_size, entry.header_offset}) {
        if (value >= kMax32) wide += le(value, 8);
      }
      if (!wide.empty()) wide = le(1, 2) + le(wide.size(), 2) + wide;
      const std::string extra = entry.extra + (entry.omit_zip64 ? "" : wide);
      out += "PK\1\2" + le(0, 4) + le(entry.flags, 2) + le(entry.method, 2) + le(0, 4);
      out += le(entry.crc, 4) + le(narrow(entry.stored_size), 4) + le(narrow(entry.size), 4);
      out += le(entry.name.size(), 2) + le(extra.size(), 2) + le(0, 2 + 2 + 2 + 4);
      out += le(narrow(entry.header_offset), 4) + entry.name + extra;
    }
    return out;
  }

  // The end records of a directory of `size` bytes at `offset`.
  std::string end(uint64_t offset, uint64_t size) const {
    const uint64_t records = lie_about_count ? count : entries.size();
    std::string out;
    const bool wide = torch || records >= 0xFFFF || offset >= kMax32;
    if (wide) {
      out += "PK\6\6" + le(44, 8) + le(0x031E, 2) + le(45, 2) + le(0, 8);
      out += le(records, 8) + le(records, 8) + le(size, 8) + le(offset, 8);
      out += "PK\6\7" + le(0, 4) + le(offset + size, 8) + le(1, 4);
    }
    const uint64_t narrow_records = wide && records > 0xFFFF ? 0xFFFF : records;
    out += "PK\5\6" + le(0, 4) + le(narrow_records, 2) + le(narrow_records, 2) + le(size, 4);
    out += le(offset < kMax32 ? offset : kMax32, 4) + le(comment.size(), 2) + comment;
    return out;
  }

  // The archive. Nothing may be added afterwards.
  std::string finish() {
    const uint64_t offset = bytes.size();
    const std::string list = directory();
    return std::move(bytes) + list + end(offset, list.size());
  }

 private:
  static constexpr uint64_t kMax32 = 0xFFFFFFFF;
};

// An archive like that of torch.save({...}, 'archive.pt') with two storages.
inline ZipBytes torch_zip() {
  ZipBytes zip;
  zip.add("archive/data.pkl", "\x80\2}q\0.");
  zip.add("archive/byteorder", "little");
  zip.add("archive/data/0", std::string(24, '\1'));
  zip.add("archive/data/1", "");
  zip.add("archive/version", "3\n");
  return zip;
}

}  // namespace torchmap::check
