// Core values as JavaScript ones, and arguments as core ones.
#pragma once

#include <napi.h>

#include "core/packed_tables.h"
#include "core/torch/tape.h"

namespace torchmap::addon {

// { failure: NativeFailure } of lib/binding.ts.
Napi::Object failure(Napi::Env env, const Status& status);

// PackedStrings: one string and the ends of its pieces, in UTF-16 units.
Napi::Object packed_strings(Napi::Env env, const Names& names);
Napi::Object packed_strings(Napi::Env env, const std::u16string& text,
                            const std::vector<uint32_t>& ends);

Napi::Uint32Array words(Napi::Env env, const uint32_t* values, size_t count);
Napi::Float64Array reals(Napi::Env env, const double* values, size_t count);

// The tensor tables of Opened: tensors, dims, parts, quantizers, storages, keys, devices.
void set_tables(Napi::Object target, Checkpoint& checkpoint);

// A checkpoint and its tables, which are packed on the thread that read it.
struct OpenedCheckpoint {
  std::unique_ptr<Checkpoint> checkpoint;
  PackedTables tables;
};

// Opened, around a fresh handle.
Napi::Object opened(Napi::Env env, OpenedCheckpoint made);

// NativeTape; `tables` when making it added rows.
Napi::Object tape(Napi::Env env, const Tape& tape);

// The memory of an ArrayBuffer or of a view on any buffer.
std::span<std::byte> bytes_of(const Napi::Value& value);

// The dtype of a number, or a RangeError.
DType dtype_of(const Napi::Value& value);
// `length` bytes of `source` from `offset`, or a RangeError.
const std::byte* range_of(const Napi::Value& source, uint64_t offset, uint64_t length);
// a * b, or a RangeError.
uint64_t product_of(Napi::Env env, uint64_t a, uint64_t b);

uint64_t integer_of(const Napi::Value& value);
// How files are looked at: `auto`, `mmap` or `pread`.
SourceOptions source_options(const Napi::Value& io);
// The caps an object has by the names of limits.def, the others as they are by default.
Limits limits_of(const Napi::Value& value);
std::vector<int64_t> integers_of(const Napi::Value& value);

}  // namespace torchmap::addon
