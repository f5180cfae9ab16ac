// Checkpoints over tables that another thread or process read from the same file.
#include "addon/entries.h"
#include "addon/handle.h"
#include "addon/values.h"
#include "core/attached.h"

namespace torchmap::addon {
namespace {

// The tables in one piece of memory, one behind the other: those of numbers of 8 bytes, then those
// of 4, as lib/handle/pack.ts lists them. Live as long as the piece.
class PackedTables {
 public:
  PackedTables(const Napi::Value& tables, const Napi::Value& counts)
      : env_(tables.Env()), left_(bytes_of(tables)), counts_(counts.As<Napi::Float64Array>()) {}

  AttachedTables read() {
    AttachedTables tables;
    tables.dims = next<double>();
    tables.storages = next<double>();
    tables.places = next<double>();
    tables.quantizers = next<double>();
    tables.tensors = next<uint32_t>();
    tables.extras = next<uint32_t>();
    tables.parts = next<uint32_t>();
    tables.named = next<uint32_t>();
    next<uint32_t>();  // where names and keys end is for lib
    next<uint32_t>();
    tables.weights = next<uint32_t>();
    return tables;
  }

 private:
  template <typename T>
  std::span<const T> next() {
    const double number = index_ < counts_.ElementLength() ? counts_[index_++] : -1;
    const auto count = number >= 0 && number < 0x1p53 ? static_cast<uint64_t>(number) : UINT64_MAX;
    if (count > left_.size() / sizeof(T))
      throw Napi::RangeError::New(env_, "a table is not in its memory");
    const auto* first = reinterpret_cast<const T*>(left_.data());
    left_ = left_.subspan(static_cast<size_t>(count) * sizeof(T));
    return {first, static_cast<size_t>(count)};
  }

  Napi::Env env_;
  std::span<std::byte> left_;
  Napi::Float64Array counts_;
  size_t index_ = 0;
};

// `identity`: device, inode, size and mtimeNs, as 64-bit words.
bool is_same_file(const FileIdentity& found, const Napi::Value& identity) {
  const auto bytes = bytes_of(identity);
  const uint64_t words[] = {found.device, found.inode, found.size,
                            static_cast<uint64_t>(found.mtime_ns)};
  return bytes.size() == sizeof words && std::memcmp(bytes.data(), words, sizeof words) == 0;
}

}  // namespace

Napi::Value attach(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  auto source = open_file(info[0].As<Napi::String>().Utf8Value(), source_options(info[1]));
  if (!source.ok()) return failure(env, source.status());
  if (!is_same_file((*source)->identity(), info[2])) {
    return failure(env, Status(Code::kFileChanged,
                               "the file is no longer the one that the handle was made of"));
  }
  AttachedTables tables = PackedTables(info[3], info[4]).read();
  tables.devices = integer_of(info[5]);
  auto storages = check_attached(tables, (*source)->size());
  if (!storages.ok()) return failure(env, storages.status());
  Napi::Object result = Napi::Object::New(env);
  result["mapped"] = !(*source)->mapped().empty();
  result["handle"] = wrap(env, Checkpoint::attach(std::move(*source), std::move(*storages)));
  return result;
}

Napi::Value adopt(const Napi::CallbackInfo& info) {
  Session& session = unwrap(info[0]);
  Session& decoded = unwrap(info[1]);
  if (!session.checkpoint || !decoded.checkpoint)
    return failure(info.Env(), Status(Code::kClosed, "the checkpoint is closed"));
  session.windows->go_on_with(*decoded.checkpoint);
  session.checkpoint = std::move(decoded.checkpoint);
  decoded.windows.reset();
  return Napi::Object::New(info.Env());
}

// For each storage where its bytes begin in the file; -1 for those that do not lie there, or whose
// record cannot be found.
Napi::Value storage_offsets(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  Session& session = unwrap(info[0]);
  if (!session.checkpoint) return failure(env, Status(Code::kClosed, "the checkpoint is closed"));
  Checkpoint& checkpoint = *session.checkpoint;
  if (Status status = checkpoint.source().check_unchanged(); !status.ok())
    return failure(env, status);
  const std::vector<Storage>& storages = checkpoint.catalog().storages;
  std::vector<double> offsets(storages.size(), -1);
  for (uint32_t i = 0; i < storages.size(); ++i) {
    const StoragePlace place = storages[i].place;
    if (place != StoragePlace::kRecord && place != StoragePlace::kFile) continue;
    auto offset = checkpoint.storage_offset(i);
    if (offset.ok()) offsets[i] = static_cast<double>(*offset);
  }
  Napi::Object result = Napi::Object::New(env);
  result["offsets"] = reals(env, offsets.data(), offsets.size());
  return result;
}

}  // namespace torchmap::addon
