"""Writes sample.pth: a window of a series and what the network of ../tcn.pth makes of it in torch.

    python make_sample.py

Written with torch 2.13.
"""

import sys
from pathlib import Path

import torch

HERE = Path(__file__).resolve().parent
sys.dont_write_bytecode = True
sys.path.insert(0, str(HERE.parent))

from make_tcn import HORIZON, WINDOW, TemporalConvNet, series  # noqa: E402


def main():
    torch.manual_seed(11)
    torch.set_num_threads(1)
    net = TemporalConvNet()
    net.load_state_dict(torch.load(HERE.parent / "tcn.pth"))
    net.eval()
    values = series(WINDOW + HORIZON)
    window = values[:WINDOW].reshape(1, 1, WINDOW).clone()
    with torch.no_grad():
        forecast = net(window)
    path = HERE / "sample.pth"
    torch.save({"window": window, "forecast": forecast}, path)
    print(f"{path.name}: {path.stat().st_size} bytes, mean error {(forecast - values[WINDOW:]).abs().mean():.3f}")


if __name__ == "__main__":
    main()
