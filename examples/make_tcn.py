"""Writes tcn.pth, the checkpoint the examples open: a small temporal convolutional network that forecasts a series.

    python make_tcn.py

Written with torch 2.13. The same torch on the same machine writes the same bytes.
"""

import math
from pathlib import Path

import torch
from torch import nn
from torch.nn.functional import pad, relu
from torch.nn.utils.parametrizations import weight_norm

WINDOW, HORIZON = 96, 24


class ResidualBlock(nn.Module):
    """Two causal convolutions with normalised weights, and a way around them."""

    def __init__(self, inputs, outputs, dilation, kernel=3):
        super().__init__()
        self.past = (kernel - 1) * dilation
        self.conv1 = weight_norm(nn.Conv1d(inputs, outputs, kernel, dilation=dilation))
        self.conv2 = weight_norm(nn.Conv1d(outputs, outputs, kernel, dilation=dilation))
        self.downsample = nn.Conv1d(inputs, outputs, 1) if inputs != outputs else None

    def forward(self, x):
        shortcut = x if self.downsample is None else self.downsample(x)
        x = relu(self.conv1(pad(x, (self.past, 0))))
        return relu(self.conv2(pad(x, (self.past, 0)))) + shortcut


class TemporalConvNet(nn.Module):
    """Takes (batch, 1, WINDOW) and forecasts (batch, HORIZON)."""

    def __init__(self, channels=32, levels=5):
        super().__init__()
        self.register_buffer("mean", torch.zeros(1))
        self.register_buffer("scale", torch.ones(1))
        widths = [1] + [channels] * levels
        self.blocks = nn.ModuleList(ResidualBlock(widths[at], widths[at + 1], 2**at) for at in range(levels))
        self.head = nn.Sequential(nn.Linear(channels, 64), nn.ReLU(), nn.Linear(64, HORIZON))

    def forward(self, x):
        x = (x - self.mean) / self.scale
        for block in self.blocks:
            x = block(x)
        return self.head(x[:, :, -1]) * self.scale + self.mean


def series(length=2000):
    """A daily and a weekly rhythm on a slow rise."""
    hour = torch.arange(length, dtype=torch.float32)
    day, week = torch.sin(hour * 2 * math.pi / 24), torch.cos(hour * 2 * math.pi / 168)
    return 20 + 5 * day + 2 * week + 0.001 * hour + 0.3 * torch.randn(length)


def train(net, values, steps=150):
    net.mean.copy_(values.mean())
    net.scale.copy_(values.std())
    adam = torch.optim.Adam(net.parameters(), lr=2e-3)
    for _ in range(steps):
        starts = torch.randint(len(values) - WINDOW - HORIZON, (32,)).tolist()
        past = torch.stack([values[at : at + WINDOW] for at in starts])[:, None]
        future = torch.stack([values[at + WINDOW : at + WINDOW + HORIZON] for at in starts])
        loss = nn.functional.mse_loss(net(past), future)
        adam.zero_grad()
        loss.backward()
        adam.step()
    return loss.item()


def main():
    torch.manual_seed(7)
    torch.set_num_threads(1)
    net = TemporalConvNet()
    loss = train(net, series())
    path = Path(__file__).with_name("tcn.pth")
    torch.save(net.state_dict(), path)
    print(f"{path.name}: {len(net.state_dict())} tensors, {path.stat().st_size} bytes, loss {loss:.3f}")


if __name__ == "__main__":
    main()
