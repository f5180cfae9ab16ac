// Calls that make plain Python values: containers, bytes, complex numbers, sizes, devices, layouts.
#include "core/text.h"
#include "core/torch/interpreter.h"

namespace torchmap {
namespace {

bool is_latin1(std::string_view encoding) { return encoding == "latin1" || encoding == "latin-1"; }

}  // namespace

Status Interpreter::resolve_value(NodeId id, GlobalKind kind, Args args) {
  const auto means = [&](Meaning meaning) { pool_[id].aux = static_cast<uint16_t>(meaning); };
  switch (kind) {
    case GlobalKind::kMapping:
    case GlobalKind::kDefaultDict:
      means(Meaning::kMapping);
      return {};
    case GlobalKind::kSet:
      means(Meaning::kSet);
      return {};
    case GlobalKind::kSequence:
      means(Meaning::kSequence);
      return {};
    case GlobalKind::kSize:
    case GlobalKind::kFirstArgument:
      if (args.empty()) return {};
      TRY(resolve(args[0]));
      become_alias(id, args[0]);
      return {};
    case GlobalKind::kDevice: {
      const auto type = args.empty() ? std::nullopt : text(args[0]);
      if (!type) return {};
      TRY(charge(type->size()));
      const auto index = args.size() > 1 ? integer(args[1]) : std::nullopt;
      std::string name(*type);
      if (index) name += ":" + std::to_string(*index);
      become_value(id, Node::of_text(Tag::kStr, pool_.keep(std::move(name))));
      return {};
    }
    case GlobalKind::kGetLayout: {
      auto name = args.empty() ? std::nullopt : text(args[0]);
      if (!name) return {};
      if (name->starts_with("torch.")) name->remove_prefix(6);
      become_value(id, Node::of_text(Tag::kStr, *name));
      return {};
    }
    case GlobalKind::kComplex: {
      const auto re = args.empty() ? 0.0 : real(args[0]),
                 im = args.size() < 2 ? 0.0 : real(args[1]);
      if (!re || !im) return {};
      catalog_.complexes.emplace_back(*re, *im);
      become(id, Foreign::kComplex, static_cast<uint32_t>(catalog_.complexes.size() - 1));
      return {};
    }
    case GlobalKind::kEncode: {
      const auto string = args.size() == 2 ? text(args[0]) : std::nullopt;
      const auto encoding = args.size() == 2 ? text(args[1]) : std::nullopt;
      if (string) TRY(charge(string->size()));
      std::string bytes;
      if (!string || !encoding || !is_latin1(*encoding) || !utf8_to_latin1(*string, bytes))
        return {};
      // Text that is all ASCII is its own encoding, and stays where it is.
      const std::string_view kept =
          bytes.size() == string->size() ? *string : pool_.keep(std::move(bytes));
      become_value(id, Node::of_text(Tag::kBytes, kept));
      return {};
    }
    case GlobalKind::kBytes: {
      const Node& callable = pool_[target(pool_[id].a)];
      const Tag tag = pool_.globals[callable.a].name == "bytes" ? Tag::kBytes : Tag::kByteArray;
      std::string_view content;
      if (!args.empty()) {
        TRY(resolve(args[0]));
        const Node& first = pool_[target(args[0])];
        if (first.tag == Tag::kStr && args.size() > 1) {
          TRY(charge(first.text().size()));
          std::string bytes;
          if (!utf8_to_latin1(first.text(), bytes)) return {};
          content = pool_.keep(std::move(bytes));
        } else if (first.tag == Tag::kBytes || first.tag == Tag::kByteArray ||
                   (first.flags & kPython2 && first.tag == Tag::kStr)) {
          content = first.text();
        } else {
          return {};
        }
      }
      become_value(id, Node::of_text(tag, content));
      return {};
    }
    // Protocols 0 and 1 make instances with _reconstructor(cls, object, None), copyreg with
    // __newobj__(cls, ...).
    case GlobalKind::kReconstructor: {
      if (args.size() != 3 || !is_none(args[2])) return {};
      pool_[id].a = args[0];
      pool_[id].b = Pool::kEmptyTuple;
      return meaning(args[0]).kind == kind ? Status() : resolve_call(id);
    }
    case GlobalKind::kNewObject: {
      if (args.empty()) return {};
      if (pool_.words.size() > UINT32_MAX - args.size()) {
        return limit_reached(Code::kLimitNodes, "nodes", limits_.nodes, pool_.words.size());
      }
      const NodeId rest = pool_.add_tuple(args.data() + 1, static_cast<uint32_t>(args.size() - 1));
      pool_[id].a = args[0];
      pool_[id].b = rest;
      return meaning(args[0]).kind == kind ? Status() : resolve_call(id);
    }
    case GlobalKind::kLoadFromBytes:
      return load_from_bytes(id, args);
    default:
      return resolve_numpy(id, kind, args);
  }
}

Status Interpreter::load_from_bytes(NodeId id, Args args) {
  if (args.empty() || !load_nested_) return {};
  TRY_ASSIGN(const std::string_view bytes, raw_bytes(args[0]));
  TRY(charge(bytes.size()));  // decoded for each call
  TRY_ASSIGN(Storage storage, load_nested_(bytes));
  catalog_.storages.push_back(storage);
  become(id, Foreign::kStorage, static_cast<uint32_t>(catalog_.storages.size() - 1));
  return {};
}

}  // namespace torchmap
