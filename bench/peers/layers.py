"""The impact of each unit of a layer with Captum, through the interface made for it: LayerFeatureAblation, with a layer
mask that makes each unit one feature, zero as the baseline, and a forward function that says whether an example is
classified as labelled. The sum of an attribution over examples is then the number of right predictions that the unit's
loss costs.

    python layers.py WORK_FOLDER < requests.jsonl
"""

import captum
import torch
from captum.attr import LayerFeatureAblation

from networks import serve, timed


@torch.inference_mode()
def impact(folder, job):
    """The number of right predictions without each unit of each site: {"fc1": [units], …}."""
    net, (x, y) = folder.net(job), folder.data(job)

    def right(images, labels):
        return (net(images).argmax(1) == labels).float()

    def work():
        unedited = sum(right(xs, ys).sum().item() for xs, ys in zip(x.split(job["batch"]), y.split(job["batch"])))
        answer = {}
        for site in job["sites"]:
            layer = net.get_submodule(net.sites[site])
            ablation = LayerFeatureAblation(right, layer)
            shape = output_shape(net, layer, x[:1])
            mask = torch.arange(shape[1]).view(1, -1, *[1] * (len(shape) - 2)).expand(shape)
            lost = torch.zeros(shape[1], dtype=torch.float64)
            for xs, ys in zip(x.split(job["batch"]), y.split(job["batch"])):
                drop = ablation.attribute(
                    xs, additional_forward_args=ys, layer_mask=mask, perturbations_per_eval=job["per_eval"]
                )
                lost += drop.flatten(2)[:, :, 0].sum(0) if drop.dim() > 2 else drop.sum(0)
            answer[site] = [round(unedited - units) for units in lost.tolist()]
        return answer

    answer, seconds = timed(work)
    return {"seconds": seconds, "impact": answer}


def output_shape(net, layer, x):
    """The shape [1, units, …] of a layer's output for one image."""
    shapes = []
    handle = layer.register_forward_hook(lambda module, inputs, output: shapes.append(output.shape))
    net(x)
    handle.remove()
    return shapes[0]


def versions(folder, job):
    return {"versions": {"captum": captum.__version__, "torch": torch.__version__}}


if __name__ == "__main__":
    serve({"impact": impact, "versions": versions})
