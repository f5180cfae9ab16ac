// For the benchmark alone: the same loop over the arrays torchmap gives as over a plain mapping,
// and what is in the page cache. Raw Node-API; arguments are not checked beyond what is used.
#include <fcntl.h>
#include <node_api.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdio>
#include <string>
#include <vector>

#include "bench/touch.h"

namespace {

// Sum of all arrays since the last one was taken; one thread uses it.
uint64_t total = 0;

napi_value argument(napi_env env, napi_callback_info info) {
  size_t count = 1;
  napi_value value = nullptr;
  napi_get_cb_info(env, info, &count, &value, nullptr, nullptr);
  return value;
}

std::string text_argument(napi_env env, napi_callback_info info) {
  char text[4096] = {};
  size_t length = 0;
  napi_get_value_string_utf8(env, argument(env, info), text, sizeof text, &length);
  return {text, length};
}

napi_value number(napi_env env, double value) {
  napi_value result = nullptr;
  napi_create_double(env, value, &result);
  return result;
}

// touch(Uint8Array): adds its words to the sum.
napi_value touch(napi_env env, napi_callback_info info) {
  napi_typedarray_type type{};
  size_t length = 0;
  void* data = nullptr;
  if (napi_get_typedarray_info(env, argument(env, info), &type, &length, &data, nullptr, nullptr) !=
          napi_ok ||
      type != napi_uint8_array) {
    napi_throw_type_error(env, nullptr, "touch() takes a Uint8Array");
    return nullptr;
  }
  total += torchmap_touch(data, length);
  return nullptr;
}

// takeSum(): the sum so far as 16 hexadecimal digits; starts a new one.
napi_value take_sum(napi_env env, napi_callback_info) {
  char digits[17] = {};
  std::snprintf(digits, sizeof digits, "%016llx", static_cast<unsigned long long>(total));
  total = 0;
  napi_value result = nullptr;
  napi_create_string_latin1(env, digits, 16, &result);
  return result;
}

// evict(path): asks the system to drop the file's pages.
napi_value evict(napi_env env, napi_callback_info info) {
  const int file = open(text_argument(env, info).c_str(), O_RDONLY | O_CLOEXEC);
  if (file < 0) return number(env, -1);
  fdatasync(file);
  const int status = posix_fadvise(file, 0, 0, POSIX_FADV_DONTNEED);
  close(file);
  return number(env, status);
}

// resident(path): the share of the file that is in the page cache, or -1.
napi_value resident(napi_env env, napi_callback_info info) {
  const int file = open(text_argument(env, info).c_str(), O_RDONLY | O_CLOEXEC);
  struct stat about {};
  if (file < 0 || fstat(file, &about) != 0 || about.st_size == 0) return number(env, -1);
  const size_t size = static_cast<size_t>(about.st_size);
  void* pages = mmap(nullptr, size, PROT_READ, MAP_SHARED, file, 0);
  close(file);
  if (pages == MAP_FAILED) return number(env, -1);
  const size_t page = static_cast<size_t>(sysconf(_SC_PAGESIZE));
  std::vector<unsigned char> in_core((size + page - 1) / page);
  double there = -1;
  if (mincore(pages, size, in_core.data()) == 0) {
    size_t count = 0;
    for (const unsigned char flags : in_core) count += flags & 1;
    there = static_cast<double>(count) / static_cast<double>(in_core.size());
  }
  munmap(pages, size);
  return number(env, there);
}

napi_value init(napi_env env, napi_value exports) {
  const napi_property_descriptor properties[] = {
      {"touch", nullptr, touch, nullptr, nullptr, nullptr, napi_enumerable, nullptr},
      {"takeSum", nullptr, take_sum, nullptr, nullptr, nullptr, napi_enumerable, nullptr},
      {"evict", nullptr, evict, nullptr, nullptr, nullptr, napi_enumerable, nullptr},
      {"resident", nullptr, resident, nullptr, nullptr, nullptr, napi_enumerable, nullptr},
  };
  napi_define_properties(env, exports, sizeof properties / sizeof *properties, properties);
  return exports;
}

}  // namespace

NAPI_MODULE(NODE_GYP_MODULE_NAME, init)
