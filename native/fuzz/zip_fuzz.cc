// Any bytes as an archive: every record found by its name, every payload read.
#include "core/archive/tar.h"
#include "core/archive/zip.h"
#include "fuzz/guarded.h"

using namespace torchmap;
using fuzz::require;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  fuzz::GuardedSource source(data, size);
  const Limits limits = fuzz::small_limits();

  auto zip = ZipArchive::read(source, limits);
  if (zip.ok()) {
    const auto& records = zip->records();
    require(records.size() <= limits.records && zip->directory_offset() <= size);
    uint64_t read = 0;
    for (uint32_t i = 0; i < records.size(); ++i) {
      if (const auto name = zip->name_in_root(records[i])) require(zip->find(*name) == i);
      auto offset = zip->payload_offset(source, i);
      if (!offset.ok()) continue;
      require(fits(*offset, records[i].stored_size, records[i].end));
      require(records[i].end <= zip->directory_offset());
      auto payload = zip->payload(source, i);
      if (!payload.ok()) continue;
      fuzz::touch(*payload);
      read += payload->size();
    }
    require(read <= size);  // payloads do not share bytes
  } else {
    require(!zip.status().failure().message.empty());
  }

  auto tar = read_tar(source, limits);
  if (tar.ok()) {
    for (const TarMember& member : *tar) {
      require(fits(member.offset, member.size, size));
      auto bytes = source.view(member.offset, member.size);
      require(bytes.ok());
      fuzz::touch(*bytes);
    }
  }
  return 0;
}
