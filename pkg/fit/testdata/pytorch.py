"""Prints what TestStepsAgainstPyTorch and TestScheduleAgainstPyTorch expect. Written with PyTorch 2.15.0 on a CPU:

    pip install torch==2.15.0 && python3 pkg/fit/testdata/pytorch.py

Everything is in float64; float32 differs from it by less than the tests allow (last line).
"""
import torch

IMAGES = [[0, 0, 0, 0], [255, 30, 7, 90], [12, 200, 65, 0], [99, 1, 254, 128], [60, 60, 180, 33], [5, 142, 0, 211]]
LABELS = [1, 0, 1, 0, 1, 0]
ORDER = [[0, 1], [2, 3], [4, 5], [5, 2], [0, 4], [3, 1], [1, 2], [4, 3], [5, 0]]
WEIGHTS = {
    "fc1.weight": [[0.5, -0.3, 0.8, 0.1], [-0.6, 0.9, 0.2, -0.4], [0.3, 0.7, -0.5, 0.6]],
    "fc1.bias": [0.0, 0.1, -0.05],  # unit 0 sees exactly 0 in the first image: the derivative of ReLU there is 0
    "logits.weight": [[0.7, -0.2, 0.4], [-0.5, 0.6, 0.1]],
    "logits.bias": [0.02, -0.03],
}


def train(dtype, optimizer, schedule=None):
    w = {k: torch.tensor(v, dtype=dtype, requires_grad=True) for k, v in WEIGHTS.items()}
    x, y = torch.tensor(IMAGES, dtype=dtype) / 255, torch.tensor(LABELS)
    opt = optimizer(list(w.values()))
    scheduler = schedule(opt) if schedule else None
    loss, correct = 0.0, 0
    for batch in ORDER:
        h = torch.relu(x[batch] @ w["fc1.weight"].T + w["fc1.bias"])
        logits = h @ w["logits.weight"].T + w["logits.bias"]
        mean = torch.nn.functional.cross_entropy(logits, y[batch])
        loss += mean.item() * len(batch)
        correct += (logits.argmax(-1) == y[batch]).sum().item()
        opt.zero_grad()
        mean.backward()
        opt.step()
        if scheduler:
            scheduler.step()
    return loss, correct, torch.cat([w[k].detach().flatten() for k in WEIGHTS])


def linear(o):
    return torch.optim.lr_scheduler.LinearLR(o, start_factor=1, end_factor=0, total_iters=len(ORDER))


def cosine(o):
    return torch.optim.lr_scheduler.CosineAnnealingLR(o, T_max=len(ORDER))


worst = 0
for name, optimizer, schedule in [
    ("sgd", lambda p: torch.optim.SGD(p, lr=0.5), None),
    ("sgd, momentum, linear", lambda p: torch.optim.SGD(p, lr=0.3, momentum=0.9), linear),
    ("sgd, momentum, weight decay, cosine", lambda p: torch.optim.SGD(p, lr=0.3, momentum=0.8, weight_decay=0.05), cosine),
    ("adam", lambda p: torch.optim.Adam(p, lr=0.02), None),
    ("adam, weight decay, cosine", lambda p: torch.optim.AdamW(p, lr=0.05, weight_decay=0.1), cosine),
]:
    loss, correct, w = train(torch.float64, optimizer, schedule)
    worst = max(worst, (train(torch.float32, optimizer, schedule)[2] - w).abs().max().item())
    print(f"{name}: loss {loss:.9f}, correct {correct}")
    for row in w.split([12, 3, 6, 2]):
        print("    " + ", ".join(f"{x:.9f}" for x in row.tolist()))
for name, schedule in ("linear", linear), ("cosine", cosine):
    opt = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=0.3)
    scheduler, rates = schedule(opt), []
    for _ in ORDER:
        rates.append(opt.param_groups[0]["lr"])
        opt.step()
        scheduler.step()
    print(name, ", ".join(f"{r:.12f}" for r in rates))
print("float32 differs by at most", worst)
