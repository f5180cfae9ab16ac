"""loaders.py LOADER: one Python reader as a contestant of the benchmark; bench/README.md describes the lines.

TORCHMAP_BENCH_TOUCH names the library with the loop that every contestant reads bytes with.
"""

import ctypes
import gc
import json
import os
import pickle
import sys
import time
import zipfile


def tensors_of(value, found):
    """The tensors in dicts and lists, with their names, dtypes and shapes looked at."""
    if isinstance(value, dict):
        for key, item in value.items():
            if hasattr(item, "data_ptr"):
                found.append((key, item.dtype, item.shape, item))
            elif isinstance(item, (dict, list)):
                tensors_of(item, found)
    elif isinstance(value, list):
        for item in value:
            if hasattr(item, "data_ptr"):
                found.append(("", item.dtype, item.shape, item))
            elif isinstance(item, (dict, list)):
                tensors_of(item, found)
    return found


def toucher():
    touch = ctypes.CDLL(os.environ["TORCHMAP_BENCH_TOUCH"]).torchmap_touch
    touch.argtypes = [ctypes.c_void_p, ctypes.c_size_t]
    touch.restype = ctypes.c_uint64
    return touch


def summed(tensors):
    touch = toucher()
    total = 0
    for tensor in tensors:
        total += touch(tensor.data_ptr(), tensor.nbytes)
    return f"{total % 2**64:016x}"


def torch_loader(**options):
    import torch

    def names(path):
        found = tensors_of(torch.load(path, **options), [])
        return {"tensors": len(found)}, found

    def touched(path):
        found = tensors_of(torch.load(path, **options), [])
        return {"tensors": len(found), "sum": summed(tensor for *_, tensor in found)}, found

    return f"torch {torch.__version__.split('+')[0]}", {"names": names, "bytes": touched}


def safetensors_slices():
    """Names, dtypes and shapes without tensors: the least the package can be asked for."""
    import safetensors

    def names(path):
        file = safetensors.safe_open(path, "pt")
        found = []
        for key in file.keys():
            part = file.get_slice(key)
            found.append((key, part.get_dtype(), part.get_shape()))
        return {"tensors": len(found)}, (file, found)

    def touched(path):
        file = safetensors.safe_open(path, "pt")
        tensors = [file.get_tensor(key) for key in file.keys()]
        return {"tensors": len(tensors), "sum": summed(tensors)}, (file, tensors)

    import torch  # noqa: F401  (else its import falls into the first run)

    return f"safetensors {safetensors.__version__}", {"names": names, "bytes": touched}


def safetensors_numpy():
    """The same with numpy instead of torch, whose tensors cost less to make."""
    import numpy
    import safetensors

    version, loads = safetensors_slices()
    touch = toucher()

    def touched(path):
        file = safetensors.safe_open(path, "np")
        arrays = [file.get_tensor(key) for key in file.keys()]
        total = sum(touch(array.ctypes.data, array.nbytes) for array in arrays)
        return {"tensors": len(arrays), "sum": f"{total % 2**64:016x}"}, (file, arrays)

    return f"{version}, numpy {numpy.__version__}", {**loads, "bytes": touched}


def safetensors_load_file():
    import safetensors
    from safetensors.torch import load_file

    def names(path):
        found = tensors_of(load_file(path), [])
        return {"tensors": len(found)}, found

    def touched(path):
        found = tensors_of(load_file(path), [])
        return {"tensors": len(found), "sum": summed(tensor for *_, tensor in found)}, found

    return f"safetensors {safetensors.__version__}", {"names": names, "bytes": touched}


def zipfile_testzip():
    def verified(path):
        with zipfile.ZipFile(path) as archive:
            if (bad := archive.testzip()) is not None:
                raise ValueError(f"{bad} is damaged")
            return {"tensors": sum("/data/" in name for name in archive.namelist())}, None

    return f"CPython {sys.version.split()[0]}", {"verified": verified}


class Stub:
    """Stands for every class and function the pickle names: takes anything, does nothing."""

    def __init__(self, *_):
        pass

    def __setstate__(self, _):
        pass


class StubDict(dict):
    def __setstate__(self, _):
        pass


class Stubs(pickle.Unpickler):
    """CPython's unpickler in C with stubs, so that decoding alone is timed. For files of this suite only."""

    def find_class(self, module, name):
        return StubDict if name == "OrderedDict" else Stub

    def persistent_load(self, pid):
        return pid


def pickle_alone():
    import io

    def decode(path):
        with open(path, "rb") as file:
            data = file.read()
        start = time.perf_counter()
        value = Stubs(io.BytesIO(data)).load()
        elapsed = time.perf_counter() - start
        return {"tensors": len(value), "ms": 1e3 * elapsed}, value

    return f"CPython {sys.version.split()[0]}", {"decode": decode}


LOADERS = {
    "torch": lambda: torch_loader(),
    "torch-mmap": lambda: torch_loader(mmap=True),
    "torch-mmap-full": lambda: torch_loader(mmap=True, weights_only=False),
    "safetensors": safetensors_slices,
    "safetensors-numpy": safetensors_numpy,
    "safetensors-load-file": safetensors_load_file,
    "testzip": zipfile_testzip,
    "pickle": pickle_alone,
}


def memory():
    with open("/proc/self/status") as file:
        lines = dict(line.split(":", 1) for line in file)
    return {name: int(lines[key].split()[0]) / 1024 for name, key in
            [("resident", "VmRSS"), ("anonymous", "RssAnon"), ("file", "RssFile")]}


def run(loads, what, path):
    """One answer. What was loaded is freed, and garbage collected, outside the clock."""
    gc.collect()
    if what == "resident":
        before = memory()
        told, held = loads["names"](path)
        return {"ms": 0, **told, **{key: value - before[key] for key, value in memory().items()}}
    start = time.perf_counter()
    told, held = loads[what](path)
    elapsed = time.perf_counter() - start
    del held
    return {"ms": 1e3 * elapsed, **told}


def main():
    version, loads = LOADERS[sys.argv[1]]()
    print(json.dumps({"version": version}), flush=True)
    for line in sys.stdin:
        what, _, path = line.rstrip("\n").partition("\t")
        try:
            answer = run(loads, what, path)
        except Exception as error:  # whatever it is, it is this row's result
            answer = {"error": f"{type(error).__name__}: {error}".split("\n")[0]}
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
