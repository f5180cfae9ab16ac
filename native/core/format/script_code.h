// The code of a TorchScript archive, as far as it says which tensors are parameters and buffers:
// code/__torch__/a/b.py has the classes that data.pkl calls __torch__.a.b.Name, mangled ones
// (__torch__.a.b.___torch_mangle_3.Name) in a record of their own. Source:
// torch/csrc/jit/serialization/import_export_helpers.cpp, qualifierToArchivePath (v2.13).
//
// Nearly all of these records are deflated, so reading them needs the caller, and many users never
// ask what they say. So nothing here happens while a checkpoint is opened; later all records are
// asked for at once. Only those are that classes of objects with tensors are in.
#pragma once

#include <vector>

#include "core/archive/zip.h"
#include "core/torch/interpreter.h"

namespace torchmap {

class ScriptCode {
 public:
  // All three outlive this. The root has been walked: what is a tensor is known.
  ScriptCode(Source& source, const ZipArchive& archive, Interpreter& interpreter)
      : source_(source), archive_(archive), interpreter_(interpreter) {}

  struct Record {
    std::string_view name;  // as in the archive
    ByteSpan stored;        // its payload: deflated, if `deflated`
    uint64_t bytes = 0;     // once inflated
    bool deflated = false;
    std::vector<uint32_t> globals;  // classes to look for in it
  };
  // The records that are needed, `inflated_bytes` of them at most. A record that is not there or
  // cannot be read is left out: then objects of its classes are taken as they are. kLimitWork.
  Result<std::span<const Record>> records();

  // Reads the records, deflated ones from `inflated`, where those that are missing or of another
  // size than the archive says are left out; then state_dict() tells parameters and buffers from
  // other attributes, and parameters have kIsParameter. Does nothing the second time.
  Status classify(std::span<const InflatedRecord> inflated);

 private:
  Status find_classes(std::vector<bool>& needed);
  Status find_records();
  Status flag_parameters(const ScriptClasses& classes);
  template <typename Visit>
  Status each_object(Visit&& visit);

  Source& source_;
  const ZipArchive& archive_;
  Interpreter& interpreter_;
  bool found_ = false, classified_ = false;
  std::vector<Record> records_;
  ScriptClasses classes_;
};

}  // namespace torchmap
