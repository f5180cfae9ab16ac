// What was found about loading a file with Python.
#pragma once

#include <string>
#include <vector>

#include "core/scan/judgement.h"

namespace torchmap {

// A class or function that one pickle names.
struct ScannedGlobal {
  std::string name;  // module.name
  Judgement judgement = Judgement::kUnknown;
  bool is_called = false;
  std::vector<std::string> chain;  // outermost call first, itself last; empty where not called
  std::string record;
  uint64_t offset = 0;  // bytes from the start of the record or file
};

struct ScanFinding {
  std::string_view rule;  // an id of lib/zoo/rules.ts
  std::string message;    // a sentence
  std::string record;
  uint64_t offset = 0;  // bytes from the start of the file
  bool has_offset = false;
};

struct ScanReport {
  std::vector<ScannedGlobal> globals;
  std::vector<ScanFinding> findings;
  std::string_view content;    // what the bytes are: zip, tar, pickle, legacy, npy, safetensors ...
  std::string foreign;         // what else they are, in words, where that is known
  bool is_dangerous = false;   // something names what can run code
  bool is_incomplete = false;  // something could not be looked into
  uint64_t globals_dropped = 0;  // beyond what a report has room for
  uint64_t findings_dropped = 0;
};

// Rows of a report: what a hostile file can make of it is no larger.
inline constexpr size_t kMostGlobals = 4096, kMostFindings = 512;

// "1 byte", "2 bytes"
inline std::string bytes_text(uint64_t count) {
  return std::to_string(count) + (count == 1 ? " byte" : " bytes");
}

}  // namespace torchmap
