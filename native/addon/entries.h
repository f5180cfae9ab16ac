// The functions of the addon, as lib/binding.ts declares them.
#pragma once

#include <napi.h>

namespace torchmap::addon {

// open.cc
Napi::Value open_sync(const Napi::CallbackInfo& info);
Napi::Value open_async(const Napi::CallbackInfo& info);
Napi::Value open_shared(const Napi::CallbackInfo& info);
Napi::Value close_shared(const Napi::CallbackInfo& info);
Napi::Value read_index(const Napi::CallbackInfo& info);
// ranges.cc
Napi::Value new_ranges(const Napi::CallbackInfo& info);
Napi::Value supply(const Napi::CallbackInfo& info);
Napi::Value storage_extents(const Napi::CallbackInfo& info);
Napi::Value place_storage(const Napi::CallbackInfo& info);
Napi::Value decode(const Napi::CallbackInfo& info);
// attach.cc
Napi::Value attach(const Napi::CallbackInfo& info);
Napi::Value adopt(const Napi::CallbackInfo& info);
Napi::Value storage_offsets(const Napi::CallbackInfo& info);
// memory.cc
Napi::Value window(const Napi::CallbackInfo& info);
Napi::Value check_unchanged(const Napi::CallbackInfo& info);
Napi::Value read(const Napi::CallbackInfo& info);
Napi::Value storage_offset(const Napi::CallbackInfo& info);
Napi::Value close(const Napi::CallbackInfo& info);
// pages.cc
Napi::Value populate_arrays(const Napi::CallbackInfo& info);
// content.cc
Napi::Value make_tape(const Napi::CallbackInfo& info);
Napi::Value state_dict(const Napi::CallbackInfo& info);
Napi::Value script_code(const Napi::CallbackInfo& info);
Napi::Value classify(const Napi::CallbackInfo& info);
Napi::Value tables(const Napi::CallbackInfo& info);
// load.cc
Napi::Value load_sync(const Napi::CallbackInfo& info);
Napi::Value load_async(const Napi::CallbackInfo& info);
Napi::Value read_ahead(const Napi::CallbackInfo& info);
Napi::Value drop(const Napi::CallbackInfo& info);
Napi::Value storage_places(const Napi::CallbackInfo& info);
// verify.cc
Napi::Value verify_sync(const Napi::CallbackInfo& info);
Napi::Value verify_async(const Napi::CallbackInfo& info);
Napi::Value storage_records(const Napi::CallbackInfo& info);
Napi::Value read_file_bytes(const Napi::CallbackInfo& info);
Napi::Value crc32_of(const Napi::CallbackInfo& info);
// scan.cc
Napi::Value scan_sync(const Napi::CallbackInfo& info);
Napi::Value scan_many(const Napi::CallbackInfo& info);
// kernels.cc
Napi::Value gather(const Napi::CallbackInfo& info);
Napi::Value place(const Napi::CallbackInfo& info);
Napi::Value swap_units(const Napi::CallbackInfo& info);
Napi::Value to_float32(const Napi::CallbackInfo& info);
Napi::Value dequantize(const Napi::CallbackInfo& info);
// survey.cc
Napi::Value survey_elements(const Napi::CallbackInfo& info);
Napi::Value compare_elements(const Napi::CallbackInfo& info);
// reparametrize.cc
Napi::Value weight_norm(const Napi::CallbackInfo& info);
Napi::Value spectral_norm(const Napi::CallbackInfo& info);
Napi::Value unit_norm(const Napi::CallbackInfo& info);
Napi::Value apply_mask(const Napi::CallbackInfo& info);

}  // namespace torchmap::addon
