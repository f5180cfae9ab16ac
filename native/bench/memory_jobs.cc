#include "bench/memory_jobs.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <map>
#include <thread>
#include <vector>

#include "bench/touch.h"
#include "core/archive/crc32.h"
#include "core/checkpoint.h"
#include "core/kernels/convert.h"
#include "core/pickle/decoder.h"
#include "core/source/source.h"

namespace torchmap::bench {

namespace {

class Clock {
 public:
  double ms() const {
    const std::chrono::duration<double, std::milli> passed =
        std::chrono::steady_clock::now() - start_;
    return passed.count();
  }

 private:
  std::chrono::steady_clock::time_point start_ = std::chrono::steady_clock::now();
};

[[noreturn]] void fail(const std::string& message) {
  std::fprintf(stderr, "memory_bench: %s\n", message.c_str());
  std::exit(1);
}

// Pages of the system: of a file as the core maps one, or of no file. Unmapped at the end.
class Pages {
 public:
  explicit Pages(const std::string& path) {
    const int file = open(path.c_str(), O_RDONLY | O_CLOEXEC);
    struct stat about {};
    if (file < 0 || fstat(file, &about) != 0) fail("cannot open " + path);
    map(static_cast<size_t>(about.st_size), MAP_PRIVATE | MAP_NORESERVE, file);
    close(file);
  }
  explicit Pages(size_t size) { map(size, MAP_PRIVATE | MAP_ANONYMOUS, -1); }
  Pages(const Pages&) = delete;
  Pages& operator=(const Pages&) = delete;
  ~Pages() { munmap(at_, size_); }

  std::byte* data() const { return static_cast<std::byte*>(at_); }
  ByteSpan bytes() const { return {data(), size_}; }

 private:
  void map(size_t size, int flags, int file) {
    size_ = size;
    at_ = mmap(nullptr, size, PROT_READ | PROT_WRITE, flags, file, 0);
    if (at_ == MAP_FAILED) fail("cannot map memory");
  }

  void* at_ = nullptr;
  size_t size_ = 0;
};

// Memory that has its pages and no zeros in it, kept from run to run; room for floats of any value.
std::byte* filled(size_t size, size_t which) {
  static std::map<std::pair<size_t, size_t>, std::unique_ptr<Pages>> kept;
  std::unique_ptr<Pages>& pages = kept[{size, which}];
  if (!pages) {
    pages = std::make_unique<Pages>(size);
    uint64_t state = 88172645463325252u + which;
    for (size_t at = 0; at + 8 <= size; at += 8) {
      state ^= state << 13;
      state ^= state >> 7;
      state ^= state << 17;
      std::memcpy(pages->data() + at, &state, 8);
    }
  }
  return pages->data();
}

size_t size_of(const std::string& subject) {
  return static_cast<size_t>(std::strtoull(subject.c_str(), nullptr, 10));
}

// A fresh mapping of the file, every byte of it summed up.
Run touch_file(const std::string& what, const std::string& path) {
  Clock clock;
  auto pages = std::make_shared<Pages>(path);
  const uint64_t sum = what == "bytes" ? torchmap_touch(pages->data(), pages->bytes().size()) : 0;
  return {clock.ms(), 1, sum, pages};
}

void copy(std::byte* target, const std::byte* source, size_t size, uint32_t threads) {
  std::vector<std::thread> helpers;
  const size_t piece = (size / threads + 63) / 64 * 64;
  for (size_t start = piece; start < size; start += piece) {
    const size_t count = std::min(piece, size - start);
    helpers.emplace_back([=] { std::memcpy(target + start, source + start, count); });
  }
  std::memcpy(target, source, std::min(piece, size));
  for (std::thread& helper : helpers) helper.join();
}

// `what`: into memory that is "fresh" or "reused". `subject`: bytes.
Run copy_memory(const std::string& what, const std::string& subject, uint32_t threads) {
  const size_t size = size_of(subject);
  const std::byte* source = filled(size, 1);
  if (what == "reused") {
    std::byte* target = filled(size, 2);
    Clock clock;
    copy(target, source, size, threads);
    return {clock.ms(), 1, 0, nullptr};
  }
  Clock clock;
  auto pages = std::make_shared<Pages>(size);
  copy(pages->data(), source, size, threads);
  return {clock.ms(), 1, 0, pages};
}

// `subject` bytes that have their pages, each of them read on all cores and none written.
Run sum_memory(const std::string&, const std::string& subject) {
  const size_t size = size_of(subject), threads = std::max(std::thread::hardware_concurrency(), 1u);
  const std::byte* source = filled(size, 1);
  const size_t piece = (size / threads + 63) / 64 * 64;
  std::atomic<uint64_t> sum = 0;
  const auto work = [&](size_t start) {
    sum += torchmap_touch(source + start, std::min(piece, size - start));
  };
  Clock clock;
  std::vector<std::thread> helpers;
  for (size_t start = piece; start < size; start += piece) helpers.emplace_back(work, start);
  work(0);
  for (std::thread& helper : helpers) helper.join();
  return {clock.ms(), 1, sum, nullptr};
}

// A file that is in the page cache, read on all cores into memory that stays in their caches, and
// not looked at: as fast as the system gives it.
Run read_file(const std::string&, const std::string& path) {
  constexpr size_t kBlock = size_t{1} << 18;
  const int file = open(path.c_str(), O_RDONLY | O_CLOEXEC);
  struct stat about {};
  if (file < 0 || fstat(file, &about) != 0) fail("cannot open " + path);
  const auto size = static_cast<size_t>(about.st_size);
  std::atomic<size_t> next = 0;
  const auto work = [&] {
    std::vector<std::byte> block(kBlock);
    for (size_t at; (at = next.fetch_add(kBlock)) < size;) {
      if (pread(file, block.data(), kBlock, static_cast<off_t>(at)) <= 0)
        fail("cannot read " + path);
    }
  };
  Clock clock;
  std::vector<std::thread> helpers;
  for (uint32_t i = 1; i < std::max(std::thread::hardware_concurrency(), 1u); ++i)
    helpers.emplace_back(work);
  work();
  for (std::thread& helper : helpers) helper.join();
  const double ms = clock.ms();
  close(file);
  return {ms, 1, 0, nullptr};
}

// CRC-32 of a file whose pages are mapped already, on this thread.
Run checksum_file(const std::string&, const std::string& path) {
  auto pages = std::make_shared<Pages>(path);
  static_cast<void>(torchmap_touch(pages->data(), pages->bytes().size()));
  Clock clock;
  const uint32_t crc = crc32(0, pages->bytes());
  return {clock.ms(), 1, crc, pages};
}

// The same over `subject` bytes again and again, 1 GiB in all: out of the processor's cache.
Run checksum_cached(const std::string&, const std::string& subject) {
  const size_t size = size_of(subject);
  const std::byte* source = filled(size, 3);
  Clock clock;
  uint32_t crc = 0;
  for (size_t done = 0; done < size_t{1} << 30; done += size) crc = crc32(crc, {source, size});
  return {clock.ms(), 1, crc, nullptr};
}

// The core's conversion of `subject` bytes of the dtype `what`, into memory that has its pages.
Run convert(const std::string& what, const std::string& subject) {
  const std::optional<DType> dtype = dtype_by_name(what);
  if (!dtype) fail("no dtype " + what);
  const size_t size = size_of(subject), count = size / info(*dtype).bytes;
  const std::byte* source = filled(size, 1);
  std::byte* target = filled(count * sizeof(float), 2);
  Clock clock;
  to_float32(source, *dtype, count, reinterpret_cast<float*>(target));
  return {clock.ms(), count, 0, nullptr};
}

// A pickle alone, out of memory, into nodes.
Run decode(const std::string&, const std::string& path) {
  Pages pages(path);
  static_cast<void>(torchmap_touch(pages.data(), pages.bytes().size()));
  Clock clock;
  auto pool = std::make_shared<Pool>();
  auto decoded = decode_pickle(pages.bytes(), *pool, {});
  if (!decoded.ok()) fail(decoded.status().failure().message);
  return {clock.ms(), decoded->opcodes, 0, pool};
}

// All that opening costs the core, without Node and without names as JavaScript strings.
Run open_core(const std::string&, const std::string& path) {
  Clock clock;
  auto source = open_file(path, {true});
  if (!source.ok()) fail(source.status().failure().message);
  auto checkpoint = Checkpoint::open(std::move(*source), {}, {});
  if (!checkpoint.ok()) fail(checkpoint.status().failure().message);
  const double ms = clock.ms();
  const uint64_t names = (*checkpoint)->names().size();
  return {ms, names, 0, std::shared_ptr<Checkpoint>(std::move(*checkpoint))};
}

}  // namespace

Job find_job(const std::string& name) {
  const uint32_t threads = std::max(std::thread::hardware_concurrency(), 1u);
  const auto copying = [](uint32_t count) {
    return [count](const std::string& what, const std::string& subject) {
      return copy_memory(what, subject, count);
    };
  };
  const std::map<std::string, Job> jobs = {
      {"mapping", touch_file},
      {"memcpy", copying(1)},
      {"memcpy-threads", copying(threads)},
      {"summing", sum_memory},
      {"reading", read_file},
      {"crc32", checksum_file},
      {"crc32-cached", checksum_cached},
      {"convert", convert},
      {"decode", decode},
      {"core", open_core},
  };
  const auto found = jobs.find(name);
  return found == jobs.end() ? Job() : found->second;
}

}  // namespace torchmap::bench
