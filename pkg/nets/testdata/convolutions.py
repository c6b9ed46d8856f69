"""Prints what convolutions_test.go expects, in float64. Written with PyTorch 2.15.0 on a CPU:

    pip install torch==2.15.0 && python3 pkg/nets/testdata/convolutions.py > pkg/nets/testdata/convolutions.json
"""
import json

import torch
from torch import nn
from torch.nn import functional as F

torch.set_default_dtype(torch.float64)


def numbers(name, count):
    """Made-up numbers from -0.5 to 0.5 that Go makes the same way."""
    seed = sum(name.encode())
    return torch.tensor([((i * i * 31 + i * 17 + seed * 101) % 1009) / 1009 - 0.5 for i in range(count)])


@torch.no_grad()
def fill(net):
    for name, value in net.state_dict().items():
        if name.endswith("num_batches_tracked"):
            continue
        x = numbers(name, value.numel())
        if value.dim() > 1:
            x = x * 4 / (value[0].numel()) ** 0.5
        elif name.endswith("running_var") or ("bn" in name or "downsample.1" in name) and name.endswith("weight"):
            x = x + 1
        value.copy_(x.reshape(value.shape))
    return net


def images(n, h, w, c):
    return (numbers("images", n * h * w * c) * 4).reshape(n, h, w, c).permute(0, 3, 1, 2)


class ConvNet(nn.Module):
    def __init__(self, channels, strides, size, plain=False, hidden=0, classes=3):
        super().__init__()
        self.layers = len(channels)
        before = 3
        for i, (c, s) in enumerate(zip(channels, strides), 1):
            self.add_module(f"conv{i}", nn.Conv2d(before, c, 3, s, 1, bias=plain))
            self.add_module(f"bn{i}", nn.Identity() if plain else nn.BatchNorm2d(c))
            before = c
        self.fc1 = nn.Linear(before * size, hidden) if hidden else None
        self.logits = nn.Linear(hidden or before * size, classes)

    def forward(self, x):
        for i in range(1, self.layers + 1):
            x = F.relu(self.get_submodule(f"bn{i}")(self.get_submodule(f"conv{i}")(x)))
        x = x.flatten(1)
        return self.logits(F.relu(self.fc1(x)) if self.fc1 else x)


class Block(nn.Module):
    def __init__(self, before, planes, stride, imagenet, bottleneck):
        super().__init__()
        self.bottleneck, self.planes = bottleneck, planes
        after = planes * 4 if bottleneck else planes
        if bottleneck:
            sizes = [(before, planes, 1, 1), (planes, planes, 3, stride), (planes, after, 1, 1)]
        else:
            sizes = [(before, planes, 3, stride), (planes, planes, 3, 1)]
        self.convolutions = len(sizes)
        for i, (a, b, k, s) in enumerate(sizes, 1):
            self.add_module(f"conv{i}", nn.Conv2d(a, b, k, s, k // 2, bias=False))
            self.add_module(f"bn{i}", nn.BatchNorm2d(b))
        self.downsample, self.skips = None, False
        if stride != 1 or before != after:
            if imagenet:
                self.downsample = nn.Sequential(nn.Conv2d(before, after, 1, stride, bias=False), nn.BatchNorm2d(after))
            else:
                self.skips = True

    def forward(self, x):
        y = x
        for i in range(1, self.convolutions + 1):
            y = self.get_submodule(f"bn{i}")(self.get_submodule(f"conv{i}")(y))
            if i < self.convolutions:
                y = F.relu(y)
        if self.downsample:
            x = self.downsample(x)
        elif self.skips:
            x = F.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, self.planes // 4, self.planes // 4))
        return F.relu(y + x)


class ResNet(nn.Module):
    def __init__(self, blocks, planes, imagenet=False, bottleneck=False, classes=3):
        super().__init__()
        self.imagenet = imagenet
        self.conv1 = nn.Conv2d(3, planes, 7, 2, 3, bias=False) if imagenet else nn.Conv2d(3, planes, 3, 1, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(planes)
        self.stages = len(blocks)
        before = planes
        for i, n in enumerate(blocks):
            stage = []
            for j in range(n):
                stage.append(Block(before, planes << i, 2 if i and not j else 1, imagenet, bottleneck))
                before = (planes << i) * (4 if bottleneck else 1)
            self.add_module(f"layer{i + 1}", nn.Sequential(*stage))
        self.add_module("fc" if imagenet else "linear", nn.Linear(before, classes))

    def forward(self, x):
        x = F.relu(self.bn1(self.conv1(x)))
        if self.imagenet:
            x = F.max_pool2d(x, 3, 2, 1)
        for i in range(self.stages):
            x = self.get_submodule(f"layer{i + 1}")(x)
        return self.get_submodule("fc" if self.imagenet else "linear")(x.mean((2, 3)))


def row(values):
    return [float(f"{v:.9g}") for v in values]


def show(net, x):
    fill(net).eval()
    with torch.no_grad():
        logits = net(x)
    net.train()
    loss = F.cross_entropy(net(x), torch.arange(len(x)) % 3, reduction="sum")
    loss.backward()
    return {
        "images": list(x.permute(0, 2, 3, 1).shape),
        "logits": row(logits.flatten()),  # in evaluation mode
        "loss": loss.item(),  # the rest is a step in training mode
        # of the gradient g: the sum over i of i·g[i], and the sum of |g[i]|
        "gradients": {
            key: row([(p.grad.flatten() * torch.arange(p.numel())).sum(), p.grad.abs().sum()])
            for key, p in net.named_parameters()
        },
        "running": {key: row(b) for key, b in net.named_buffers() if not key.endswith("num_batches_tracked")},
    }


print(json.dumps({
    "convnet": show(ConvNet([4, 6, 5], [1, 2, 1], 9), images(4, 6, 5, 3)),
    "convnet plain": show(ConvNet([4, 6, 5], [1, 2, 1], 9, plain=True), images(4, 6, 5, 3)),
    "convnet fc": show(ConvNet([4], [2], 9, hidden=7), images(4, 6, 5, 3)),
    "resnet cifar": show(ResNet([1, 2], 4), images(4, 7, 6, 3)),
    "resnet imagenet": show(ResNet([1, 1], 4, imagenet=True), images(4, 13, 12, 3)),
    "resnet bottleneck": show(ResNet([1, 1], 2, imagenet=True, bottleneck=True), images(4, 13, 12, 3)),
}, indent=1))
