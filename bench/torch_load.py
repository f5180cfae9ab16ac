"""write FILE COUNT: a state dict of COUNT small tensors. load FILE: times torch.load of it, as JSON in seconds."""

import json
import sys
import time

import torch

RUNS = 9


def write(path, count):
    torch.save({f"layers.{i // 10}.block.{i % 10}.weight": torch.full((8, 4), float(i)) for i in range(count)}, path)
    print("{}")


def timed(path, **options):
    seconds = []
    for _ in range(RUNS):
        start = time.perf_counter()
        value = torch.load(path, **options)
        seconds.append(time.perf_counter() - start)
        del value
    return seconds


if __name__ == "__main__":
    if sys.argv[1] == "write":
        write(sys.argv[2], int(sys.argv[3]))
    else:
        name = f"torch {torch.__version__.split('+')[0]} load"
        print(json.dumps({f"{name}()": timed(sys.argv[2]), f"{name}(mmap=True)": timed(sys.argv[2], mmap=True)}))
