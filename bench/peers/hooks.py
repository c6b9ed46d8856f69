"""Ablation and noise with PyTorch's forward hooks, as its users write them: all images in memory, torch.inference_mode,
large batches (tune tries which), one hook at each edited layer, one pass over the images for each set of edits.

    python hooks.py WORK_FOLDER < requests.jsonl
"""

import platform

import torch

from networks import serve, timed


def spread(values, x):
    """values [units] in a shape that multiplies x [batch, units, …]."""
    return values.view(1, -1, *[1] * (x.dim() - 2))


def zero(units, count):
    """The hook that sets units of a layer to zero: one unit by assignment, more by a mask, which is faster."""
    if units is not None and len(units) == 1:
        unit = units[0]

        def hook(module, inputs, output):
            output[:, unit] = 0
    else:
        mask = torch.ones(count)
        mask[slice(None) if units is None else units] = 0

        def hook(module, inputs, output):
            output.mul_(spread(mask, output))

    return hook


def noise(sd):
    """The hook that adds noise of a standard deviation [units]."""

    def hook(module, inputs, output):
        output.add_(torch.randn_like(output).mul_(spread(sd, output)))

    return hook


class hooked:
    """Hooks that are gone afterwards: with hooked(net, {"fc1": hook}): ..."""

    def __init__(self, net, hooks):
        self.net, self.hooks = net, hooks

    def __enter__(self):
        self.handles = [
            self.net.get_submodule(self.net.sites[site]).register_forward_hook(hook) for site, hook in self.hooks.items()
        ]

    def __exit__(self, *_):
        for handle in self.handles:
            handle.remove()


def units_of(net, x):
    """The number of units of each site."""
    counts = {}

    def count(site):
        return lambda module, inputs, output: counts.__setitem__(site, output.shape[1])

    with hooked(net, {site: count(site) for site in net.sites}):
        net(x[:2])
    return counts


def correct(net, x, y, batch):
    """How many labels have the largest logit; one number leaves the device at the end."""
    hits = torch.zeros((), dtype=torch.long)
    for xs, ys in zip(x.split(batch), y.split(batch)):
        hits += (net(xs).argmax(1) == ys).sum()
    return hits.item()


@torch.inference_mode()
def ablate(folder, job):
    """The number of right predictions under each set of edits, each a list of {"site", "units"}; no units mean all."""
    net, (x, y) = folder.net(job), folder.data(job)
    counts = units_of(net, x)

    def work():
        answer = []
        for edits in job["sets"]:
            with hooked(net, {e["site"]: zero(e.get("units"), counts[e["site"]]) for e in edits}):
                answer.append(correct(net, x, y, job["batch"]))
        return answer

    answer, seconds = timed(work)
    return {"seconds": seconds, "correct": answer}


@torch.inference_mode()
def near(folder, job):
    """For each set of edits the examples whose two largest logits differ by at most tolerance · (1 + the largest in
    size): those that rounding may decide. Not measured."""
    net, (x, y) = folder.net(job), folder.data(job)
    counts = units_of(net, x)
    answer = []
    for edits in job["sets"]:
        with hooked(net, {e["site"]: zero(e.get("units"), counts[e["site"]]) for e in edits}):
            close = 0
            for xs in x.split(job["batch"]):
                logits = net(xs)
                top = logits.topk(2, 1).values
                size = logits.abs().amax(1)
                close += (top[:, 0] - top[:, 1] <= job["tolerance"] * (1 + size)).sum().item()
        answer.append(close)
    return {"near": answer}


@torch.inference_mode()
def sweep(folder, job):
    """The number of right predictions with noise of every scale at all sites at once, [repeats, scales]."""
    net, (x, y) = folder.net(job), folder.data(job)
    sd = {site: torch.tensor(values) for site, values in job["sigma"].items()}
    torch.manual_seed(job["seed"])

    def work():
        answer = []
        for _ in range(job["repeats"]):
            row = []
            for scale in job["scales"]:
                with hooked(net, {site: noise(values * scale) for site, values in sd.items()}):
                    row.append(correct(net, x, y, job["batch"]))
            answer.append(row)
        return answer

    answer, seconds = timed(work)
    return {"seconds": seconds, "noisy": answer}


@torch.inference_mode()
def tune(folder, job):
    """The fastest of the batch sizes and memory formats asked for: the best of two passes each, after a first one."""
    best = None
    for channels_last in job["formats"]:
        trial = dict(job, channels_last=channels_last)
        net, (x, y) = folder.net(trial), folder.data(trial)
        for batch in sorted({min(batch, len(x)) for batch in job["batches"]}):
            correct(net, x[:batch], y[:batch], batch)
            seconds = min(timed(lambda: correct(net, x, y, batch))[1] for _ in range(2))
            if best is None or seconds < best["seconds"]:
                best = {"seconds": seconds, "batch": batch, "channels_last": channels_last}
    return best


def versions(folder, job):
    return {"versions": {"python": platform.python_version(), "torch": torch.__version__}}


if __name__ == "__main__":
    serve({"ablate": ablate, "near": near, "sweep": sweep, "tune": tune, "versions": versions})
