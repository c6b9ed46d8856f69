"""Writes oracles.json: small networks with weights and images, and what PyTorch says of them in double precision, with batch
normalization folded in by torch.nn.utils.fusion.

    pip install numpy torch
    python oracles.py
"""

import copy
import json
import pathlib

import numpy
import torch
from torch import nn
from torch.nn.utils import fusion

torch.manual_seed(1)
torch.set_default_dtype(torch.float64)
CLASSES, SIZE, CHANNELS, IMAGES = 3, 8, 2, 30


class ConvNet(nn.Module):
    """convnet:width=0.0625,layers=3"""

    def __init__(self):
        super().__init__()
        shape = [CHANNELS, 4, 4, 8]
        for i in range(3):
            setattr(self, f"conv{i + 1}", nn.Conv2d(shape[i], shape[i + 1], 3, [1, 1, 2][i], 1, bias=False))
            setattr(self, f"bn{i + 1}", nn.BatchNorm2d(shape[i + 1]))
        self.logits = nn.Linear(8 * 4 * 4, CLASSES)

    def forward(self, x):
        for i in range(3):
            x = torch.relu(getattr(self, f"bn{i + 1}")(getattr(self, f"conv{i + 1}")(x)))
        return self.logits(x.flatten(1))

    def folded(self):
        net = copy.deepcopy(self)
        for i in range(3):
            conv, bn = getattr(net, f"conv{i + 1}"), getattr(net, f"bn{i + 1}")
            setattr(net, f"conv{i + 1}", fusion.fuse_conv_bn_eval(conv, bn))
            setattr(net, f"bn{i + 1}", nn.Identity())
        return net


class MLP(nn.Module):
    """mlp:7,5"""

    def __init__(self):
        super().__init__()
        self.fc1 = nn.Linear(SIZE * SIZE * CHANNELS, 7)
        self.fc2 = nn.Linear(7, 5)
        self.logits = nn.Linear(5, CLASSES)

    def forward(self, x):  # pixels in the order [height, width, channels]
        x = x.permute(0, 2, 3, 1).flatten(1)
        return self.logits(torch.relu(self.fc2(torch.relu(self.fc1(x)))))

    def folded(self):
        return copy.deepcopy(self)


def main():
    images = torch.randint(0, 256, (IMAGES, SIZE, SIZE, CHANNELS))
    labels = torch.randint(0, CLASSES, (IMAGES,))
    x = images.permute(0, 3, 1, 2) / 255
    out = {"made_by": f"torch {torch.__version__}, numpy {numpy.__version__}", "classes": CLASSES,
           "shape": [SIZE, SIZE, CHANNELS], "images": images.flatten().tolist(), "labels": labels.tolist(), "networks": []}
    for spec, net in [("mlp:7,5", MLP()), ("convnet:width=0.0625,layers=3", ConvNet())]:
        for name, value in net.state_dict().items():
            if name.endswith("running_var"):
                value.copy_(0.5 + torch.rand_like(value))
            elif "bn" in name and value.dim() == 1:
                value.copy_(torch.randn_like(value))
            if value.is_floating_point():  # what the file holds is what Go reads as float32
                value.copy_(value.float())
        net.eval()
        weights = {k: v for k, v in net.state_dict().items() if v.is_floating_point()}
        folded = net.folded()
        with torch.no_grad():
            logits = net(x)
            assert torch.allclose(logits, folded(x))
            own = logits.gather(1, labels[:, None])[:, 0]
            other = logits.scatter(1, labels[:, None], -torch.inf).amax(1)
            matrices = {k: v.flatten(1).numpy() for k, v in folded.state_dict().items() if v.dim() > 1}
            squared = copy.deepcopy(folded)
            for p in squared.parameters():
                p.pow_(2)
            out["networks"].append({
                "net": spec,
                "weights": {k: {"shape": list(v.shape), "data": v.flatten().tolist()} for k, v in weights.items()},
                "margin": numpy.quantile((own - other).numpy(), 0.1),
                "loss": nn.functional.cross_entropy(logits, labels).item(),
                "frobenius": {k: numpy.linalg.norm(m) for k, m in matrices.items()},
                "spectral": {k: numpy.linalg.svd(m, compute_uv=False)[0] for k, m in matrices.items()},
                "path_norm": squared(torch.ones(1, CHANNELS, SIZE, SIZE)).sum().sqrt().item(),
            })
    text = json.dumps(out).replace('{"net"', '\n{"net"')
    pathlib.Path(__file__).with_name("oracles.json").write_text(text + "\n")


main()
