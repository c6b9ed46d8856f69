"""Training with PyTorch: plain SGD, all images in memory, batches by index, nothing read back before the epoch's end.

    python train.py WORK_FOLDER < requests.jsonl
"""

import numpy as np
import torch
from torch.nn import functional as F

from networks import serve, timed

training = {}  # of the request "start": the network and its optimizer


def start(folder, job):
    """Takes the initial weights and prepares for epochs."""
    folder.loaded.clear()
    net = folder.net(job).train()
    training.update(job=job, net=net, optimizer=torch.optim.SGD(net.parameters(), lr=job["lr"]), data=folder.data(job))
    return {}


def epoch(folder, job):
    """Trains one epoch in the order of a file (int32 [examples]); the mean loss, each batch before its own step."""
    net, optimizer, (x, y) = training["net"], training["optimizer"], training["data"]
    order = torch.from_numpy(np.load(folder.path / job["order"])).long()
    batch = training["job"]["batch"]
    order = order[: len(order) // batch * batch].view(-1, batch)

    def work():
        total = torch.zeros(())
        for ids in order:
            loss = F.cross_entropy(net(x[ids]), y[ids])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            total += loss.detach()
        return total.item() / len(order)

    loss, seconds = timed(work)
    return {"seconds": seconds, "loss": loss}


if __name__ == "__main__":
    serve({"start": start, "epoch": epoch})
