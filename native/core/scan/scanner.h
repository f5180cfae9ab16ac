// Goes through a file, and through what is inside of what is in it, and examines every pickle.
// Each ring of it is bounded: things are in each other kDeepest deep at most, and pickles that are
// looked for rather than expected cost no more than a multiple of the bytes they are looked for in.
#pragma once

#include <atomic>
#include <memory>
#include <set>
#include <span>

#include "core/archive/foreign.h"
#include "core/archive/unpacking.h"
#include "core/archive/zip.h"
#include "core/scan/examine.h"

namespace torchmap {

class SevenZip;
struct SevenZipMember;

struct ScanOptions {
  Limits limits;
  const std::atomic<bool>* cancelled = nullptr;
};

class Scanner {
 public:
  // `series`: what is scanned is archives one behind the other, as files of distributed
  // checkpoints.
  Scanner(const ScanOptions& options, PoolStock& pools, ScanReport& report, bool series = false)
      : options_(options), pools_(pools), is_series_(series), report_(report) {}

  // Looks at what the bytes are, and into them. kIo, kFileChanged, kCancelled; all else is in the
  // report.
  Status scan(Source& source, const PicklePlace& place);
  // Into the bytes of a record, whose name and flags say what should be in it.
  Status scan_record(Source& bytes, const PicklePlace& place, std::string_view name,
                     uint16_t flags);

 private:
  friend class ZipScan;

  // Keys of storages are those of one file: as long as this lives there are none but its own.
  class OwnKeys {
   public:
    explicit OwnKeys(StorageUses& keys) : keys_(keys) { std::swap(outer_, keys_); }
    OwnKeys(const OwnKeys&) = delete;
    OwnKeys& operator=(const OwnKeys&) = delete;
    ~OwnKeys() { std::swap(outer_, keys_); }

   private:
    StorageUses& keys_;
    StorageUses outer_;
  };

  static constexpr unsigned kDeepest = 4;
  static constexpr size_t kSearchChunk = size_t{1} << 18;
  // Bytes of deflated records, inflated, that are looked into.
  static constexpr uint64_t kMostInflatedBytes = uint64_t{1} << 28;

  // How sure it is that there is a pickle.
  enum class Sure : uint8_t {
    kExpected,  // what cannot be read is a broken one
    kPossible,  // it counts where it names something or has a reason to be one
  };
  struct Attempt {
    bool ok = false;       // read to its end
    bool counted = false;  // a pickle, though a broken one
    uint64_t next = 0;     // bytes: behind it, or where it breaks
    Decoded decoded;
    Status failure;  // where it is not
    Oddities oddities;
    ByteSpan bytes;  // what the pool points into: of the source, or of `copy`
    std::vector<std::byte> copy;
    PoolStock::Lent pool;
  };

  Status stream(Source& source, const PicklePlace& place, Sure sure);
  // Whether it is one besides being `what`.
  Status also_pickle(Source& source, const PicklePlace& place, const char* what);
  // Sets `whole` where all of it was read.
  Status legacy(Source& source, const PicklePlace& place, uint64_t& at, bool& whole);
  Status legacy_storages(Source& source, const PicklePlace& place, uint64_t& at,
                         const Attempt& keys, bool& whole);
  Status series(Source& source, const PicklePlace& place);
  // `whole`: the pickle before it was, so that bytes behind it are hidden rather than lost.
  Status behind(Source& source, const PicklePlace& place, uint64_t at, bool whole = true);
  Status search(Source& source, const PicklePlace& place, uint64_t at, uint64_t end,
                uint64_t& found_end);
  Status tar(Source& source, const PicklePlace& place);
  Status tar_numbers(Source& source, const PicklePlace& place, bool has_elements);
  Status npy(Source& source, const PicklePlace& place);
  // What is compressed. Where it is not known to be, what is broken says nothing by itself.
  Status packed(Source& source, const PicklePlace& place, Packing packing, bool is_known);
  Status seven_zip(Source& source, const PicklePlace& place, bool is_known);
  Status seven_zip_members(Source& source, const SevenZip& archive, const PicklePlace& place);
  Status seven_zip_member(Unpacked& folder, const SevenZipMember& member, const PicklePlace& place);
  Status behind_packed(Source& source, const PicklePlace& place, uint64_t at);
  uint64_t room_for_inflated() const;
  Result<Attempt> decode(Source& source, const PicklePlace& place, uint64_t at, Sure sure);
  Result<Attempt> attempt(Source& source, const PicklePlace& place, uint64_t at, Sure sure);
  Status carried(const std::vector<CarriedBytes>& rows, const PicklePlace& place);
  bool too_deep(const PicklePlace& place);
  void unread(std::string message, const PicklePlace& place, uint64_t offset);
  void broken(std::string message, const PicklePlace& place, uint64_t offset);
  Status stopped() const;

  const ScanOptions& options_;
  PoolStock& pools_;
  const bool is_series_;
  ScanReport& report_;
  StorageUses storages_;      // of all pickles so far
  bool is_pt2_ = false;       // records are archives
  uint64_t pickles_ = 0;      // that were examined
  uint64_t searched_ = 0;     // bytes that were decoded while pickles were looked for
  uint64_t search_room_ = 0;  // bytes that may be
  uint64_t inflated_left_ = kMostInflatedBytes;
  // As many compressions the file as a whole is in: what is that deep is the file.
  unsigned wrappings_ = 0;
};

// A part of a source, from its own byte 0; the source outlives it.
class SourcePart final : public Source {
 public:
  SourcePart(Source& of, uint64_t offset, uint64_t size) : of_(of), offset_(offset) {
    identity_.size = size;
  }
  Result<ByteSpan> view(uint64_t offset, uint64_t length) override {
    TRY(check_range(offset, length));
    return of_.view(offset_ + offset, length);
  }
  Status read(uint64_t offset, std::span<std::byte> target) override {
    TRY(check_range(offset, target.size()));
    return of_.read(offset_ + offset, target);
  }
  ByteSpan held() const override {
    const ByteSpan all = of_.held();
    return all.empty() ? all : all.subspan(static_cast<size_t>(offset_), size());
  }

 private:
  Source& of_;
  uint64_t offset_;
};

// Whether whoever unpacks a member under this name writes elsewhere than below the folder he means.
bool leads_outside(std::string_view name);

// Bytes [offset, offset + length) of a source: where they are, or copied to `room`.
inline Result<ByteSpan> bytes_at(Source& source, uint64_t offset, uint64_t length,
                                 std::vector<std::byte>& room) {
  const ByteSpan held = source.held();
  if (!held.empty() && fits(offset, length, held.size()))
    return held.subspan(static_cast<size_t>(offset), static_cast<size_t>(length));
  room.resize(static_cast<size_t>(length));
  TRY(source.read(offset, room));
  return ByteSpan(room);
}

// Bytes that stay where they are as long as it lives.
class SpanSource final : public Source {
 public:
  explicit SpanSource(ByteSpan bytes) : bytes_(bytes) { identity_.size = bytes.size(); }
  Result<ByteSpan> view(uint64_t offset, uint64_t length) override {
    TRY(check_range(offset, length));
    return bytes_.subspan(static_cast<size_t>(offset), static_cast<size_t>(length));
  }
  Status read(uint64_t offset, std::span<std::byte> target) override {
    TRY(check_range(offset, target.size()));
    if (!target.empty()) std::memcpy(target.data(), bytes_.data() + offset, target.size());
    return {};
  }
  ByteSpan held() const override { return bytes_; }

 private:
  ByteSpan bytes_;
};

}  // namespace torchmap
