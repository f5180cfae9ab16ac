// What is found in bytes, without Node; and the decoder where it goes on for it.
#include "core/scan/scan.h"

#include "check.h"
#include "core/scan/calls.h"
#include "pickle_bytes.h"

using namespace torchmap;
using namespace torchmap::check;

namespace {

std::string shown(const std::string& bytes, ScanOptions options = {}) {
  SpanSource source(as_bytes(bytes));
  ScanRoom room;
  auto report = scan_source(source, "", options, room);
  if (!report.ok()) return std::string(code_name(report.status().code()));
  std::string out = report->is_dangerous ? "dangerous" : report->is_incomplete ? "incomplete" : "-";
  for (const ScannedGlobal& row : report->globals) {
    if (row.judgement == Judgement::kSafe) continue;
    out += ' ';
    out += report->name_of(row);
    if (row.is_called) out += "()";
  }
  return out;
}

std::string system_call() { return call("os system", {text("echo")}); }

Result<Decoded> decoded(const std::string& bytes, Pool& pool, Oddities* oddities) {
  DecodeOptions options;
  options.oddities = oddities;
  return decode_pickle(as_bytes(bytes), pool, options);
}

}  // namespace

TEST(scan_of_a_pickle) {
  EXPECT_EQ(shown(pickle(none())), "-");
  EXPECT_EQ(shown(pickle(system_call())), "dangerous os.system()");
  EXPECT_EQ(shown(pickle(global("os", "system"))), "dangerous os.system");
  EXPECT_EQ(shown(pickle(global("a", "B"))), "- a.B");
  EXPECT_EQ(shown("\x80\x02" + system_call()), "dangerous os.system()");
  EXPECT_EQ(shown("\x80\x02("), "incomplete");
  EXPECT_EQ(shown(""), "-");
}

TEST(scan_gives_names_whole_and_sentences_short) {
  const std::string module(1000, 'm');
  const std::string bytes = pickle(call(module + " \xC3\xA9", {}));
  SpanSource source(as_bytes(bytes));
  ScanRoom room;
  auto report = scan_source(source, "", {}, room);
  EXPECT_TRUE(report.ok());
  EXPECT_EQ(report->globals.size(), 1);
  EXPECT_EQ(report->name_of(report->globals[0]), module + ".\xC3\xA9");
  EXPECT_EQ(report->findings.size(), 1);
  EXPECT_EQ(report->findings[0].message, "the pickle calls " + module.substr(0, 200) + "...");
}

TEST(scan_lists_names_up_to_a_number_of_bytes) {
  // Long texts, of which every two are a name.
  constexpr size_t kTexts = 100, kLength = 2000;
  std::string bytes = "\x80\x04";
  for (size_t i = 0; i < kTexts; ++i) {
    bytes += text(std::string(kLength, static_cast<char>('a' + i % 26)) + std::to_string(i));
    bytes +=
        "\x94"
        "0";
  }
  for (size_t i = 0; i < kTexts * kTexts; ++i) {
    bytes += 'h';
    bytes += static_cast<char>(i / kTexts);
    bytes += 'h';
    bytes += static_cast<char>(i % kTexts);
    bytes +=
        "\x93"
        "0";
  }
  bytes += system_call() + ".";
  SpanSource source(as_bytes(bytes));
  ScanRoom room;
  auto report = scan_source(source, "", {}, room);
  EXPECT_TRUE(report.ok());
  EXPECT_TRUE(report->is_dangerous);
  EXPECT_TRUE(report->texts.text.size() <= kMostTextBytes);
  EXPECT_EQ(report->globals.size() + report->globals_dropped, kTexts * kTexts + 1);
}

TEST(scan_of_every_prefix_and_of_every_byte_changed) {
  const std::string whole = pickle(tuple({global("a", "B"), bytes(pickle(system_call()))}));
  for (size_t i = 0; i <= whole.size(); ++i) EXPECT_TRUE(!shown(whole.substr(0, i)).empty());
  for (size_t i = 0; i < whole.size(); ++i) {
    for (int value = 0; value < 256; ++value) {
      std::string changed = whole;
      changed[i] = static_cast<char>(value);
      EXPECT_TRUE(!shown(changed).empty());
    }
  }
}

TEST(scan_of_an_archive) {
  ZipBytes zip;
  zip.add("a/data.pkl", pickle(none()));
  zip.add("a/x", pickle(system_call()));
  const std::string whole = zip.finish();
  EXPECT_EQ(shown(whole), "dangerous os.system()");
  for (size_t i = 0; i <= whole.size(); ++i) EXPECT_TRUE(!shown(whole.substr(0, i)).empty());
  for (size_t i = 0; i < whole.size(); ++i) {
    std::string changed = whole;
    changed[i] = static_cast<char>(changed[i] ^ 0xFF);
    EXPECT_TRUE(!shown(changed).empty());
  }
}

TEST(scan_is_stopped) {
  const std::atomic<bool> cancelled = true;
  ScanOptions options;
  options.cancelled = &cancelled;
  EXPECT_EQ(shown(pickle(none()), options), code_name(Code::kCancelled));
}

TEST(scan_keeps_to_limits) {
  ScanOptions options;
  options.limits.nodes = 300;
  const std::string many = pickle(system_call() + repeat("]", 10000));
  EXPECT_EQ(shown(many, options), "dangerous os.system()");
}

TEST(chains_of_calls) {
  Pool pool;
  const std::string inner = call("m c", {});
  const std::string all = pickle(call("m a", {list({call("m b", {dict({none(), inner})})})}));
  EXPECT_TRUE(decoded(all, pool, nullptr).ok());
  Calls calls(pool);
  std::string names;
  for (uint32_t i = 0; i < pool.globals.size(); ++i) {
    for (const uint32_t link : calls.chain(i)) names += pool.globals[link].name;
    names += ' ';
  }
  EXPECT_EQ(names, "a ab abc ");
}

TEST(decoder_goes_on_where_it_is_asked_to) {
  struct Odd {
    std::string opcodes;
    uint64_t count;
  };
  const std::string frame = op(Opcode::kFRAME, le(2, 8));
  for (const Odd& odd :
       {Odd{integer(1) + text("b") + op(Opcode::kSTACK_GLOBAL), 1}, Odd{"]" + none() + "b", 1},
        Odd{"]" + none() + none() + "s", 1}, Odd{"}" + none() + "a", 1},
        Odd{global("a", "B") + "]R", 1}, Odd{frame + integer(1), 1},
        Odd{op(Opcode::kFRAME, le(uint64_t{1} << 40, 8)) + none(), 1}, Odd{none(), 0}}) {
    Pool strict, free;
    Oddities oddities;
    EXPECT_EQ(decoded(pickle(odd.opcodes), strict, nullptr).ok(), odd.count == 0);
    EXPECT_TRUE(decoded(pickle(odd.opcodes), free, &oddities).ok());
    EXPECT_EQ(oddities.count, odd.count);
    EXPECT_EQ(oddities.first.empty(), odd.count == 0);
  }
}
