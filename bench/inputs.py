"""inputs.py FOLDER NAME ...: writes inputs of the benchmark with torch and safetensors, those that are not there yet.

Each is written under another name first and renamed when it is complete. No file is sparse or all zeros: pages of
zeros would be read faster than others. Prints one line for each file.
"""

import collections
import os
import shutil
import sys
import zipfile

import torch
from resnet import resnet18
from safetensors.torch import save_file

MIB, GIB = 2**20, 2**30


def small_tensors(count):
    """`count` tensors of 8 x 4 float32, each over a storage of its own."""
    return {f"layers.{i // 10}.block.{i % 10}.weight": torch.randn(8, 4) for i in range(count)}


def large_tensors(count, bytes_in_all):
    """`count` float32 tensors that fill `bytes_in_all`."""
    rows = bytes_in_all // count // 4 // 1024
    return {f"layers.{i // 10}.block.{i % 10}.weight": torch.randn(rows, 1024) for i in range(count)}


def alike_tensors(folder, count, bytes_in_all):
    """The same, from one block of random bytes that is mapped `count` times: the writer needs no more memory than it."""
    rows = bytes_in_all // count // 4 // 1024
    block = os.path.join(folder, f"block-{rows}.tmp")
    torch.randn(rows, 1024).numpy().tofile(block)
    tensors = {
        f"layers.{i // 10}.block.{i % 10}.weight": torch.from_file(block, size=rows * 1024).reshape(rows, 1024)
        for i in range(count)
    }
    os.remove(block)
    return tensors


def vocabulary(count):
    tokens = {f"token-{i:06d}": i for i in range(count)}
    return {"vocabulary": tokens, "embedding.weight": torch.randn(4096, 64), "head.bias": torch.randn(4096)}


def training():
    """ResNet-18 with AdamW after one step: what a training loop saves."""
    model = resnet18()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    for parameter in model.parameters():
        parameter.grad = torch.randn_like(parameter)
    optimizer.step()
    return {"epoch": 1, "model": model.state_dict(), "optimizer": optimizer.state_dict()}


def conversions():
    """64 MiB of each dtype that toFloat32() is timed with."""
    source = torch.randn(64 * MIB // 4)
    wide = [("bfloat16", torch.bfloat16), ("float16", torch.float16)]
    narrow = [("float8_e4m3fn", torch.float8_e4m3fn), ("float8_e5m2", torch.float8_e5m2)]
    tensors = {name: source.repeat(2).to(dtype) for name, dtype in wide}
    tensors |= {name: source.repeat(4).to(dtype) for name, dtype in narrow}
    return tensors | {"int8": torch.randint(-128, 128, (64 * MIB,), dtype=torch.int8)}


def growth(gib):
    return lambda folder: alike_tensors(folder, 300, gib * GIB)


# name: (bytes on the disk, at most; what is saved; whether as safetensors, too)
INPUTS = {
    "resnet18": (50 * MIB, lambda _: resnet18().state_dict(), True),
    "tensors-1000": (1 * MIB, lambda _: small_tensors(1000), True),
    "tensors-10000": (8 * MIB, lambda _: small_tensors(10_000), True),
    "tensors-100000": (80 * MIB, lambda _: small_tensors(100_000), True),
    "vocabulary": (32 * MIB, lambda _: vocabulary(500_000), False),
    "adam": (160 * MIB, lambda _: training(), False),
    "large": (1100 * MIB, lambda _: large_tensors(300, GIB), True),
    "conversions": (350 * MIB, lambda _: conversions(), False),
    "growth-1": (1 * GIB, growth(1), False),
    "growth-2": (2 * GIB, growth(2), False),
    "growth-4": (4 * GIB, growth(4), False),
    "growth-8": (8 * GIB, growth(8), False),
}


def written(path, write):
    """Calls `write` with another path and renames what it wrote to `path`; the bytes are on the disk then."""
    partial = f"{path}.partial"
    write(partial)
    with open(partial, "rb") as file:
        os.fsync(file.fileno())
    os.replace(partial, path)
    print(path, os.path.getsize(path), flush=True)


def copy_pickle(archive, target):
    """The pickle of an archive alone, for those that read nothing else."""
    with zipfile.ZipFile(archive) as file, open(target, "wb") as out:
        name = next(name for name in file.namelist() if name.endswith("/data.pkl"))
        out.write(file.read(name))


def make(folder, name):
    size, value, is_twice = INPUTS[name]
    base = os.path.join(folder, name)
    wanted = [f"{base}.pth", f"{base}.pkl"] + ([f"{base}.safetensors"] if is_twice else [])
    if all(os.path.exists(path) for path in wanted):
        return
    free = shutil.disk_usage(folder).free
    if free < size * (2 if is_twice else 1) + GIB:
        sys.exit(f"{name} needs {size} bytes, and the disk of {folder} has {free}")
    torch.manual_seed(1)
    saved = value(folder)
    written(f"{base}.pth", lambda path: torch.save(saved, path))
    written(f"{base}.pkl", lambda path: copy_pickle(f"{base}.pth", path))
    if is_twice:
        tensors = collections.OrderedDict((key, tensor.contiguous()) for key, tensor in saved.items())
        written(f"{base}.safetensors", lambda path: save_file(tensors, path))


if __name__ == "__main__":
    os.makedirs(sys.argv[1], exist_ok=True)
    for wanted in sys.argv[2:]:
        make(sys.argv[1], wanted)
