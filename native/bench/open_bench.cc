// What opening one checkpoint costs the core: open_bench FILE [TIMES [decode|open]]. Processor time
// of this thread, the best of TIMES; `decode` is the pickle machine alone, over a zip archive's
// data.pkl. For counts of instructions: valgrind --tool=callgrind --toggle-collect=<function>
// open_bench FILE
// 1
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <functional>
#include <string_view>

#include "core/archive/zip.h"
#include "core/checkpoint.h"
#include "core/pickle/decoder.h"
#include "core/source/source.h"

namespace {

using namespace torchmap;

double seconds() {
  timespec now{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) + 1e-9 * static_cast<double>(now.tv_nsec);
}

// Milliseconds.
double best_of(int times, const std::function<void()>& run) {
  double best = 1e300;
  for (int i = 0; i < times; ++i) {
    const double start = seconds();
    run();
    best = std::min(best, 1e3 * (seconds() - start));
  }
  return best;
}

[[noreturn]] void fail(const Status& status) {
  std::fprintf(stderr, "%s\n", status.failure().message.c_str());
  std::exit(1);
}

void bench_open(const char* path, int times) {
  size_t names = 0;
  const double best = best_of(times, [&] {
    auto source = open_file(path, {true});
    if (!source.ok()) fail(source.status());
    auto checkpoint = Checkpoint::open(std::move(*source), {}, {});
    if (!checkpoint.ok()) fail(checkpoint.status());
    names = (*checkpoint)->names().size();
  });
  std::printf("open    %9.3f ms, %zu names\n", best, names);
}

void bench_decode(const char* path, int times) {
  auto source = open_file(path, {true});
  if (!source.ok()) fail(source.status());
  auto archive = ZipArchive::read(**source, {});
  if (!archive.ok()) return;
  const uint32_t record = archive->find("data.pkl");
  if (record == ZipArchive::kNone) return;
  auto pickle = archive->payload(**source, record);
  if (!pickle.ok()) fail(pickle.status());
  const double directory = best_of(times, [&] {
    if (auto again = ZipArchive::read(**source, {}); !again.ok()) fail(again.status());
  });
  std::printf("archive %9.3f ms, %zu records\n", directory, archive->records().size());
  uint64_t opcodes = 0;
  const double best = best_of(times, [&] {
    Pool pool;
    auto decoded = decode_pickle(*pickle, pool, {});
    if (!decoded.ok()) fail(decoded.status());
    opcodes = decoded->opcodes;
  });
  std::printf("decode  %9.3f ms, %.2f ns for each of about %llu opcodes\n", best,
              1e6 * best / static_cast<double>(opcodes), static_cast<unsigned long long>(opcodes));
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 2) {
    std::fprintf(stderr, "usage: open_bench FILE [TIMES [decode|open]]\n");
    return 2;
  }
  const int times = argc > 2 ? std::max(1, std::atoi(argv[2])) : 20;
  // One part alone, for a profiler.
  const std::string_view part = argc > 3 ? argv[3] : "";
  if (part != "open") bench_decode(argv[1], times);
  if (part != "decode") bench_open(argv[1], times);
  return 0;
}
