// The table of contents of the addon. It keeps no state of its own, so it can be loaded in any
// number of workers.
#include "addon/entries.h"
#include "addon/guard.h"

namespace {

using namespace torchmap::addon;

Napi::Object init(Napi::Env env, Napi::Object exports) {
  exports["openSync"] = Napi::Function::New(env, guarded<open_sync>, "openSync");
  exports["open"] = Napi::Function::New(env, guarded<open_async>, "open");
  exports["openFile"] = Napi::Function::New(env, guarded<open_shared>, "openFile");
  exports["closeFile"] = Napi::Function::New(env, guarded<close_shared>, "closeFile");
  exports["readIndex"] = Napi::Function::New(env, guarded<read_index>, "readIndex");
  exports["ranges"] = Napi::Function::New(env, guarded<new_ranges>, "ranges");
  exports["supply"] = Napi::Function::New(env, guarded<supply>, "supply");
  exports["storageExtents"] = Napi::Function::New(env, guarded<storage_extents>, "storageExtents");
  exports["placeStorage"] = Napi::Function::New(env, guarded<place_storage>, "placeStorage");
  exports["attach"] = Napi::Function::New(env, guarded<attach>, "attach");
  exports["decode"] = Napi::Function::New(env, guarded<decode>, "decode");
  exports["adopt"] = Napi::Function::New(env, guarded<adopt>, "adopt");
  exports["storageOffsets"] = Napi::Function::New(env, guarded<storage_offsets>, "storageOffsets");
  exports["window"] = Napi::Function::New(env, guarded<window>, "window");
  exports["checkUnchanged"] = Napi::Function::New(env, guarded<check_unchanged>, "checkUnchanged");
  exports["read"] = Napi::Function::New(env, guarded<read>, "read");
  exports["populate"] = Napi::Function::New(env, guarded<populate_arrays>, "populate");
  exports["storageOffset"] = Napi::Function::New(env, guarded<storage_offset>, "storageOffset");
  exports["tape"] = Napi::Function::New(env, guarded<make_tape>, "tape");
  exports["scriptCode"] = Napi::Function::New(env, guarded<script_code>, "scriptCode");
  exports["classify"] = Napi::Function::New(env, guarded<classify>, "classify");
  exports["stateDict"] = Napi::Function::New(env, guarded<state_dict>, "stateDict");
  exports["close"] = Napi::Function::New(env, guarded<torchmap::addon::close>, "close");
  exports["loadSync"] = Napi::Function::New(env, guarded<load_sync>, "loadSync");
  exports["load"] = Napi::Function::New(env, guarded<load_async>, "load");
  exports["readAhead"] = Napi::Function::New(env, guarded<read_ahead>, "readAhead");
  exports["drop"] = Napi::Function::New(env, guarded<drop>, "drop");
  exports["storagePlaces"] = Napi::Function::New(env, guarded<storage_places>, "storagePlaces");
  exports["verifySync"] = Napi::Function::New(env, guarded<verify_sync>, "verifySync");
  exports["verify"] = Napi::Function::New(env, guarded<verify_async>, "verify");
  exports["storageRecords"] = Napi::Function::New(env, guarded<storage_records>, "storageRecords");
  exports["readFile"] = Napi::Function::New(env, guarded<read_file_bytes>, "readFile");
  exports["crc32"] = Napi::Function::New(env, guarded<crc32_of>, "crc32");
  exports["scanSync"] = Napi::Function::New(env, guarded<scan_sync>, "scanSync");
  exports["scanFiles"] = Napi::Function::New(env, guarded<scan_many>, "scanFiles");
  exports["gather"] = Napi::Function::New(env, guarded<gather>, "gather");
  exports["place"] = Napi::Function::New(env, guarded<torchmap::addon::place>, "place");
  exports["swap"] = Napi::Function::New(env, guarded<swap_units>, "swap");
  exports["toFloat32"] = Napi::Function::New(env, guarded<to_float32>, "toFloat32");
  exports["dequantize"] = Napi::Function::New(env, guarded<dequantize>, "dequantize");
  exports["survey"] = Napi::Function::New(env, guarded<survey_elements>, "survey");
  exports["compare"] = Napi::Function::New(env, guarded<compare_elements>, "compare");
  exports["weightNorm"] = Napi::Function::New(env, guarded<weight_norm>, "weightNorm");
  exports["spectralNorm"] = Napi::Function::New(env, guarded<spectral_norm>, "spectralNorm");
  exports["unitNorm"] = Napi::Function::New(env, guarded<unit_norm>, "unitNorm");
  exports["applyMask"] = Napi::Function::New(env, guarded<apply_mask>, "applyMask");
  exports["tables"] = Napi::Function::New(env, guarded<tables>, "tables");
  return exports;
}

}  // namespace

NODE_API_MODULE(torchmap, init)
