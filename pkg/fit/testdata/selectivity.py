"""Prints what TestSelectivityIndexAgainstPyTorch and TestStepsWithSelectivityAgainstPyTorch expect. Written with PyTorch 2.15.0
on a CPU:

    pip install torch==2.15.0 && python3 pkg/fit/testdata/selectivity.py

Everything is in float64; float32 differs from it by less than the tests allow (last lines). The index is written as Leavitt &
Morcos (ICLR 2021) define it, class by class; gradients are autograd's.
"""
import torch

EPSILON = 1e-7


def index(x, labels):
    """SI of each unit of x [batch, units, ...], PyTorch's layout, over the classes that the batch has."""
    x = x.flatten(2).mean(2) if x.dim() > 2 else x
    means = torch.stack([x[labels == c].mean(0) for c in labels.unique()])  # [classes, units]
    if len(means) < 2:
        return torch.zeros(x.shape[1], dtype=x.dtype)
    best = means.max(0).values
    others = (means.sum(0) - best) / (len(means) - 1)
    return (best - others) / (best + others + EPSILON)


def show(name, x):
    print(f"    {name}: " + ", ".join(f"{v:.9f}" for v in x.flatten().tolist()))


# 1. Feature maps [6 examples, 2 positions, 3 units], labels of 4 classes, class 1 absent. Unit 1 is dead.
MAPS = [[[3, 0, 1], [1, 0, 2]], [[0, 0, 5], [2, 0, 1]], [[4, 0, 0], [0, 0, 1]], [[1, 0, 2], [1, 0, 0]], [[7, 0, 3], [2, 0, 1]], [[0, 0, 0], [1, 0, 4]]]
for labels in [0, 2, 2, 3, 0, 3], [2, 2, 2, 2, 2, 2]:
    x = torch.tensor(MAPS, dtype=torch.float64, requires_grad=True)
    si = index(x.transpose(1, 2), torch.tensor(labels))
    print("maps, labels", labels)
    show("index", si.detach())
    if si.requires_grad:
        (si * torch.tensor([1.0, 1.0, 3.0])).sum().backward()
        g = x.grad.clone()
        g[:, :, 1] = 0  # of the dead unit: a ReLU that is not active has none
        show("gradient of index · (1, 1, 3)", g)

# 2. Training of an MLP 4-3-2-3: the loss is cross-entropy − alpha · mean over both hidden layers of the mean over units.
IMAGES = [[0, 0, 0, 0], [255, 30, 7, 90], [12, 200, 65, 0], [99, 1, 254, 128], [60, 60, 180, 33], [5, 142, 0, 211], [77, 8, 31, 250]]
LABELS = [1, 0, 1, 2, 1, 0, 2]
ORDER = [[0, 1, 2], [3, 4, 5], [6, 0, 2], [5, 1, 4], [3, 6, 0], [2, 4, 0]]  # lacking class 2, none, 0, 2, 0; the last has one class
WEIGHTS = {
    "fc1.weight": [[0.5, -0.3, 0.8, 0.1], [-0.6, 0.9, 0.2, -0.4], [0.3, 0.7, -0.5, 0.6]],
    "fc1.bias": [0.1, 0.1, -0.05],
    "fc2.weight": [[0.6, 0.4, -0.2], [-0.3, 0.5, 0.9]],
    "fc2.bias": [0.05, 0.02],
    "logits.weight": [[0.7, -0.2], [-0.5, 0.6], [0.1, 0.3]],
    "logits.bias": [0.02, -0.03, 0.01],
}


def train(dtype, alpha, optimizer):
    w = {k: torch.tensor(v, dtype=dtype, requires_grad=True) for k, v in WEIGHTS.items()}
    x, y = torch.tensor(IMAGES, dtype=dtype) / 255, torch.tensor(LABELS)
    opt = optimizer(list(w.values()))
    loss, correct = 0.0, 0
    for batch in ORDER:
        h1 = torch.relu(x[batch] @ w["fc1.weight"].T + w["fc1.bias"])
        h2 = torch.relu(h1 @ w["fc2.weight"].T + w["fc2.bias"])
        logits = h2 @ w["logits.weight"].T + w["logits.bias"]
        mean = torch.nn.functional.cross_entropy(logits, y[batch])
        loss += mean.item() * len(batch)
        correct += (logits.argmax(-1) == y[batch]).sum().item()
        si = torch.stack([index(h, y[batch]).mean() for h in (h1, h2)]).mean()
        opt.zero_grad()
        (mean - alpha * si).backward()
        opt.step()
    return loss, correct, [w[k].detach() for k in WEIGHTS]


worst = 0
for name, alpha, optimizer in [
    ("alpha -2, sgd, momentum", -2, lambda p: torch.optim.SGD(p, lr=0.2, momentum=0.9)),
    ("alpha 1.5, sgd", 1.5, lambda p: torch.optim.SGD(p, lr=0.3)),
    ("alpha -1, adam", -1, lambda p: torch.optim.Adam(p, lr=0.02)),
]:
    loss, correct, w = train(torch.float64, alpha, optimizer)
    for a, b in zip(w, train(torch.float32, alpha, optimizer)[2]):
        worst = max(worst, (a - b).abs().max().item())
    print(f"{name}: loss {loss:.9f}, correct {correct}")
    for k, v in zip(WEIGHTS, w):
        show(k, v)
print("float32 differs by at most", worst)
