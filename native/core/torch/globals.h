// What a (module, name) pair means to this reader.
#pragma once

#include "core/pickle/nodes.h"
#include "core/torch/dtype.h"

namespace torchmap {

enum class GlobalKind : uint8_t {
  kUnknown,  // an inert object; refused under `globals: 'strict'`
  kInert,    // an inert object, known to be harmless
  kStorage,  // dtype, or untyped
  kUntypedStorage,
  kDType,       // dtype
  kShellDType,  // a torch dtype no tensor can be stored in (uint1 .. int7)
  kQScheme,
  kTypedTensor,   // torch.FloatTensor, torch.cuda.FloatTensor ...: dtype
  kSparseTensor,  // torch.sparse.FloatTensor ...: dtype
  kRebuildTensor,
  kRebuildTensorV2,
  kRebuildTensorV3,
  kRebuildParameter,
  kRebuildParameterWithState,
  kRebuildQTensor,
  kRebuildSparse,
  kRebuildNested,
  kRebuildJagged,
  kRebuildMeta,
  kRebuildWrapper,
  kRebuildFromNumpy,
  kRebuildFromCpu,
  kRebuildFromType,
  kLoadFromBytes,
  kParameter,
  kVariable,
  kTensor,
  kUninitialized,
  kSize,
  kDevice,
  kGetLayout,
  kFirstArgument,
  kMapping,
  kDefaultDict,
  kSet,
  kSequence,
  kComplex,
  kEncode,
  kBytes,
  kReconstructor,
  kNewObject,
  kNumpyDtype,
  kNumpyArrayClass,
  kNumpyReconstruct,
  kNumpyScalar,
  kNumpyFromBuffer,
};

struct GlobalMeaning {
  GlobalKind kind = GlobalKind::kUnknown;
  DType dtype = DType::kUInt8;
};

// Looks the pair up. Nothing is imported, called or searched for outside this library's table.
GlobalMeaning classify_global(std::string_view module, std::string_view name);

// Python 3's name of a global that a Python 2 compatible pickle (protocol 0 to 2) spells the old
// way; the names given when there is none. Source: CPython Lib/_compat_pickle.py.
GlobalName python3_name(GlobalName global);

}  // namespace torchmap
