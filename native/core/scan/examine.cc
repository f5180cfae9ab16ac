#include "core/scan/examine.h"

#include <algorithm>
#include <charconv>

#include "core/archive/foreign.h"
#include "core/scan/calls.h"
#include "core/scan/getattr.h"
#include "core/text.h"
#include "core/torch/globals.h"

namespace torchmap {
namespace {

constexpr std::string_view kDangerousRule = "safe/dangerous-global",
                           kUnknownRule = "safe/unknown-global",
                           kComputedRule = "safe/computed-global";
// Shortest text that could be a pickle which names something: "ca\nb\n."
constexpr size_t kShortestPickle = 6;

bool is_identifier(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
         c == '.' || static_cast<uint8_t>(c) >= 0x80;
}

bool is_path(std::string_view text) {
  return !text.empty() && std::all_of(text.begin(), text.end(), is_identifier);
}

class Examination {
 public:
  Examination(const Pool& pool, ByteSpan pickle, const PicklePlace& place, bool garbled,
              ScanReport& report, StorageUses& storages)
      : pool_(pool),
        pickle_(pickle),
        place_(place),
        garbled_(garbled),
        report_(report),
        storages_(storages),
        calls_(pool),
        getattr_(plain_getattr(pool, calls_)),
        texts_(pool.globals.size(), kNone) {}

  std::vector<CarriedBytes> run() {
    if (report_.globals.empty())
      report_.globals.reserve(std::min(pool_.globals.size(), kMostGlobals));
    for (uint32_t i = 0; i < pool_.globals.size(); ++i) {
      if (garbled_ && !is_computed(pool_.globals[i]) && !is_plausible(pool_.globals[i])) continue;
      add_global(i);
    }
    for (NodeId id = Pool::kFirstOwn; id < pool_.nodes.size(); ++id) look_at(id);
    std::erase_if(carried_, [&](const CarriedBytes& row) {
      return !row.is_loaded && loaded_.contains(row.node);
    });
    return std::move(carried_);
  }

 private:
  static constexpr uint32_t kNone = 0xFFFFFFFF;

  void add_global(uint32_t index);
  size_t fresh_bytes(uint32_t index, const CallChain& chain) const;
  ScannedGlobal* room_for(Judgement judgement, uint32_t index, const CallChain& chain);
  void say(uint32_t index, const ScannedGlobal& global, const CallChain& chain);
  uint32_t text_of(uint32_t index);
  uint32_t text_of_record();
  void look_at(NodeId id);
  void look_at_state(NodeId id);
  void look_at_extension(const Node& node);
  void look_at_id(NodeId id);
  void look_at_call(NodeId id);
  void carry(NodeId id, uint64_t offset, bool is_loaded);
  void look_at_array(const GlobalName& wrapper);
  void look_at_bytes(NodeId id);
  void use_storage(std::string_view key, uint32_t type, int64_t numel);
  void use_storage(std::string_view key, const GlobalName& type, int64_t numel);
  bool use_written_storage(std::string_view id);
  bool is_literal(NodeId id) const;
  std::optional<std::string> bytes_of(NodeId id) const;
  bool is_global(NodeId id, std::string_view module, std::string_view name) const;
  uint64_t where(uint64_t offset) const { return offset - place_.base; }

  const Pool& pool_;
  const ByteSpan pickle_;
  const PicklePlace& place_;
  const bool garbled_;
  ScanReport& report_;
  StorageUses& storages_;
  Calls calls_;
  std::vector<CarriedBytes> carried_;
  std::set<NodeId> loaded_, encoded_;  // bytes that were carried, once
  std::set<uint32_t> extensions_;
  const uint32_t getattr_;       // its global, where all its calls are plain
  std::vector<uint32_t> texts_;  // of the globals' names, once one is asked for
  uint32_t record_ = kNone;      // text of the place's, once it is asked for
  bool has_foreign_id_ = false, has_array_ = false;
};

uint32_t Examination::text_of(uint32_t index) {
  uint32_t& known = texts_[index];
  if (known == kNone) known = report_.add_name(pool_.globals[index]);
  return known;
}

uint32_t Examination::text_of_record() {
  if (record_ != kNone) return record_;
  // Mostly that of the pickle before.
  if (!report_.globals.empty() && report_.record_of(report_.globals.back()) == place_.record) {
    record_ = report_.globals.back().record;
  } else {
    record_ = report_.add_text(place_.record);
  }
  return record_;
}

void Examination::add_global(uint32_t index) {
  const GlobalName& named = pool_.globals[index];
  ScannedGlobal global;
  global.judgement =
      is_computed(named) ? Judgement::kDangerous : judge_global(named.module, named.name);
  global.is_called = calls_.is_called(index);
  if (index == getattr_) global.judgement = Judgement::kUnknown;
  // What loads bytes is safe where it can be seen what it is given.
  if (named.module == "torch.storage" && named.name == "_load_from_bytes" && !global.is_called)
    global.judgement = Judgement::kDangerous;
  const CallChain chain = calls_.chain(index);
  global.offset = where(named.offset);
  if (global.judgement != Judgement::kSafe) say(index, global, chain);
  if (global.judgement == Judgement::kDangerous) report_.is_dangerous = true;
  global.record = text_of_record();
  ScannedGlobal* const room = room_for(global.judgement, index, chain);
  if (room == nullptr) return;
  global.name = text_of(index);
  global.first_link = static_cast<uint32_t>(report_.links.size());
  global.link_count = static_cast<uint32_t>(chain.size());
  for (const uint32_t link : chain) report_.links.push(text_of(link));
  *room = global;
}

// Bytes of names that the report has not.
size_t Examination::fresh_bytes(uint32_t index, const CallChain& chain) const {
  const auto bytes = [&](uint32_t named) {
    const GlobalName& global = pool_.globals[named];
    return texts_[named] == kNone ? global.module.size() + 1 + global.name.size() : 0;
  };
  size_t sum = bytes(index);
  for (const uint32_t link : chain) sum += link == index ? 0 : bytes(link);
  return sum;
}

// Where the next one is listed, if it is. A pickle can name a global by a short reference to long
// texts.
ScannedGlobal* Examination::room_for(Judgement judgement, uint32_t index, const CallChain& chain) {
  std::vector<ScannedGlobal>& globals = report_.globals;
  const bool fits = report_.texts.text.size() + fresh_bytes(index, chain) <= kMostTextBytes;
  if (fits && globals.size() < kMostGlobals) return &globals.emplace_back();
  ++report_.globals_dropped;
  if (!fits || judgement == Judgement::kSafe || report_.globals_dropped >= kMostGlobals)
    return nullptr;
  // What matters takes the place of what does not.
  const auto safe = std::find_if(globals.rbegin(), globals.rend(),
                                 [](const auto& row) { return row.judgement == Judgement::kSafe; });
  return safe == globals.rend() ? nullptr : &*safe;
}

void Examination::say(uint32_t index, const ScannedGlobal& global, const CallChain& chain) {
  const GlobalName& named = pool_.globals[index];
  const auto shown = [&](uint32_t link) { return shown_name(pool_.globals[link]); };
  std::string message;
  if (is_computed(named)) {
    message = "a global is named by texts that the pickle computes";
    if (chain.size() > 1) message += ", for " + shown(*chain.begin());
  } else {
    message = "the pickle ";
    message += global.is_called ? "calls " : "names ";
    message += shown(index);
    if (chain.size() > 1) {
      message += ", inside a call of ";
      for (const uint32_t* link = chain.begin(); link + 1 != chain.end(); ++link)
        message += (link == chain.begin() ? "" : " > ") + shown(*link);
    }
  }
  const std::string_view rule = is_computed(named)                          ? kComputedRule
                                : global.judgement == Judgement::kDangerous ? kDangerousRule
                                                                            : kUnknownRule;
  add_finding(report_, rule, std::move(message), place_, global.offset);
}

bool Examination::is_global(NodeId id, std::string_view module, std::string_view name) const {
  const uint32_t index = Calls::global_of(pool_, id);
  return index != Calls::kNobody && pool_.globals[index].module == module &&
         pool_.globals[index].name == name;
}

void Examination::look_at(NodeId id) {
  const Node& node = pool_[id];
  switch (node.tag) {
    case Tag::kGlobal:
      if (node.c != 0) look_at_state(id);
      break;
    case Tag::kExtension:
      look_at_extension(node);
      break;
    case Tag::kPersistent:
      look_at_id(id);
      break;
    case Tag::kTensorCall: {
      const TensorCall call = pool_.tensor_call(id);
      use_storage(call.key, pool_[pool_.contexts[node.b].type].a, call.numel);
      break;
    }
    case Tag::kCall:
      look_at_call(id);
      break;
    case Tag::kBytes:
    case Tag::kByteArray:
      look_at_bytes(id);
      break;
    case Tag::kStr:
      if ((node.flags & kPython2) != 0) look_at_bytes(id);
      break;
    default:
      break;
  }
}

// An object of its own has state; a class or module that is given some is changed for everybody.
void Examination::look_at_state(NodeId id) {
  const GlobalName& named = pool_.globals[pool_[id].a];
  if (garbled_ && !is_plausible(named)) return;
  report_.is_dangerous = true;
  add_finding(report_, kDangerousRule,
              "the pickle sets attributes or items of " + shown_name(named) +
                  " itself, which is a class, function or module",
              place_, where(named.offset));
}

void Examination::look_at_extension(const Node& node) {
  if (!extensions_.insert(node.a).second) return;
  const std::string name = "copyreg extension " + std::to_string(node.a);
  add_finding(report_, kUnknownRule,
              "the pickle names " + name + ", whose class is known where it is loaded only", place_,
              place_.offset);
  if (report_.globals.size() >= kMostGlobals) return;
  ScannedGlobal global;
  global.record = text_of_record();
  global.name = report_.add_text(name);
  global.offset = place_.offset;
  report_.globals.push_back(global);
}

// An id as protocol 0 writes it: ('storage', <class 'torch.FloatStorage'>, '0', 'cpu', 3).
bool Examination::use_written_storage(std::string_view id) {
  std::vector<std::string_view> texts;
  size_t at = 0;
  while (texts.size() < 4) {
    const size_t open = id.find('\'', at);
    const size_t close = open == std::string_view::npos ? open : id.find('\'', open + 1);
    if (close == std::string_view::npos) return false;
    texts.push_back(id.substr(open + 1, close - open - 1));
    at = close + 1;
  }
  const size_t dot = texts[1].rfind('.');
  if (texts[0] != "storage" || dot == std::string_view::npos) return false;
  const size_t digit = id.find_first_of("0123456789", at);
  int64_t numel = 0;
  if (digit == std::string_view::npos ||
      std::from_chars(id.data() + digit, id.data() + id.size(), numel).ec != std::errc()) {
    return false;
  }
  use_storage(texts[2], GlobalName{texts[1].substr(0, dot), texts[1].substr(dot + 1), 0}, numel);
  return true;
}

void Examination::use_storage(std::string_view key, uint32_t type, int64_t numel) {
  use_storage(key, pool_.globals[type], numel);
}

void Examination::use_storage(std::string_view key, const GlobalName& type, int64_t numel) {
  const GlobalMeaning meant = classify_global(type.module, type.name);
  if (meant.kind != GlobalKind::kStorage && meant.kind != GlobalKind::kUntypedStorage) return;
  const auto bytes =
      checked_mul(static_cast<uint64_t>(std::max<int64_t>(numel, 0)), info(meant.dtype).bytes);
  uint64_t& known = storages_[std::string(key)];
  known = std::max(known, bytes.value_or(UINT64_MAX));
}

void Examination::look_at_id(NodeId id) {
  const Node& name = pool_[pool_[id].a];
  if (name.tag == Tag::kTuple && name.a >= 2) {
    const auto items = pool_.tuple(pool_[id].a);
    const Node& word = pool_[items[0]];
    const std::string_view kind = word.tag == Tag::kStr ? word.text() : std::string_view();
    if (kind == "storage" && items.size() >= 5) {
      const Node &type = pool_[items[1]], &key = pool_[items[2]], &numel = pool_[items[4]];
      if (type.tag == Tag::kGlobal && numel.tag == Tag::kInt) {
        if (key.tag == Tag::kStr) use_storage(key.text(), type.a, numel.integer);
        if (key.tag == Tag::kInt) use_storage(std::to_string(key.integer), type.a, numel.integer);
      }
      return;
    }
    if (kind == "module" || kind == "storage" || kind == "reduce_package") return;
  }
  // torch 0.1 numbers tensors and storages; protocol 0 writes ids as text.
  if (name.tag == Tag::kInt) return;
  if (name.tag == Tag::kStr && use_written_storage(name.text())) return;
  if (name.tag == Tag::kStr && std::all_of(name.text().begin(), name.text().end(),
                                           [](char c) { return c >= '0' && c <= '9'; }))
    return;
  if (name.tag == Tag::kTuple && name.a >= 1) {
    if (pool_[pool_.tuple(pool_[id].a)[0]].tag == Tag::kGlobal) return;
  }
  if (std::exchange(has_foreign_id_, true)) return;
  add_finding(
      report_, "safe/persistent-id",
      "the pickle has a persistent id that names no storage, for whoever loads it to resolve",
      place_, place_.offset);
}

// Whether the pickle has the bytes that a node stands for as they are.
bool Examination::is_literal(NodeId id) const {
  const Node& node = pool_[id];
  if (node.tag == Tag::kStr) return (node.flags & kPython2) != 0;
  if (node.tag == Tag::kBytes || node.tag == Tag::kByteArray) return true;
  // Protocols 0 to 2 spell bytes as Latin-1 text.
  if (node.tag != Tag::kCall || !is_global(node.a, "_codecs", "encode")) return false;
  const Node& given = pool_[node.b];
  if (given.tag != Tag::kTuple || given.a != 2) return false;
  const Node &text = pool_[pool_.words[given.b]], &encoding = pool_[pool_.words[given.b + 1]];
  return text.tag == Tag::kStr && encoding.tag == Tag::kStr &&
         (encoding.text() == "latin1" || encoding.text() == "latin-1");
}

std::optional<std::string> Examination::bytes_of(NodeId id) const {
  if (!is_literal(id)) return std::nullopt;
  const Node& node = pool_[id];
  if (node.tag != Tag::kCall) return std::string(node.text());
  std::string out;
  if (!utf8_to_latin1(pool_[pool_.words[pool_[node.b].b]].text(), out)) return std::nullopt;
  return out;
}

void Examination::carry(NodeId id, uint64_t offset, bool is_loaded) {
  // Shared bytes are looked into once, however often they are used.
  if (!(is_loaded ? loaded_ : encoded_).insert(id).second) return;
  auto bytes = bytes_of(id);
  if (bytes && (is_loaded || may_be_loaded(*bytes)))
    carried_.push_back({id, std::move(*bytes), offset, is_loaded});
}

void Examination::look_at_call(NodeId id) {
  const Node& node = pool_[id];
  const uint32_t callee = Calls::global_of(pool_, node.a);
  if (callee == Calls::kNobody) return;
  const GlobalName& named = pool_.globals[callee];
  if (named.name == "NumpyArrayWrapper" && node.c != 0) look_at_array(named);
  if (named.module == "_codecs" && named.name == "encode") {
    // Many calls may share one text.
    const Node& given = pool_[node.b];
    if (given.tag == Tag::kTuple && given.a == 2 && encoded_.insert(pool_.words[given.b]).second)
      carry(id, where(named.offset), false);
    return;
  }
  if (named.module != "torch.storage" || named.name != "_load_from_bytes") return;
  const Node& given = pool_[node.b];
  if (given.tag == Tag::kTuple && given.a == 1 && is_literal(pool_.words[given.b]))
    return carry(pool_.words[given.b], where(named.offset), true);
  report_.is_dangerous = true;
  add_finding(report_, kDangerousRule,
              "torch.storage._load_from_bytes is called with what the pickle computes, and loads "
              "that as a file",
              place_, where(named.offset));
}

// joblib writes elements right into the stream, behind the state of what stands for their array. A
// byte of them can look like the end of the pickle.
void Examination::look_at_array(const GlobalName& wrapper) {
  if (!wrapper.module.ends_with("joblib.numpy_pickle") || std::exchange(has_array_, true)) return;
  report_.is_incomplete = true;
  add_finding(report_, "safe/unread",
              "the pickle has elements of arrays between its opcodes, and what is behind the first "
              "is not followed",
              place_, where(wrapper.offset));
}

void Examination::look_at_bytes(NodeId id) {
  const Node& node = pool_[id];
  const std::string_view text = node.text();
  if (!may_be_loaded(text)) return;
  const auto begin = reinterpret_cast<uintptr_t>(pickle_.data()),
             at = reinterpret_cast<uintptr_t>(text.data());
  const bool inside = at >= begin && at - begin < pickle_.size();
  carried_.push_back({id, std::string(text), place_.offset + (inside ? at - begin : 0), false});
}

}  // namespace

bool is_plausible(const GlobalName& global) {
  return is_path(global.module) && is_path(global.name);
}

bool names_something(const Pool& pool) {
  return std::any_of(pool.globals.begin(), pool.globals.end(), [](const GlobalName& global) {
    return is_computed(global) || is_plausible(global);
  });
}

bool may_be_loaded(std::string_view bytes) {
  if (bytes.size() < kShortestPickle) return false;
  const auto first = static_cast<uint8_t>(bytes[0]);
  if (first == 0x80) return static_cast<uint8_t>(bytes[1]) <= 5;
  if (bytes.starts_with("PK\3\4") || bytes.starts_with("\x93NUMPY")) return true;
  if (packing_of(as_bytes(bytes)) != Packing::kNone) return true;
  // Protocols 0 and 1, of which a global or a mark comes first in whatever calls something.
  return (first == 'c' || first == '(' || first == 'i' || first == '}' || first == ']') &&
         bytes.find('\n') != std::string_view::npos;
}

std::vector<CarriedBytes> examine_pickle(const Pool& pool, ByteSpan pickle,
                                         const PicklePlace& place, bool garbled, ScanReport& report,
                                         StorageUses& storages) {
  return Examination(pool, pickle, place, garbled, report, storages).run();
}

}  // namespace torchmap
