// Records found without a directory, in files that mean well and in others.
#include <chrono>

#include "check.h"
#include "checkpoint_opened.h"
#include "core/archive/zip_salvage.h"
#include "zip_bytes.h"

using namespace torchmap;
using check::le;
using check::ZipBytes;

namespace {

struct Salvaged {
  std::string bytes;
  std::shared_ptr<Source> source;
  Result<ZipArchive> archive;

  explicit Salvaged(std::string from, const Limits& limits = {})
      : bytes(std::move(from)),
        source(open_memory(as_bytes(bytes))),
        archive(ZipArchive::salvage(*source, limits, nullptr)) {}
  Salvaged(const Salvaged&) = delete;

  // "name size, name size?": a question mark where the end is unknown.
  std::string shown() {
    if (!archive.ok()) return std::string(code_name(archive.status().code()));
    std::string out;
    for (const Record& record : archive->records()) {
      if (!out.empty()) out += ", ";
      out += std::string(record.name) + " " + std::to_string(record.size) + (record.cut ? "?" : "");
    }
    return out;
  }
};

// The records of an archive without its directory.
std::string body(bool torch, std::string_view payload = std::string(24, '\1')) {
  ZipBytes zip;
  zip.torch = torch;
  zip.add("archive/data.pkl", "\x80\2}q\0.");
  zip.add("archive/data/0", payload);
  zip.add("archive/data/1", "");
  zip.add("archive/version", "3\n");
  return zip.bytes;
}

constexpr std::string_view kAll =
    "archive/data.pkl 4, archive/data/0 24, archive/data/1 0, archive/version 2";

}  // namespace

TEST(salvage_by_descriptors_and_by_headers) {
  EXPECT_EQ(Salvaged(body(true)).shown(), kAll);
  EXPECT_EQ(Salvaged(body(false)).shown(), kAll);
}

TEST(salvage_stops_at_the_directory) {
  ZipBytes zip;
  zip.add("archive/data.pkl", "abcd");
  const std::string whole = zip.bytes + zip.directory() + body(true);
  Salvaged found(whole);
  EXPECT_EQ(found.shown(), "archive/data.pkl 4");
  EXPECT_EQ(found.archive->directory_offset(), zip.bytes.size());
}

TEST(salvage_of_every_part) {
  for (const bool torch : {true, false}) {
    const std::string whole = body(torch);
    for (size_t size = 0; size <= whole.size(); ++size) {
      Salvaged found(whole.substr(0, size));
      ASSERT_TRUE(found.archive.ok());
      for (uint32_t i = 0; i < found.archive->records().size(); ++i) {
        const Record& record = found.archive->records()[i];
        // Only the last one can be cut.
        if (record.cut) EXPECT_EQ(i + 1, found.archive->records().size());
        auto payload = found.archive->payload(*found.source, i);
        ASSERT_TRUE(payload.ok());
        if (!record.cut) EXPECT_TRUE(found.archive->check_crc(*found.source, i, nullptr).ok());
      }
    }
  }
}

TEST(salvage_compares_checksums) {
  ZipBytes zip;
  zip.add("archive/data/0", "123456789");
  for (const auto& [crc, code] : {std::pair{0xCBF43926u, ""},
                                  std::pair{0xCBF43927u, "CHECKSUM_MISMATCH"}, std::pair{0u, ""}}) {
    std::string bytes = zip.bytes;
    bytes.replace(bytes.size() - 12, 4, le(crc, 4));
    Salvaged found(bytes);
    ASSERT_TRUE(found.archive.ok());
    for (int again = 0; again < 2; ++again) {
      const Status status = found.archive->check_crc(*found.source, 0, nullptr);
      EXPECT_EQ(status.ok() ? "" : code_name(status.code()), code);
    }
  }
}

TEST(salvage_of_sizes_in_64_bits) {
  const std::string head = body(true, std::string(5, 'x'));
  // A descriptor as it is where the record or its place is above 4 GiB.
  const size_t at = head.find("PK\7\10", head.find("xxxxx"));
  const std::string crc = head.substr(at + 4, 4);
  const std::string wide = "PK\7\10" + crc + le(5, 8) + le(5, 8);
  std::string whole = head;
  whole.replace(at, 16, wide);
  EXPECT_EQ(Salvaged(whole).shown(),
            "archive/data.pkl 4, archive/data/0 5, archive/data/1 0, archive/version 2");
  // Sizes in a zip64 field of the header, of a record without a descriptor.
  const std::string name = "a/b";
  const std::string extra = le(1, 2) + le(16, 2) + le(5, 8) + le(5, 8);
  const std::string local = "PK\3\4" + le(45, 2) + le(0, 2) + le(0, 2) + le(0, 4) + le(0, 4) +
                            le(0xFFFFFFFF, 4) + le(0xFFFFFFFF, 4) + le(name.size(), 2) +
                            le(extra.size(), 2) + name + extra + "xxxxx";
  EXPECT_EQ(Salvaged(local + body(true)).shown().substr(0, 5), "a/b 5");
}

TEST(salvage_believes_no_sizes) {
  const auto lying = [](uint64_t stored, uint64_t size, uint64_t method) {
    return "PK\3\4" + le(20, 2) + le(0, 2) + le(method, 2) + le(0, 8) + le(stored, 4) +
           le(size, 4) + le(1, 2) + le(0, 2) + "a" + "xxxxx";
  };
  EXPECT_EQ(Salvaged(lying(5, 5, 0)).shown(), "a 5");
  EXPECT_EQ(Salvaged(lying(6, 6, 0)).shown(), "a 5?");
  EXPECT_EQ(Salvaged(lying(0xFFFFFFFF, 0xFFFFFFFF, 0)).shown(), "a 5?");
  EXPECT_EQ(Salvaged(lying(5, 6, 0)).shown(), "a 5?");
  EXPECT_EQ(Salvaged(lying(5, 600, 8)).shown(), "a 600");
  // Over the next record.
  std::string second = lying(5, 5, 0);
  second[30] = 'b';
  EXPECT_EQ(Salvaged(lying(30, 30, 0) + second).shown(), "a 5?, b 5");
  second[30] = 'a';
  EXPECT_EQ(Salvaged(lying(5, 5, 0) + second).shown(), "BAD_ARCHIVE");  // the name twice
}

TEST(salvage_of_a_descriptor_inside_a_payload) {
  // Its size leads to no header.
  const std::string inner = "0123" + ("PK\7\10" + le(0, 4) + le(3, 8) + le(3, 8)) + "abcd";
  ZipBytes zip;
  zip.add("archive/data/0", inner);
  EXPECT_EQ(Salvaged(zip.bytes).shown(), "archive/data/0 " + std::to_string(inner.size()));
  // Headers of another archive inside a payload are none of this one.
  ZipBytes host;
  host.add("archive/data/0", body(true));
  host.add("archive/version", "3\n");
  EXPECT_EQ(Salvaged(host.bytes).shown(),
            "archive/data/0 " + std::to_string(body(true).size()) + ", archive/version 2");
}

TEST(salvage_is_linear) {
  // Four megabytes of headers without ends, of descriptors, and of both in turns.
  const std::string header =
      "PK\3\4" + le(0, 2) + le(8, 2) + le(0, 2) + le(0, 16) + le(2, 2) + le(0, 2) + "a/";
  const std::string descriptor = "PK\7\10" + le(0, 4) + le(40, 4) + le(40, 4);
  for (const std::string& part : {header, descriptor, header + descriptor, std::string("PK\3\4"),
                                  std::string("PK\7\10"), std::string("PK"), std::string("P")}) {
    std::string whole = header;
    while (whole.size() < size_t{4} << 20) whole += part;
    const auto start = std::chrono::steady_clock::now();
    Salvaged found(whole);
    const std::chrono::duration<double> took = std::chrono::steady_clock::now() - start;
    EXPECT_TRUE(took.count() < 20);
    EXPECT_TRUE(!found.shown().empty());
  }
}

TEST(salvage_limits_and_cancelling) {
  Limits limits;
  limits.records = 3;
  EXPECT_EQ(Salvaged(body(true), limits).shown(), "LIMIT_RECORDS");
  const std::string whole = body(true);
  const auto source = open_memory(as_bytes(whole));
  const std::atomic<bool> cancelled = true;
  auto found = ZipArchive::salvage(*source, {}, &cancelled);
  ASSERT_FALSE(found.ok());
  EXPECT_TRUE(found.status().code() == Code::kCancelled);
}

TEST(salvage_across_the_pieces_a_file_is_read_in) {
  // Signatures at every place around the border of a megabyte.
  for (size_t before = (size_t{1} << 20) - 90; before < (size_t{1} << 20) + 10; ++before) {
    ZipBytes zip;
    zip.torch = false;
    zip.add("archive/data/0", std::string(before - 44, 'x'));
    zip.torch = true;
    zip.alignment = 1;
    zip.add("archive/data/1", "abc");
    zip.add("archive/data/2", "def");
    EXPECT_EQ(Salvaged(zip.bytes).shown(), "archive/data/0 " + std::to_string(before - 44) +
                                               ", archive/data/1 3, archive/data/2 3");
  }
}

TEST(salvage_of_a_checkpoint) {
  const std::string value = check::dict(
      {check::text("a"), check::small_tensor(), check::text("b"),
       check::tensor(check::storage("1", 2), check::integers({2}), check::integers({1}))});
  const std::string whole = check::archive_of(value);
  const size_t second = whole.find(std::string(1, 64) + std::string(1, 65));
  OpenOptions options;
  options.salvage = true;
  check::OpenedCheckpoint opened(whole.substr(0, second + 10), options);
  ASSERT_TRUE(opened.ok());
  EXPECT_TRUE(opened->salvaged());
  EXPECT_EQ(check::shown(opened->catalog(), opened->names()), "a float32(2)");
  ASSERT_EQ(opened->skipped().size(), 1);
  EXPECT_EQ(opened->skipped()[0].name, "b");
  EXPECT_EQ(code_name(opened->skipped()[0].code), "TRUNCATED");
  EXPECT_EQ(check::problem_of(*opened), "");
}
