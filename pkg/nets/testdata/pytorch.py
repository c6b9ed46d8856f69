"""Prints what TestLogitsAgainstPyTorch and TestPixelsAgainstPyTorch expect. Written with PyTorch 2.15.0 on a CPU:

    pip install torch==2.15.0 && python3 pkg/nets/testdata/pytorch.py
"""
import torch

net = torch.nn.Sequential(
    torch.nn.Flatten(), torch.nn.Linear(4, 3), torch.nn.ReLU(), torch.nn.Linear(3, 2), torch.nn.ReLU(), torch.nn.Linear(2, 3)
).double()
weights = [
    [[0.5, -0.3, 0.8, 0.1], [-0.6, 0.9, 0.2, -0.4], [0.3, 0.7, -0.5, 0.6]],
    [0.01, 0.1, -0.05],
    [[0.7, -0.2, 0.4], [-0.5, 0.6, 0.1]],
    [0.02, -0.03],
    [[1.5, -1], [0.25, 0.75], [-0.125, 2]],
    [0.3, 0.2, 0.1],
]
for p, w in zip(net.parameters(), weights):
    p.data = torch.tensor(w, dtype=torch.float64)
images = torch.tensor([[0, 0, 0, 0], [255, 30, 7, 90], [12, 200, 65, 0], [255, 255, 255, 255]], dtype=torch.uint8)
for row in net(images.reshape(4, 2, 2, 1).double() / 255).tolist():
    print(", ".join(f"{x:.9f}" for x in row))

pixels = torch.arange(256, dtype=torch.uint8).float()
quotient, product = pixels / 255, pixels * torch.tensor(1 / 255, dtype=torch.float32)
differ = (quotient != product).nonzero().flatten().tolist()
steps = (quotient.view(torch.int32) - product.view(torch.int32)).abs().max().item()
print(f"pixel/255 and pixel·(1/255) differ for {len(differ)} of 256, by at most {steps} ulp: {differ}")
