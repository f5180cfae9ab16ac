// Compares the records of a zip archive with their CRC-32, deflated ones as they are once inflated.
// Large stored ones are cut into pieces, and several threads take one piece after another.
#pragma once

#include <string>

#include "core/archive/zip.h"

namespace torchmap {

enum class Verdict : uint8_t {
  kOk,
  kMismatch,  // the bytes are not those the CRC-32 was made of, or `fault` says what is wrong
  kAbsent,    // written without a CRC-32
  kNone,      // not read, as `fault` says
};

struct CheckedRecord {
  std::string name;
  Verdict verdict = Verdict::kOk;
  uint64_t offset = 0;       // bytes: payload
  uint64_t stored_size = 0;  // bytes in the file
  uint64_t size = 0;         // bytes once inflated
  uint32_t expected = 0;     // CRC-32 the archive says
  uint32_t actual = 0;       // CRC-32 of the bytes, inflated; where there is no fault
  bool deflated = false;
  std::string fault;  // a sentence, or empty
};

struct VerifyOptions {
  Limits limits;
  bool salvage = false;  // the archive has lost its directory
  uint32_t threads = 1;  // at most; the calling one is among them
  const std::atomic<bool>* cancelled = nullptr;
  std::atomic<uint64_t>* done = nullptr;  // bytes that were read; counts up while it works
};

// Reads the archive's directory anew and every record behind it, in the order of the directory.
// `source` may be read by several threads: Source::reader(), or memory. What is wrong with one
// record is its verdict. kFileChanged, kCancelled, kIo, and what ZipArchive::read() fails with.
Result<std::vector<CheckedRecord>> verify_archive(Source& source, const VerifyOptions& options);

}  // namespace torchmap
