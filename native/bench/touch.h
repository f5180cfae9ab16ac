// What "every byte touched" means in the benchmark, the same for all sides: the sum of the bytes as
// 64-bit words, the last one filled up with zeros. Bound by memory, not by the additions.
#pragma once

#include <cstddef>
#include <cstdint>

extern "C" __attribute__((visibility("default"))) uint64_t torchmap_touch(const void* bytes,
                                                                          size_t count);
