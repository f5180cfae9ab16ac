#include "core/torch/globals.h"

#include <algorithm>

#include "core/name_table.h"

namespace torchmap {
namespace {

struct Row {
  std::string_view module, name;
  GlobalKind kind;
};

// torch.<X>Storage, torch.cuda.<X>Storage and the untyped classes with their old spellings.
GlobalMeaning classify_storage(std::string_view module, std::string_view name) {
  if (!name.ends_with("Storage")) return {};
  name.remove_suffix(7);
  const bool torch = module == "torch" || module == "torch.cuda" || module == "torch.storage" ||
                     module == "torch.xpu";
  if (!torch) return {};
  if (name == "Untyped" || name == "_Untyped") return {GlobalKind::kUntypedStorage, DType::kUInt8};
  if (name == "Typed" || name == "_Typed") return {GlobalKind::kInert, DType::kUInt8};
  if (auto dtype = dtype_by_class(name)) return {GlobalKind::kStorage, *dtype};
  return {};
}

GlobalMeaning classify_tensor_class(std::string_view module, std::string_view name) {
  if (!name.ends_with("Tensor") || name.size() == 6) return {};
  const bool sparse = module == "torch.sparse" || module == "torch.cuda.sparse";
  if (!sparse && module != "torch" && module != "torch.cuda") return {};
  const auto dtype = dtype_by_class(name.substr(0, name.size() - 6));
  if (!dtype) return {};
  return {sparse ? GlobalKind::kSparseTensor : GlobalKind::kTypedTensor, *dtype};
}

// uint1..uint7, int1..int7: dtypes torchao's subclasses name; no storage holds them.
bool is_shell_dtype(std::string_view name) {
  if (name.starts_with("u")) name.remove_prefix(1);
  return name.size() == 4 && name.starts_with("int") && name[3] >= '1' && name[3] <= '7';
}

GlobalMeaning classify_torch_constant(std::string_view module, std::string_view name) {
  // Classes of TorchScript: names inside the archive, not of Python.
  if (module == "__torch__" || module.starts_with("__torch__.")) {
    return {GlobalKind::kInert, DType::kUInt8};
  }
  // Named tuples of max, sort and the like: ((values...), {}).
  if (module == "torch.return_types") return {GlobalKind::kSequence, DType::kUInt8};
  if (module != "torch") return {};
  if (auto dtype = dtype_by_name(name)) return {GlobalKind::kDType, *dtype};
  if (is_shell_dtype(name)) return {GlobalKind::kShellDType, DType::kUInt8};
  if (name.starts_with("per_tensor_") || name.starts_with("per_channel_"))
    return {GlobalKind::kQScheme, DType::kUInt8};
  return {};
}

}  // namespace

GlobalMeaning classify_global(std::string_view module, std::string_view name) {
  static constexpr Row kRows[] = {
#define GLOBAL(module, name, kind) {module, name, GlobalKind::k##kind},
#include "core/torch/globals.def"
#undef GLOBAL
  };
  static constexpr NameTable kTable(kRows);
  if (const Row* row = kTable.find(module, name)) return {row->kind, DType::kUInt8};
  for (auto rule : {classify_storage, classify_tensor_class, classify_torch_constant}) {
    if (GlobalMeaning meaning = rule(module, name); meaning.kind != GlobalKind::kUnknown)
      return meaning;
  }
  return {};
}

GlobalName python3_name(GlobalName global) {
  struct Rename {
    std::string_view module, name, module3, name3;  // an empty name stands for any
  };
  static constexpr Rename kRenames[] = {
      {"__builtin__", "xrange", "builtins", "range"},
      {"__builtin__", "unicode", "builtins", "str"},
      {"__builtin__", "long", "builtins", "int"},
      {"__builtin__", "unichr", "builtins", "chr"},
      {"__builtin__", "intern", "sys", "intern"},
      {"__builtin__", "reduce", "functools", "reduce"},
      {"itertools", "izip", "builtins", "zip"},
      {"itertools", "imap", "builtins", "map"},
      {"UserDict", "IterableUserDict", "collections", "UserDict"},
      {"UserList", "UserList", "collections", "UserList"},
      {"__builtin__", "", "builtins", ""},
      {"copy_reg", "", "copyreg", ""},
      {"exceptions", "", "builtins", ""},
      {"Queue", "", "queue", ""},
      {"cPickle", "", "pickle", ""},
      {"SocketServer", "", "socketserver", ""},
      {"ConfigParser", "", "configparser", ""},
      {"repr", "", "reprlib", ""},
      {"UserDict", "", "collections", ""},
      {"UserString", "", "collections", ""},
      {"whichdb", "", "dbm", ""},
      {"anydbm", "", "dbm", ""},
      {"StringIO", "", "io", ""},
      {"cStringIO", "", "io", ""},
      {"commands", "", "subprocess", ""},
      {"urlparse", "", "urllib.parse", ""},
      {"httplib", "", "http.client", ""},
      {"urllib2", "", "urllib.request", ""},
      {"thread", "", "_thread", ""},
      {"dummy_thread", "", "_dummy_thread", ""},
  };
  for (const Rename& rename : kRenames) {
    if (rename.module != global.module || (!rename.name.empty() && rename.name != global.name))
      continue;
    return {rename.module3, rename.name.empty() ? global.name : rename.name3, global.offset};
  }
  return global;
}

}  // namespace torchmap
