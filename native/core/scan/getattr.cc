#include "core/scan/getattr.h"

#include "core/scan/judgement.h"
#include "core/torch/globals.h"

namespace torchmap {
namespace {

// Attributes of functions and frames that lead to modules.
constexpr std::string_view kInner[] = {"func_", "f_", "gi_", "cr_", "ag_", "tb_", "co_", "im_"};

bool is_plain(const Pool& pool, const Node& call) {
  const Node& given = pool[call.b];
  if (call.c != 0 || given.tag != Tag::kTuple || given.a != 2) return false;
  const Node &object = pool[pool.words[given.b]], &name = pool[pool.words[given.b + 1]];
  if (name.tag != Tag::kStr || object.tag < Tag::kGlobal) return false;
  const std::string_view text = name.text();
  for (const std::string_view inner : kInner) {
    if (text.starts_with(inner)) return false;
  }
  const GlobalName of =
      object.tag == Tag::kGlobal ? pool.globals[object.a] : GlobalName{"?", "?", 0};
  const std::string path = std::string(of.name) + "." + std::string(text);
  return judge_global(of.module, path) != Judgement::kDangerous;
}

// Whether a node holds the global as an argument, an item, a key or state, for somebody else to
// call.
bool hands_on(const Pool& pool, NodeId id, uint32_t global) {
  const Node& node = pool[id];
  bool found = false;
  const auto look = [&](NodeId child) { found = found || Calls::global_of(pool, child) == global; };
  if (node.tag == Tag::kTuple || node.tag == Tag::kFrozenSet) {
    for (const uint32_t child : pool.tuple(id)) look(child);
  } else if (node.tag == Tag::kList || node.tag == Tag::kSet || node.tag == Tag::kDict) {
    pool.each(Pool::items_of(node), look);
  } else if (node.tag == Tag::kCall) {
    look(node.b);
  }
  if (node.tag < Tag::kGlobal) return found;
  const Extra& extra = pool.extra(id);
  for (const Items& items : {extra.states, extra.items, extra.entries}) pool.each(items, look);
  look(extra.kwargs);
  return found;
}

// Whether a call's function calls the first of what it is given.
bool calls_first(const Pool& pool, const Node& call) {
  const uint32_t index = Calls::global_of(pool, call.a);
  if (index == Calls::kNobody) return false;
  const GlobalName& named = pool.globals[index];
  return classify_global(named.module, named.name).kind == GlobalKind::kRebuildFromType;
}

bool all_plain(const Pool& pool, uint32_t global) {
  std::vector<bool> results(pool.nodes.size());
  for (NodeId id = Pool::kFirstOwn; id < pool.nodes.size(); ++id) {
    if (hands_on(pool, id, global)) return false;
    const Node& node = pool[id];
    if (node.tag != Tag::kCall) continue;
    if (results[node.a]) return false;
    const Node& given = pool[node.b];
    const bool first = given.tag == Tag::kTuple && given.a > 0 && results[pool.words[given.b]];
    if (first && calls_first(pool, node)) return false;
    results[id] = Calls::global_of(pool, node.a) == global;
    if (results[id] && !is_plain(pool, node)) return false;
  }
  return true;
}

}  // namespace

uint32_t plain_getattr(const Pool& pool, const Calls& calls) {
  uint32_t found = Calls::kNobody;
  for (uint32_t i = 0; i < pool.globals.size(); ++i) {
    const GlobalName& named = pool.globals[i];
    const bool builtin = named.module == "builtins" || named.module == "__builtin__";
    if (builtin && named.name == "getattr" && calls.is_called(i)) found = i;
  }
  return found == Calls::kNobody || all_plain(pool, found) ? found : Calls::kNobody;
}

}  // namespace torchmap
