"""Writes what classify.mjs reads: a ResNet-18 as a graph without weights, its checkpoint, an image and torch's logits.

    python make_resnet18.py OUTDIR [--width 64] [--classes 1000] [--image 224]

`resnet18.onnx` has every parameter and buffer it computes with as an input of the name it has in the state dict;
`resnet18.pth` is that state dict, `sample.pth` the image and the logits. The files in `narrow` were written by
`--width 8 --classes 10 --image 64` with torch 2.13, onnx 1.23 and onnxscript 0.7.
"""

import argparse
from pathlib import Path

import onnx
import torch
from torch import nn


class BasicBlock(nn.Module):
    def __init__(self, inputs, outputs, stride):
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.relu = nn.ReLU(inplace=True)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.downsample = None
        if stride != 1 or inputs != outputs:
            self.downsample = nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs))

    def forward(self, x):
        shortcut = x if self.downsample is None else self.downsample(x)
        x = self.relu(self.bn1(self.conv1(x)))
        return self.relu(self.bn2(self.conv2(x)) + shortcut)


class ResNet18(nn.Module):
    """torchvision's, module for module and name for name, of any width."""

    def __init__(self, width=64, classes=1000):
        super().__init__()
        self.conv1 = nn.Conv2d(3, width, 7, 2, 3, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.relu = nn.ReLU(inplace=True)
        self.maxpool = nn.MaxPool2d(3, 2, 1)
        for at in range(4):
            inputs, outputs = width << max(at - 1, 0), width << at
            first = BasicBlock(inputs, outputs, 1 if at == 0 else 2)
            setattr(self, f"layer{at + 1}", nn.Sequential(first, BasicBlock(outputs, outputs, 1)))
        self.avgpool = nn.AdaptiveAvgPool2d((1, 1))
        self.fc = nn.Linear(width << 3, classes)

    def forward(self, image):
        x = self.maxpool(self.relu(self.bn1(self.conv1(image))))
        x = self.layer4(self.layer3(self.layer2(self.layer1(x))))
        return self.fc(torch.flatten(self.avgpool(x), 1))


def randomise(net):
    """Statistics and factors as training would leave them: none is 0 or 1."""
    for module in net.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.normal_(module.bias, 0, 0.2)
            nn.init.normal_(module.running_mean, 0, 0.2)
            nn.init.uniform_(module.running_var, 0.5, 2)
            module.num_batches_tracked.fill_(1000)


def without_weights(path):
    """Makes the initializers inputs. The exporter gives them the names of the state dict."""
    model = onnx.load(path)
    graph = model.graph
    for weight in graph.initializer:
        graph.input.append(onnx.helper.make_tensor_value_info(weight.name, weight.data_type, weight.dims))
    names = [weight.name for weight in graph.initializer]
    del graph.initializer[:]
    del graph.value_info[:]
    for node in graph.node:
        del node.metadata_props[:]  # where it stands in Python's sources
    onnx.checker.check_model(model)
    onnx.save(model, path)
    return names


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, metavar="OUTDIR")
    parser.add_argument("--width", type=int, default=64)
    parser.add_argument("--classes", type=int, default=1000)
    parser.add_argument("--image", type=int, default=224)
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)

    torch.manual_seed(18)
    torch.set_num_threads(1)
    net = ResNet18(options.width, options.classes)
    randomise(net)
    net.eval()
    image = torch.randn(1, 3, options.image, options.image)
    with torch.no_grad():
        logits = net(image)

    graph = options.folder / "resnet18.onnx"
    names = {"input_names": ["image"], "output_names": ["logits"]}
    torch.onnx.export(net, (image,), graph, **names, dynamo=True, optimize=False, external_data=False)
    inputs = without_weights(graph)
    weights = net.state_dict()
    used = {name for name in weights if not name.endswith("num_batches_tracked")}
    assert len(weights) == 122 and set(inputs) == used, set(inputs) ^ used
    torch.save(weights, options.folder / "resnet18.pth")
    torch.save({"image": image, "logits": logits}, options.folder / "sample.pth")
    for path in sorted(options.folder.iterdir()):
        print(f"{path.name}: {path.stat().st_size} bytes")


if __name__ == "__main__":
    main()
