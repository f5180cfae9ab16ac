// The pickle of a large archive that is decoded while the directory is read: what comes out is what
// comes out without.
#include "core/format/early_pickle.h"

#include "check.h"
#include "checkpoint_opened.h"
#include "files.h"
#include "zip_bytes.h"

using namespace torchmap;
using namespace torchmap::check;

namespace {

// Enough for the directory to be worth a thread.
constexpr int kMany = 3000;

std::string many_tensors(const char* first = "first") {
  Values entries{text(first), small_tensor()};
  for (int i = 1; i < kMany; ++i) {
    const std::string key = std::to_string(i);
    entries.push_back(text("weight." + key));
    entries.push_back(tensor(storage(key, 2), integers({2}), integers({1})));
  }
  return pickle(dict(entries));
}

void add_storages(ZipBytes& zip) {
  for (int i = 0; i < kMany; ++i) zip.add("archive/data/" + std::to_string(i), "12345678");
}

std::string archive(const std::string& data_pkl) {
  ZipBytes zip;
  zip.add("archive/data.pkl", data_pkl);
  add_storages(zip);
  return zip.finish();
}

std::string outcome(Result<std::unique_ptr<Checkpoint>>& opened) {
  if (opened.ok()) return shown((*opened)->catalog(), (*opened)->names());
  const Failure& failure = opened.status().failure();
  return std::string(code_name(failure.code)) + " " + failure.message + " in " + failure.record +
         " at " + (failure.offset ? std::to_string(*failure.offset) : "?");
}

// Opened from memory, which has one thread, and as a mapped file: the same, which is returned.
std::string both_ways(const std::string& bytes, const OpenOptions& options = {}) {
  auto held = Checkpoint::open(open_memory(as_bytes(bytes)), options);
  TemporaryFile file(bytes);
  auto source = open_file(file.path(), {});
  EXPECT_TRUE(file.ok() && source.ok() && !(*source)->mapped().empty());
  auto mapped = Checkpoint::open(*source, options);
  const std::string expected = outcome(held), found = outcome(mapped);
  EXPECT_TRUE(found == expected);
  return found;
}

bool contains(const std::string& text, std::string_view part) {
  return text.find(part) != std::string::npos;
}

}  // namespace

TEST(early_pickle_is_decoded_and_taken) {
  const std::string pickle = many_tensors(), bytes = archive(pickle);
  TemporaryFile file(bytes);
  auto source = open_file(file.path(), {});
  ASSERT_TRUE(source.ok());
  const size_t place = bytes.find(pickle);
  auto view = (*source)->view(place, pickle.size());
  ASSERT_TRUE(view.ok());
  const bool alone = useful_threads() == 1;
  for (const bool same : {true, false}) {
    Pool pool;
    const size_t empty = pool.nodes.size();
    EarlyPickle early(**source, pool, {});
    int read = 0;
    EXPECT_TRUE(early
                    .beside([&] {
                      ++read;
                      return Status();
                    })
                    .ok());
    EXPECT_EQ(read, 1);
    EXPECT_EQ(pool.nodes.size() > empty, !alone);
    auto taken = early.take(same ? *view : view->first(8));
    EXPECT_EQ(taken.has_value(), same && !alone);
    EXPECT_EQ(pool.nodes.size() > empty, same && !alone);
  }
}

TEST(early_pickle_waits_for_what_fails) {
  const std::string bytes = archive(many_tensors());
  TemporaryFile file(bytes);
  auto source = open_file(file.path(), {});
  ASSERT_TRUE(source.ok());
  Pool pool;
  EarlyPickle early(**source, pool, {});
  const Status failed = early.beside([] { return Status(Code::kBadArchive, "no"); });
  EXPECT_EQ(failed.code(), Code::kBadArchive);
}

TEST(early_pickle_changes_nothing) {
  EXPECT_TRUE(contains(both_ways(archive(many_tensors())), "weight.2999 float32(2)"));

  ZipBytes last;
  add_storages(last);
  last.add("archive/data.pkl", many_tensors("of the last"));
  EXPECT_TRUE(contains(both_ways(last.finish()), "of the last"));

  // The one whose name is exact is meant, wherever it stands.
  ZipBytes two;
  two.add("archive/DATA.pkl", many_tensors("inexact"));
  add_storages(two);
  two.add("archive/data.pkl", many_tensors("exact"));
  EXPECT_TRUE(both_ways(two.finish()).starts_with("exact"));

  ZipBytes long_name;
  long_name.add("archive/" + std::string(60'000, 'x'), "1");
  long_name.add("archive/data.pkl", many_tensors("behind a long name"));
  add_storages(long_name);
  EXPECT_TRUE(both_ways(long_name.finish()).starts_with("behind a long name"));
}

TEST(early_pickle_fails_as_any) {
  std::string pickle = many_tensors();
  EXPECT_TRUE(contains(both_ways(archive(pickle.substr(0, pickle.size() / 2))), "BAD_PICKLE"));
  std::string broken = pickle;
  broken[broken.size() / 2] = '\xFF';
  (void)both_ways(archive(broken));
  OpenOptions few;
  few.limits.nodes = 100;
  EXPECT_TRUE(contains(both_ways(archive(pickle), few), "LIMIT_NODES"));

  // The directory's failure comes first.
  ZipBytes twice;
  twice.add("archive/data.pkl", broken);
  add_storages(twice);
  twice.add("archive/data/7", "12345678");
  const std::string bytes = twice.finish();
  EXPECT_TRUE(contains(both_ways(bytes), "BAD_ARCHIVE"));

  ZipBytes damaged;
  damaged.add("archive/data.pkl", pickle);
  add_storages(damaged);
  damaged.entries.back().stored_size = uint64_t{1} << 40;
  const std::string late = damaged.finish();
  EXPECT_TRUE(contains(both_ways(late), "BAD_ARCHIVE"));
  OpenOptions salvage;
  salvage.salvage = true;
  EXPECT_TRUE(contains(both_ways(late, salvage), "weight.2998 float32(2)"));
}
