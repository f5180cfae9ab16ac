// What was found about loading a file with Python.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "core/scan/judgement.h"
#include "core/torch/names.h"

namespace torchmap {

// A class or function that one pickle names. Texts are those of the report.
struct ScannedGlobal {
  uint32_t name = 0;  // module.name
  uint32_t record = 0;
  uint64_t offset = 0;  // bytes from the start of the record or file
  Judgement judgement = Judgement::kUnknown;
  bool is_called = false;
  uint32_t first_link = 0, link_count = 0;  // its chain
};

struct ScanFinding {
  std::string_view rule;  // an id of lib/zoo/rules.ts
  std::string message;    // a sentence
  std::string record;
  uint64_t offset = 0;  // bytes from the start of the file
  bool has_offset = false;
};

struct ScanReport {
  Names texts;  // few of them twice
  std::vector<ScannedGlobal> globals;
  Buffer<uint32_t> links;  // texts, of chains: outermost call first, the global last
  std::vector<ScanFinding> findings;
  std::string_view content;    // what the bytes are: zip, tar, pickle, legacy, npy, safetensors ...
  std::string foreign;         // what else they are, in words, where that is known
  bool is_dangerous = false;   // something names what can run code
  bool is_incomplete = false;  // something could not be looked into
  uint64_t globals_dropped = 0;  // beyond what a report has room for
  uint64_t findings_dropped = 0;

  uint32_t add_text(std::string_view text);
  uint32_t add_name(const GlobalName& global);  // module.name
  std::string_view name_of(const ScannedGlobal& global) const { return texts.at(global.name); }
  std::string_view record_of(const ScannedGlobal& global) const { return texts.at(global.record); }
  // Empty where it is not called.
  std::span<const uint32_t> chain_of(const ScannedGlobal& global) const {
    return links.span(global.first_link, global.link_count);
  }
};

// Where a pickle is.
struct PicklePlace {
  std::string record;   // or empty
  uint64_t offset = 0;  // bytes from the start of the record or file
  uint64_t base = 0;    // bytes from the start of the file to that of the record, for findings
  bool in_file = true;  // whether that is known: not of what was inflated or spelled otherwise
  unsigned depth = 0;   // how many things it is inside of
};

// Adds a finding, as long as there is room.
void add_finding(ScanReport& report, std::string_view rule, std::string message,
                 const PicklePlace& place, uint64_t offset);

// One that the pickle puts together while it runs.
bool is_computed(const GlobalName& global);
// module.name for a sentence, which has many names and is for people to read.
std::string shown_name(const GlobalName& global);

// Rows of a report: what a hostile file can make of it is no larger.
inline constexpr size_t kMostGlobals = 4096, kMostFindings = 512;
// Bytes of names in it, many times those of any real file.
inline constexpr size_t kMostTextBytes = size_t{8} << 20;

// "1 byte", "2 bytes"
inline std::string bytes_text(uint64_t count) {
  return std::to_string(count) + (count == 1 ? " byte" : " bytes");
}

}  // namespace torchmap
