"""The networks and the data of the benchmark in PyTorch: parameters under the names that the weights files use.

A user would have such modules already; what is measured is in hooks.py, layers.py and train.py.
"""

import json
import sys
import time
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file
from torch import nn
from torch.nn import functional as F


class MLP(nn.Module):
    """Fully connected layers with ReLU, then logits. Sites: fc1, fc2, …, after the ReLU."""

    def __init__(self, widths, image, classes):
        super().__init__()
        self.sites, size = {}, image[0] * image[1] * image[2]
        for i, width in enumerate(widths, 1):
            self.add_module(f"fc{i}", nn.Linear(size, width))
            self.add_module(f"relu{i}", nn.ReLU(inplace=True))
            self.sites[f"fc{i}"], size = f"relu{i}", width
        self.logits = nn.Linear(size, classes)

    def forward(self, x):
        x = x.flatten(1)
        for i in range(1, len(self.sites) + 1):
            x = getattr(self, f"relu{i}")(getattr(self, f"fc{i}")(x))
        return self.logits(x)


class ConvNet(nn.Module):
    """The paper's 3×3 convolutions with batch normalization and ReLU. Sites: conv1, conv2, …, after the ReLU."""

    channels = (64, 64, 128, 128, 128, 256, 256, 256, 512, 512, 512)
    strides = (1, 1, 2, 1, 1, 2, 1, 1, 2, 1, 1)

    def __init__(self, width, image, classes):
        super().__init__()
        height, _, planes = image
        self.sites = {}
        for i, (channels, stride) in enumerate(zip(self.channels, self.strides), 1):
            channels = round(channels * width)
            self.add_module(f"conv{i}", nn.Conv2d(planes, channels, 3, stride, 1, bias=False))
            self.add_module(f"bn{i}", nn.BatchNorm2d(channels))
            self.add_module(f"relu{i}", nn.ReLU(inplace=True))
            self.sites[f"conv{i}"], planes, height = f"relu{i}", channels, (height + stride - 1) // stride
        self.logits = nn.Linear(planes * height * height, classes)

    def forward(self, x):
        for i in range(1, len(self.sites) + 1):
            x = getattr(self, f"relu{i}")(getattr(self, f"bn{i}")(getattr(self, f"conv{i}")(x)))
        return self.logits(x.flatten(1))


class Block(nn.Module):
    def __init__(self, planes, channels, stride):
        super().__init__()
        self.conv1 = nn.Conv2d(planes, channels, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(channels)
        self.relu = nn.ReLU(inplace=True)
        self.stride, self.missing = stride, channels - planes

    def forward(self, x):
        y = self.bn2(self.conv2(self.relu(self.bn1(self.conv1(x)))))
        if self.missing:  # option A of He et al. 2016
            half = self.missing // 2
            x = F.pad(x[:, :, :: self.stride, :: self.stride], (0, 0, 0, 0, half, self.missing - half))
        return self.relu(y.add_(x))


class ResNet20(nn.Module):
    """He et al. 2016, for CIFAR-10. Sites: the outputs of the blocks, layer1.0 … layer3.2."""

    def __init__(self, image, classes):
        super().__init__()
        self.conv1, self.bn1, self.relu = nn.Conv2d(image[2], 16, 3, 1, 1, bias=False), nn.BatchNorm2d(16), nn.ReLU(True)
        self.sites, planes = {}, 16
        for i, channels in enumerate((16, 32, 64), 1):
            blocks = []
            for j in range(3):
                blocks.append(Block(planes, channels, 2 if i > 1 and j == 0 else 1))
                self.sites[f"layer{i}.{j}"], planes = f"layer{i}.{j}", channels
            self.add_module(f"layer{i}", nn.Sequential(*blocks))
        self.linear = nn.Linear(planes, classes)

    def forward(self, x):
        x = self.relu(self.bn1(self.conv1(x)))
        x = self.layer3(self.layer2(self.layer1(x)))
        return self.linear(x.mean((2, 3)))


def parse(spec, image, classes):
    """The module of a specification: mlp:512,512, convnet, convnet:width=0.25 or resnet20."""
    kind, _, rest = spec.partition(":")
    if kind == "mlp":
        return MLP([int(width) for width in rest.split(",")], image, classes)
    if kind == "convnet":
        return ConvNet(float(rest.removeprefix("width=") or 1), image, classes)
    if spec == "resnet20":
        return ResNet20(image, classes)
    raise ValueError(f"net {spec!r} is not known to the peers")


class Folder:
    """A work folder: weights as .safetensors, images and labels as .npy; what was loaded once stays in memory."""

    def __init__(self, path):
        self.path, self.loaded = Path(path), {}

    def once(self, key, load):
        if key not in self.loaded:
            self.loaded[key] = load()
        return self.loaded[key]

    def net(self, job):
        """The network of a request, in inference mode, in the memory format that the request asks for."""
        key = ("net", job["net"], job["weights"], job.get("channels_last", False))

        def load():
            net = parse(job["net"], job["image"], job["classes"])
            missing, unexpected = net.load_state_dict(load_file(self.path / job["weights"]), strict=False)
            missing = [name for name in missing if not name.endswith("num_batches_tracked")]
            if missing or unexpected:
                raise ValueError(f"{job['weights']} lacks {missing}, and {job['net']} has no {unexpected}")
            return net.eval().to(memory_format=memory_format(job))

        return self.once(key, load)

    def data(self, job):
        """The first images (float32, [examples, planes, height, width], pixel/255, standardised if the request says so)
        and labels of a request's data set, all in memory before anything is measured."""
        key = ("images", job["data"], job.get("mean"), job.get("sd"), job.get("channels_last", False))
        key = tuple(tuple(part) if isinstance(part, list) else part for part in key)

        def load():
            # uint8 [examples, height, width, planes]
            raw = torch.from_numpy(np.load(self.path / f"{job['data']}-images.npy"))
            x = raw.permute(0, 3, 1, 2).contiguous().float().mul_(1 / 255)
            if job.get("mean"):
                planes = (1, -1, 1, 1)
                x.sub_(torch.tensor(job["mean"]).view(planes)).div_(torch.tensor(job["sd"]).view(planes))
            return x.contiguous(memory_format=memory_format(job))

        def labels():
            return torch.from_numpy(np.load(self.path / f"{job['data']}-labels.npy")).long()

        n = job["examples"]
        return self.once(key, load)[:n], self.once(("labels", job["data"]), labels)[:n]


def memory_format(job):
    return torch.channels_last if job.get("channels_last") else torch.contiguous_format


def timed(work):
    """The answer of work() and the seconds that it took."""
    started = time.perf_counter()
    answer = work()
    return answer, time.perf_counter() - started


def serve(handlers):
    """Answers requests: one JSON object a line on standard input, of the kind that names a handler, and one line of JSON
    for each on standard output. The only argument is the work folder; the number of threads comes with each request."""
    folder = Folder(sys.argv[1])
    for line in sys.stdin:
        job = json.loads(line)
        if torch.get_num_threads() != job["threads"]:
            torch.set_num_threads(job["threads"])
        print(json.dumps(handlers[job["kind"]](folder, job)), flush=True)
