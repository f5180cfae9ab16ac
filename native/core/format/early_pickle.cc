#include "core/format/early_pickle.h"

#include "core/archive/zip_directory.h"

namespace torchmap {
namespace {

// Bytes of a directory that take longer to read than a thread takes to start: some 1,500 records.
constexpr uint64_t kWorthThread = uint64_t{128} << 10;
// Records among which the pickle is looked for: torch writes it first.
constexpr uint64_t kLookedAt = 8;

}  // namespace

EarlyPickle::EarlyPickle(Source& source, Pool& pool, const DecodeOptions& options)
    : pool_(pool), options_(options) {
  if (source.mapped().empty() || useful_threads() == 1) return;
  auto place = find_zip_directory(source);
  if (!place.ok() || place->size < kWorthThread) return;
  auto archive = ZipArchive::read_first(source, *place, kLookedAt);
  if (!archive.ok()) return;
  const uint32_t index = archive->find("data.pkl");
  if (index == ZipArchive::kNone || archive->records()[index].method != 0) return;
  auto offset = archive->payload_offset(source, index);
  auto pickle = archive->payload(source, index);
  if (!offset.ok() || !pickle.ok()) return;
  options_.base_offset = *offset;
  pickle_ = *pickle;
}

Status EarlyPickle::decode() {
  decoded_.emplace(decode_pickle(pickle_, pool_, options_));
  return {};  // whether it matters is not known yet
}

std::optional<Result<Decoded>> EarlyPickle::take(ByteSpan pickle) {
  if (!decoded_) return std::nullopt;
  if (pickle.data() == pickle_.data() && pickle.size() == pickle_.size())
    return std::move(decoded_);
  pool_.clear();
  return std::nullopt;
}

}  // namespace torchmap
