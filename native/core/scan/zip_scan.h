// The records of a zip archive, and what lies between them.
#pragma once

#include "core/scan/scanner.h"

namespace torchmap {

class ZipScan {
 public:
  ZipScan(Scanner& scanner, Source& source, const PicklePlace& place)
      : scanner_(scanner), source_(source), place_(place) {}

  Status run();

 private:
  struct Payload {
    uint64_t offset = 0, size = 0;  // bytes in the archive
    bool known = false;
  };

  Status refused(const Status& why);
  Status sweep();
  Status local_header(uint64_t offset, uint64_t& done);
  Status find_payloads();
  Status all_records();
  Status record(uint32_t index);
  Status deflated(uint32_t index);
  Result<bool> begins_loadable(const Payload& place);
  Status gaps();
  Status gap(uint64_t from, uint64_t to, const char* where);
  Status tail();
  void count_code();
  void disagreement(std::string message, std::string_view record, uint64_t offset);
  bool is_elements(const Record& row) const;
  PicklePlace inside(std::string_view record, uint64_t offset, bool in_file) const;

  Scanner& scanner_;
  Source& source_;
  const PicklePlace& place_;
  std::optional<ZipArchive> archive_;
  std::vector<Payload> payloads_;
};

}  // namespace torchmap
