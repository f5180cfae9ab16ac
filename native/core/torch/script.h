// What the code of a TorchScript archive says of its classes: which attributes are parameters and
// which are buffers. data.pkl does not tell them apart. Two lines of each class are read, nothing
// else of the code, and nothing is run.
//
//   class Linear(Module):
//     __parameters__ = ["weight", "bias", ]
//     __buffers__ = []
//
// Source: torch/csrc/jit/serialization/python_print.cpp, printModuleMetadata, and
// torch/csrc/jit/serialization/import_source.cpp, importClass (v2.13). There only what these lists
// name is a parameter or a buffer: a class without the second line (torch 1.4 and 1.5) has no
// buffers for torch.jit.load of today either.
#pragma once

#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace torchmap {

struct ScriptClass {
  bool is_module = false;                        // else a plain class, which has no state dict
  std::vector<std::string> parameters, buffers;  // sorted

  bool has_parameter(std::string_view name) const;
  bool has_buffer(std::string_view name) const;
};

// Calls `visit(name, class)` for each class of one source text. A class whose lists cannot be read
// is left out.
void parse_script_classes(std::string_view source,
                          const std::function<void(std::string_view, ScriptClass)>& visit);

// Whether a global's module is that of a class in the archive's code.
inline bool is_script_module(std::string_view module) {
  return module == "__torch__" || module.starts_with("__torch__.");
}

// Classes by the index of their global.
class ScriptClasses {
 public:
  void add(uint32_t global, ScriptClass found) { classes_.emplace(global, std::move(found)); }
  const ScriptClass* find(uint32_t global) const {
    const auto found = classes_.find(global);
    return found == classes_.end() ? nullptr : &found->second;
  }

 private:
  std::map<uint32_t, ScriptClass> classes_;
};

}  // namespace torchmap
