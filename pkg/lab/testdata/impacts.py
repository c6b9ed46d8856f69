"""What ablating single feature maps does to a CIFAR-10 ResNet-20, by PyTorch: the oracle of TestSingleUnitsAgainstPyTorch.

    python impacts.py cifar10-resnet20-12fca82f.safetensors test_batch.bin.gz impacts.json [IMAGES]

Each map of the nine block outputs, after the block's last ReLU, is set to zero, one at a time, and the rest of the network is
run, in evaluation mode and float32, on the first IMAGES (100) test images, normalised as for ImageNet. Written is the mean
cross-entropy in nats, summed in float64, without ablation and for each map. Made with torch 2.15.0 on a CPU; needs torch,
numpy and safetensors.
"""

import gzip
import hashlib
import json
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
def main(weights, batch, out, images=100):
    net = ResNet20().eval()
    state = load_file(weights)
    missing = set(net.state_dict()) - set(state)
    assert all(name.endswith("num_batches_tracked") for name in missing), missing
    net.load_state_dict(state, strict=False)
    records = numpy.frombuffer(gzip.open(batch).read(), numpy.uint8).reshape(-1, 3073)[:int(images)]
    labels = torch.tensor(records[:, 0].astype(numpy.int64))
    pixels = torch.tensor(records[:, 1:].reshape(-1, 3, 32, 32)).float() / 255
    pixels = (pixels - torch.tensor([0.485, 0.456, 0.406])[:, None, None]) / torch.tensor([0.229, 0.224, 0.225])[:, None, None]

    def loss(logits):
        return functional.cross_entropy(logits, labels, reduction="none").double().mean().item()

    whole = loss(net(pixels))
    names = [f"layer{i}.{j}" for i in (1, 2, 3) for j in range(3)]
    blocks = [*net.layer1, *net.layer2, *net.layer3]
    x, maps = functional.relu(net.bn1(net.conv1(pixels))), []
    for k, name in enumerate(names):
        x = blocks[k](x)
        for unit in range(x.shape[1]):
            y = x.clone()
            y[:, unit] = 0
            for block in blocks[k + 1:]:
                y = block(y)
            maps.append({"site": name, "unit": unit, "loss": loss(net.linear(y.mean((2, 3))))})
        print(name, flush=True)
    assert loss(net.linear(x.mean((2, 3)))) == whole
    with open(weights, "rb") as f:
        head = {"torch": torch.__version__, "weights": hashlib.sha256(f.read()).hexdigest(), "images": len(labels), "loss": whole}
    with open(out, "w") as f:
        f.write(json.dumps(head)[:-1] + ', "maps": [\n' + ",\n".join(json.dumps(m) for m in maps) + "\n]}\n")


main(*sys.argv[1:])
