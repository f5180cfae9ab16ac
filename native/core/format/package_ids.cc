#include "core/format/package_ids.h"

namespace torchmap {
namespace {

constexpr std::string_view kStorageSuffix = ".storage";
// The ids of TorchScript modules are counted; longer text, shared by many, would cost to compare.
constexpr size_t kLongestScript = 32;

// A persistent id that says how to make an object.
struct Reduced {
  NodeId tuple, function, arguments;
};

std::optional<Reduced> reduced(const Pool& pool, NodeId persistent) {
  if (pool[persistent].tag != Tag::kPersistent) return std::nullopt;
  const NodeId tuple = pool.target(pool[persistent].a);
  if (pool[tuple].tag != Tag::kTuple || pool[tuple].a < 3 || pool[tuple].a > 4) return std::nullopt;
  const auto items = pool.tuple(tuple);
  const Node& type = pool[pool.target(items[0])];
  if (type.tag != Tag::kStr) return std::nullopt;
  if (type.text() != "reduce_package" && type.text() != "reduce_deploy") return std::nullopt;
  const Reduced out{tuple, items[items.size() - 2], pool.target(items[items.size() - 1])};
  if (pool[pool.target(out.function)].tag != Tag::kGlobal) return std::nullopt;
  if (pool[out.arguments].tag != Tag::kTuple) return std::nullopt;
  return out;
}

bool calls(const Pool& pool, const Reduced& object, std::string_view module,
           std::string_view name) {
  const GlobalName& global = pool.globals[pool[pool.target(object.function)].a];
  return global.module == module && global.name == name;
}

// The id of the TorchScript module that is meant, the only argument.
// Source: torch/jit/_script.py, unpackage_script_module (v2.13).
std::optional<std::string_view> script_of(const Pool& pool, const Reduced& object) {
  if (!calls(pool, object, "torch.jit._script", "unpackage_script_module")) return std::nullopt;
  const auto arguments = pool.tuple(object.arguments);
  if (arguments.empty()) return std::nullopt;
  const Node& id = pool[pool.target(arguments[0])];
  if (id.tag != Tag::kStr || id.text().size() > kLongestScript) return std::nullopt;
  return id.text();
}

// A call of the function. An fx.GraphModule gives its attributes as the first argument; they
// become its state, so that it is named like other modules.
// Source: torch/fx/graph_module.py, __reduce_package__ (v2.13).
NodeId make_call(Pool& pool, const Reduced& object) {
  const auto given = pool.tuple(object.arguments);
  const bool is_graph =
      calls(pool, object, "torch.fx.graph_module", "reduce_package_graph_module") &&
      !given.empty() && pool[pool.target(given[0])].tag == Tag::kDict;
  const auto kind = static_cast<uint8_t>(CallKind::kReduce);
  if (!is_graph)
    return pool.add(Node::words(Tag::kCall, object.function, object.arguments, 0, kind));
  const std::vector<NodeId> arguments(given.begin(), given.end());
  const NodeId rest =
      pool.add_tuple(arguments.data() + 1, static_cast<uint32_t>(arguments.size() - 1));
  const NodeId call = pool.add(Node::words(Tag::kCall, object.function, rest, 0, kind));
  pool.append(pool.make_extra(call).states, arguments.data(), 1);
  return call;
}

}  // namespace

std::string_view PackageIds::key_of(std::string_view written) const {
  if (written.ends_with(kStorageSuffix)) written.remove_suffix(kStorageSuffix.size());
  return written;
}

std::set<std::string_view> PackageIds::scripts_in(const Pool& pool) {
  std::set<std::string_view> ids;
  for (size_t i = 0; i < pool.nodes.size(); ++i) {
    const auto object = reduced(pool, static_cast<NodeId>(i));
    const auto id = object ? script_of(pool, *object) : std::nullopt;
    if (id) ids.insert(*id);
  }
  return ids;
}

Result<Persistent> PackageIds::resolve(Interpreter& interpreter, NodeId node) {
  Pool& pool = interpreter.pool();
  const auto object = reduced(pool, node);
  if (!object) return StorageIds::resolve(interpreter, node);
  if (const auto id = script_of(pool, *object)) {
    const auto script = scripts_.find(*id);
    if (script == scripts_.end()) {
      return Status(Code::kUnsupportedFormat,
                    "the TorchScript module '" + std::string(*id) + "' of the package is not read")
          .about("TorchScript in torch.package");
    }
    return Persistent{Persistent::kAlias, script->second};
  }
  // The pickler writes the tuple once for each object, however often that is named.
  const auto [known, fresh] = objects_.try_emplace(object->tuple, 0);
  if (fresh) known->second = make_call(pool, *object);
  return Persistent{Persistent::kAlias, known->second};
}

}  // namespace torchmap
