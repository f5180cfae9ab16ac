#include "core/scan/judgement.h"

#include <algorithm>
#include <iterator>

#include "core/name_table.h"
#include "core/torch/globals.h"

namespace torchmap {
namespace {

struct NamedRow {
  std::string_view module, name;
};

constexpr bool before(const NamedRow& a, const NamedRow& b) {
  return a.module != b.module ? a.module < b.module : a.name < b.name;
}

constexpr NamedRow kSafe[] = {
#define SAFE(module, name) {module, name},
#include "core/scan/safe_globals.def"
#undef SAFE
};
constexpr NamedRow kUndecided[] = {
#define UNDECIDED(module, name) {module, name},
#include "core/scan/undecided_globals.def"
#undef UNDECIDED
};
constexpr std::string_view kDangerous[] = {
#define DANGEROUS(path) path,
#include "core/scan/dangerous_globals.def"
#undef DANGEROUS
};
static_assert(std::is_sorted(std::begin(kSafe), std::end(kSafe), before));
static_assert(std::is_sorted(std::begin(kUndecided), std::end(kUndecided), before));
static_assert(std::is_sorted(std::begin(kDangerous), std::end(kDangerous)));

// Modules that no package has one of its own called like: also in the middle of a path they are
// what they are called.
constexpr std::string_view kAnywhere[] = {
    "__builtin__", "__builtins__", "builtins", "ctypes", "importlib", "marshal",    "nt",
    "os",          "posix",        "runpy",    "shutil", "socket",    "subprocess", "sys"};

constexpr NameTable kSafeNames(kSafe);
constexpr NameTable kUndecidedNames(kUndecided);

bool is_undecided(const GlobalName& global) {
  return kUndecidedNames.find(global.module, global.name) != nullptr;
}

bool is_dangerous_path(std::string_view path) {
  return std::binary_search(std::begin(kDangerous), std::end(kDangerous), path);
}

// Calls `visit(part)` for the parts between dots until one answers yes.
template <typename Visit>
bool any_part(std::string_view path, Visit&& visit) {
  for (;;) {
    const size_t dot = path.find('.');
    if (visit(path.substr(0, dot))) return true;
    if (dot == std::string_view::npos) return false;
    path.remove_prefix(dot + 1);
  }
}

bool is_pythons_own(std::string_view part) {
  return part.size() > 4 && part.starts_with("__") && part.ends_with("__");
}

bool starts_below(std::string_view text, std::string_view path) {
  return text.size() > path.size() && text.starts_with(path) && text[path.size()] == '.';
}

// Whether something in the tables lies below this path, which makes it a module.
bool is_module(std::string_view path) {
  const std::string below = std::string(path) + ".";
  const auto dangerous = std::lower_bound(std::begin(kDangerous), std::end(kDangerous), below);
  if (dangerous != std::end(kDangerous) && starts_below(*dangerous, path)) return true;
  // Between a module and those below it stand only names that go on with less than a dot.
  const auto safe =
      std::lower_bound(std::begin(kSafe), std::end(kSafe), NamedRow{path, {}}, before);
  if (safe != std::end(kSafe) && safe->module == path) return true;
  const auto inside =
      std::lower_bound(std::begin(kSafe), std::end(kSafe), NamedRow{below, {}}, before);
  return inside != std::end(kSafe) && starts_below(inside->module, path);
}

bool is_dangerous(const GlobalName& global) {
  const std::string path = std::string(global.module) + "." + std::string(global.name);
  for (size_t end = path.find('.'); end != std::string::npos; end = path.find('.', end + 1)) {
    if (is_dangerous_path(std::string_view(path).substr(0, end))) return true;
  }
  if (is_dangerous_path(path) || is_module(path)) return true;
  const auto anywhere = [](std::string_view part) {
    return std::binary_search(std::begin(kAnywhere), std::end(kAnywhere), part);
  };
  if (any_part(global.module, anywhere)) return true;
  return any_part(global.name, [](std::string_view part) {
    return is_dangerous_path(part) || is_pythons_own(part) || is_module(part);
  });
}

bool is_safe(const GlobalName& global) {
  // Anything can be called __main__.IntList; globals.def means the one of a TorchScript file.
  if (global.module == "__main__") return false;
  if (kSafeNames.find(global.module, global.name) != nullptr) return true;
  if (classify_global(global.module, global.name).kind == GlobalKind::kUnknown) return false;
  // Some are known by rule, whatever goes on behind a dot.
  return global.name.find('.') == std::string_view::npos &&
         (global.module != "torch.return_types" || !is_dangerous(global));
}

}  // namespace

Judgement judge_global(std::string_view module, std::string_view name) {
  const GlobalName written{module, name, 0};
  if (is_undecided(written)) return Judgement::kUnknown;
  if (is_safe(written)) return Judgement::kSafe;
  const GlobalName meant = python3_name(written);
  if (meant.module != module || meant.name != name) {
    if (is_undecided(meant)) return Judgement::kUnknown;
    if (is_safe(meant)) return Judgement::kSafe;
    if (is_dangerous(meant)) return Judgement::kDangerous;
  }
  return is_dangerous(written) ? Judgement::kDangerous : Judgement::kUnknown;
}

}  // namespace torchmap
