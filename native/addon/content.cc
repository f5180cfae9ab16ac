// The decoded root, the weights in it, and the core's tables.
#include "addon/entries.h"
#include "addon/handle.h"
#include "addon/values.h"
#include "core/torch/state_dict.h"

namespace torchmap::addon {
namespace {

// Resolving values can make tensors and storages (numpy arrays, bare storages): then the tables go
// along.
class NewRows {
 public:
  explicit NewRows(Checkpoint& checkpoint)
      : checkpoint_(checkpoint),
        tensors_(checkpoint.catalog().tensors.size()),
        storages_(checkpoint.catalog().storages.size()) {}

  void add_to(Napi::Object result) const {
    const Catalog& catalog = checkpoint_.catalog();
    if (catalog.tensors.size() == tensors_ && catalog.storages.size() == storages_) return;
    Napi::Object tables = Napi::Object::New(result.Env());
    set_tables(tables, checkpoint_);
    result["tables"] = tables;
  }

 private:
  Checkpoint& checkpoint_;
  size_t tensors_, storages_;
};

}  // namespace

Napi::Value make_tape(const Napi::CallbackInfo& info) {
  Session& session = unwrap(info[0]);
  if (!session.checkpoint)
    return failure(info.Env(), Status(Code::kClosed, "the checkpoint is closed"));
  Checkpoint& checkpoint = *session.checkpoint;
  if (Status status = checkpoint.source().check_unchanged(); !status.ok()) {
    return failure(info.Env(), status);
  }
  const NewRows rows(checkpoint);
  const bool outline = info[1].ToBoolean();
  auto made = outline ? torchmap::make_outline(checkpoint.interpreter(), checkpoint.root())
                      : torchmap::make_tape(checkpoint.interpreter(), checkpoint.root());
  if (!made.ok()) return failure(info.Env(), made.status());
  Napi::Object result = tape(info.Env(), *made);
  rows.add_to(result);
  return result;
}

Napi::Value state_dict(const Napi::CallbackInfo& info) {
  Session& session = unwrap(info[0]);
  if (!session.checkpoint)
    return failure(info.Env(), Status(Code::kClosed, "the checkpoint is closed"));
  const bool has_path = info[1].IsString();
  const std::string path = has_path ? info[1].As<Napi::String>().Utf8Value() : std::string();
  if (Status status = session.checkpoint->source().check_unchanged(); !status.ok()) {
    return failure(info.Env(), status);
  }
  const NewRows rows(*session.checkpoint);
  Names names;
  const auto from = has_path ? std::optional<std::string_view>(path) : std::nullopt;
  Checkpoint& checkpoint = *session.checkpoint;
  Status status =
      torchmap::state_dict(checkpoint.interpreter(),
                           has_path ? checkpoint.root() : checkpoint.weights_root(), from, names);
  if (!status.ok()) return failure(info.Env(), status);
  Napi::Object result = Napi::Object::New(info.Env());
  result["names"] = packed_strings(info.Env(), names);
  result["distinct"] = names.are_distinct();
  result["named"] = words(info.Env(), names.tensors.data(), names.size());
  rows.add_to(result);
  return result;
}

// The deflated ones of the code records: { records: [{ name, deflated: ArrayBuffer, bytes }] }.
Napi::Value script_code(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  Session& session = unwrap(info[0]);
  if (!session.checkpoint) return failure(env, Status(Code::kClosed, "the checkpoint is closed"));
  if (Status status = session.checkpoint->source().check_unchanged(); !status.ok()) {
    return failure(env, status);
  }
  Napi::Object result = Napi::Object::New(env);
  Napi::Array rows = Napi::Array::New(env);
  result["records"] = rows;
  ScriptCode* code = session.checkpoint->code();
  if (code == nullptr) return result;
  auto records = code->records();
  if (!records.ok()) return failure(env, records.status());
  for (const ScriptCode::Record& record : *records) {
    if (!record.deflated) continue;
    Napi::Object row = Napi::Object::New(env);
    Napi::ArrayBuffer deflated = Napi::ArrayBuffer::New(env, record.stored.size());
    if (!record.stored.empty())
      std::memcpy(deflated.Data(), record.stored.data(), record.stored.size());
    row["name"] = Napi::String::New(env, std::string(record.name));
    row["deflated"] = deflated;
    row["bytes"] = static_cast<double>(record.bytes);
    rows[rows.Length()] = row;
  }
  return result;
}

// Takes them inflated; the tables, because parameters have a flag now.
Napi::Value classify(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  Session& session = unwrap(info[0]);
  if (!session.checkpoint) return failure(env, Status(Code::kClosed, "the checkpoint is closed"));
  Napi::Object result = Napi::Object::New(env);
  ScriptCode* code = session.checkpoint->code();
  if (code != nullptr) {
    const auto given = info[1].As<Napi::Array>();
    std::vector<std::string> names;
    std::vector<InflatedRecord> inflated;
    names.reserve(given.Length());  // never moves: `inflated` has views of it
    for (uint32_t i = 0; i < given.Length(); ++i) {
      const auto record = given.Get(i).As<Napi::Object>();
      names.push_back(record.Get("name").As<Napi::String>().Utf8Value());
      inflated.push_back({names.back(), bytes_of(record.Get("bytes"))});
    }
    if (Status status = code->classify(inflated); !status.ok()) return failure(env, status);
  }
  Napi::Object tables = Napi::Object::New(env);
  set_tables(tables, *session.checkpoint);
  result["tables"] = tables;
  return result;
}

Napi::Value tables(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  Napi::Object result = Napi::Object::New(env);
  Napi::Array dtypes = Napi::Array::New(env), codes = Napi::Array::New(env),
              opcodes = Napi::Array::New(env);
  Napi::Object limits = Napi::Object::New(env);
#define DTYPE(id, name, storage, bytes, swap, bits, kind) \
  dtypes[dtypes.Length()] = Napi::String::New(env, name);
#include "core/torch/dtypes.def"
#undef DTYPE
#define CODE(name, js, kind) codes[codes.Length()] = Napi::String::New(env, js);
#include "core/codes.def"
#undef CODE
#define LIMIT(member, js, value, reason) limits[js] = static_cast<double>(value);
#include "core/limits.def"
#undef LIMIT
#define OPCODE(name, byte, argument)                                 \
  {                                                                  \
    Napi::Array row = Napi::Array::New(env, 2);                      \
    row[0u] = Napi::String::New(env, #name);                         \
    row[1u] = static_cast<double>(static_cast<unsigned char>(byte)); \
    opcodes[opcodes.Length()] = row;                                 \
  }
#include "core/pickle/opcodes.def"
#undef OPCODE
  result["dtypes"] = dtypes;
  result["codes"] = codes;
  result["limits"] = limits;
  result["opcodes"] = opcodes;
  return result;
}

}  // namespace torchmap::addon
