"""Compares a table of units of a CIFAR-10 ResNet-20 with PyTorch forward hooks: selectivity per map, and the change of the
test loss of some ablated maps.

    directions import WEIGHTS --net resnet20 --data cifar10 --input imagenet --name resnet
    directions units resnet --split test --csv units.csv          # or with --no-impact
    python resnet20.py WEIGHTS test_batch.bin.gz units.csv

needs torch, numpy and safetensors. Prints the largest differences and exits with 1 if one is above 1e-4.
"""

import csv
import gzip
import sys

import numpy
import torch
from safetensors.torch import load_file
from torch import nn
from torch.nn import functional


class Block(nn.Module):
    def __init__(self, channels_in, channels, stride):
        super().__init__()
        self.conv1 = nn.Conv2d(channels_in, channels, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(channels)

    def forward(self, x):
        y = self.bn2(self.conv2(functional.relu(self.bn1(self.conv1(x)))))
        if y.shape != x.shape:
            side = (y.shape[1] - x.shape[1]) // 2
            x = functional.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, side, side))
        return functional.relu(y + x)


class ResNet20(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(3, 16, 3, 1, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(16)
        self.layer1 = nn.Sequential(*[Block(16, 16, 1) for _ in range(3)])
        self.layer2 = nn.Sequential(*[Block(16 if i == 0 else 32, 32, 2 if i == 0 else 1) for i in range(3)])
        self.layer3 = nn.Sequential(*[Block(32 if i == 0 else 64, 64, 2 if i == 0 else 1) for i in range(3)])
        self.linear = nn.Linear(64, 10)

    def forward(self, x):
        x = functional.relu(self.bn1(self.conv1(x)))
        return self.linear(self.layer3(self.layer2(self.layer1(x))).mean((2, 3)))


@torch.no_grad()
def main(weights, batch, table):
    net = ResNet20().eval()
    net.load_state_dict(load_file(weights), strict=False)
    missing = set(net.state_dict()) - set(load_file(weights))
    assert all(name.endswith("num_batches_tracked") for name in missing), missing
    records = numpy.frombuffer(gzip.open(batch).read(), numpy.uint8).reshape(-1, 3073)
    labels = torch.tensor(records[:, 0].astype(numpy.int64))
    images = torch.tensor(records[:, 1:].reshape(-1, 3, 32, 32)).float() / 255
    images = (images - torch.tensor([0.485, 0.456, 0.406])[:, None, None]) / torch.tensor([0.229, 0.224, 0.225])[:, None, None]
    blocks = {f"layer{i}.{j}": getattr(net, f"layer{i}")[j] for i in (1, 2, 3) for j in range(3)}

    def loss():
        out = [functional.cross_entropy(net(x), y, reduction="sum").double()
               for x, y in zip(images.split(500), labels.split(500))]
        return (sum(out) / len(labels)).item()

    seen = {name: [] for name in blocks}
    hooks = [b.register_forward_hook(lambda _, __, y, name=name: seen[name].append(y.mean((2, 3)))) for name, b in blocks.items()]
    whole = loss()
    for hook in hooks:
        hook.remove()

    rows = list(csv.DictReader(open(table)))
    worst_index = worst_norm = 0.0
    params = net.state_dict()
    for name in blocks:
        x = torch.cat(seen[name]).double()
        means = torch.stack([x[labels == c].mean(0) for c in range(10)])
        top = means.max(0).values
        others = (means.sum(0) - top) / 9
        index = (top - others) / (top + others)
        norm = params[name + ".conv2.weight"].double().abs().sum((1, 2, 3))
        mine = [r for r in rows if r["site"] == name]
        if not mine:  # the table is of other sites
            continue
        assert len(mine) == len(index), name
        for r in mine:
            u = int(r["unit"])
            if r["dead"] == "true":
                assert torch.isnan(index[u])
                continue
            worst_index = max(worst_index, abs(float(r["selectivity"]) - index[u].item()))
            worst_norm = max(worst_norm, abs(float(r["l1_norm"]) - norm[u].item()))
            assert int(r["preferred_class"]) == means[:, u].argmax().item()
    print(f"{len(rows)} maps, {len(labels)} images: selectivity differs by at most {worst_index:.2g}, L1 norm by {worst_norm:.2g}")

    worst_loss = 0.0
    if "delta_loss" in rows[0]:
        checked = rows[::24]
        for r in checked:
            def ablate(_, __, y, u=int(r["unit"])):
                y = y.clone()
                y[:, u] = 0
                return y

            hook = blocks[r["site"]].register_forward_hook(ablate)
            worst_loss = max(worst_loss, abs(loss() - whole - float(r["delta_loss"])))
            hook.remove()
        print(f"{len(checked)} of them ablated: change of the loss differs by at most {worst_loss:.2g} nats")
    sys.exit(max(worst_index, worst_loss) > 1e-4)


main(*sys.argv[1:])
