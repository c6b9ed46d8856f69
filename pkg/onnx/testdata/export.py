"""Writes the small ONNX files of this folder, and expected.json: their logits, and those with each unit set to zero.

Networks of PyTorch are run by PyTorch with forward hooks; the others by onnxruntime, on the file with a product put behind
the tensor. Made with PyTorch 2.15.0 (onnxscript 0.7.2), onnx 1.23.2, onnxruntime 1.32.0, scikit-learn 1.9.1 and skl2onnx
1.20.0 (all on the CPU):

    python export.py
"""

import gzip
import json
import os
import warnings

import numpy as np
import onnx
import onnxruntime
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import nn

warnings.simplefilter("ignore")
here = os.path.dirname(os.path.abspath(__file__))
expected = {}


def path(name):
    return os.path.join(here, name + ".onnx")


def pictures(shape, n=3):
    """n images [height, width, channels] of bytes"""
    return np.random.RandomState(5).randint(0, 256, (n, *shape), dtype=np.uint8)


def strip(name, keep_shapes=True):
    """leave out what says where and how the file was made"""
    m = onnx.load(path(name))
    for n in m.graph.node:
        del n.metadata_props[:]
        n.doc_string = ""
    for v in list(m.graph.value_info) + list(m.graph.input) + list(m.graph.output):
        del v.metadata_props[:]
    del m.metadata_props[:]
    if not keep_shapes:
        del m.graph.value_info[:]
    onnx.save(m, path(name))
    return m


def record(name, shape, logits, ablated):
    """logits [images][classes]; ablated {site: [unit][images][classes]}"""
    r = lambda x: np.asarray(x, dtype=np.float64).round(7).tolist()
    expected[name] = dict(image=list(shape), images=pictures(shape).reshape(3, -1).tolist(), logits=r(logits),
                          ablated={k: r(v) for k, v in ablated.items()})


class Zero:
    """a forward hook that sets one unit (axis 1 of PyTorch's tensors) to zero"""

    def __init__(self, unit):
        self.unit = unit

    def __call__(self, module, inputs, output):
        output = output.clone()
        output[:, self.unit] = 0
        return output


def torch_case(name, model, shape, ops, exporter, activations, last=None):
    """ops: of the nodes whose results belong to the modules `activations`, in order. last: logits by the output."""
    model.eval()
    x = torch.from_numpy(pictures(shape).astype(np.float32) / 255).permute(0, 3, 1, 2).contiguous()
    if exporter == "dynamo":
        torch.onnx.export(model, (x[:2],), path(name), dynamo=True, external_data=False,
                          dynamic_shapes=({0: torch.export.Dim("batch")},), verbose=False)
    elif exporter == "external":
        torch.onnx.export(model, (x[:2],), path(name), dynamo=True, external_data=True,
                          dynamic_shapes=({0: torch.export.Dim("batch")},), verbose=False)
    else:  # the exporter of before PyTorch 2.9; "fixed": for one example only
        torch.onnx.export(model, (x[:1],), path(name), dynamo=False, do_constant_folding=False, opset_version=17,
                          input_names=["pixels"], output_names=["scores"],
                          dynamic_axes=None if exporter == "fixed" else {"pixels": {0: "n"}, "scores": {0: "n"}})
    m = strip(name) if exporter != "external" else onnx.load(path(name))
    sites = [n.output[0] for n in m.graph.node if n.op_type in ops]
    assert len(sites) == len(activations), (sites, [(n.op_type, n.output[0]) for n in m.graph.node])
    last = last or (lambda y: y)

    def run():
        with torch.no_grad():
            if exporter == "fixed":
                return last(torch.cat([model(e[None]) for e in x])).numpy()
            return last(model(x)).numpy()

    logits, ablated = run(), {}
    for site, module in zip(sites, activations):
        widths = []
        h = module.register_forward_hook(lambda m, i, o: widths.append(o.shape[1]))
        run()
        h.remove()
        ablated[site] = []
        for u in range(widths[0]):
            h = module.register_forward_hook(Zero(u))
            ablated[site].append(run())
            h.remove()
    record(name, shape, logits, ablated)


def ort_case(name, shape, axes, output, feed, logits):
    """axes: {site: unit axis}"""
    m = onnx.load(path(name))
    x = feed(pictures(shape).astype(np.float32) / 255)

    def run(model):
        s = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
        return logits(s.run([output], {s.get_inputs()[0].name: x})[0])

    def shape_of(site):
        c = onnx.ModelProto()
        c.CopyFrom(m)
        c.graph.output.append(helper.make_tensor_value_info(site, TensorProto.FLOAT, None))
        s = onnxruntime.InferenceSession(c.SerializeToString(), providers=["CPUExecutionProvider"])
        return s.run([site], {s.get_inputs()[0].name: x})[0].shape

    ablated = {}
    for site, axis in axes.items():
        ablated[site] = []
        s = shape_of(site)
        for u in range(s[axis]):
            mask = np.ones([d if i == axis else 1 for i, d in enumerate(s)], np.float32)
            mask[tuple(u if i == axis else 0 for i in range(len(s)))] = 0
            c = onnx.ModelProto()
            c.CopyFrom(m)
            at = next(i for i, n in enumerate(c.graph.node) if site in n.output)
            for n in c.graph.node[at + 1:]:
                for i, name_in in enumerate(n.input):
                    if name_in == site:
                        n.input[i] = site + "_edited"
            c.graph.initializer.append(numpy_helper.from_array(mask, site + "_mask"))
            c.graph.node.insert(at + 1, helper.make_node("Mul", [site, site + "_mask"], [site + "_edited"]))
            ablated[site].append(run(c))
    record(name, shape, run(m), ablated)


def randomise(model):
    """running statistics and scales as if it had been trained"""
    for x in model.modules():
        if isinstance(x, nn.BatchNorm2d):
            nn.init.uniform_(x.running_mean, -0.5, 0.5)
            nn.init.uniform_(x.running_var, 0.2, 2)
            nn.init.uniform_(x.weight, 0.5, 1.5)
            nn.init.uniform_(x.bias, -0.3, 0.3)
    return model


class Residual(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(3, 6, 3, stride=2, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(6)
        self.relu1 = nn.ReLU()
        self.pool = nn.MaxPool2d(3, stride=1, padding=1)
        self.conv2 = nn.Conv2d(6, 6, 3, padding=1, groups=2)
        self.bn2 = nn.BatchNorm2d(6)
        self.relu2 = nn.ReLU()
        self.average = nn.AvgPool2d(2, padding=1)
        self.conv3 = nn.Conv2d(6, 8, 1)
        self.relu3 = nn.ReLU()
        self.drop = nn.Dropout(0.5)
        self.fc = nn.Linear(8, 4)

    def forward(self, x):
        x = self.pool(self.relu1(self.bn1(self.conv1(x))))
        x = self.relu2(self.bn2(self.conv2(x)) + x)
        x = self.relu3(self.conv3(self.average(x)))
        return self.fc(self.drop(x.mean((2, 3))))


class Fixed(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)
        self.relu = nn.ReLU()
        self.fc1 = nn.Linear(4 * 4 * 4, 5)
        self.relu1 = nn.ReLU()
        self.fc2 = nn.Linear(5, 4)

    def forward(self, x):
        x = self.relu(self.conv(x))
        return self.fc2(self.relu1(self.fc1(x.view(x.shape[0], -1))))


class Many(nn.Module):
    """every activation function, once"""

    def __init__(self):
        super().__init__()
        self.acts = nn.ModuleList([nn.LeakyReLU(0.1), nn.ELU(0.7), nn.SELU(), nn.GELU(), nn.GELU(approximate="tanh"), nn.Softplus(),
                                   nn.Mish(), nn.Hardswish(), nn.Hardsigmoid(), nn.PReLU(3), nn.Softsign(), nn.Tanh(), nn.ReLU6(),
                                   nn.SiLU(), nn.Sigmoid()])
        self.fcs = nn.ModuleList([nn.Linear(16 if i == 0 else 3, 3) for i in range(len(self.acts))])
        self.out = nn.Linear(3, 4)
        for fc in self.fcs:
            nn.init.normal_(fc.weight, std=1.5)

    def forward(self, x):
        x = torch.flatten(x, 1)
        for fc, act in zip(self.fcs, self.acts):
            x = act(fc(x))
        return self.out(x)


def mlp(classes=4, last=()):
    relu1, relu2 = nn.ReLU(), nn.ReLU()
    return nn.Sequential(nn.Flatten(), nn.Linear(16, 6), relu1, nn.Linear(6, 5), relu2, nn.Linear(5, classes), *last), [relu1, relu2]


torch.manual_seed(1)
m, acts = mlp()
torch_case("mlp", m, (4, 4, 1), ["Relu"], "dynamo", acts)
m, acts = mlp()
torch_case("external", m, (4, 4, 1), ["Relu"], "external", acts)
m, acts = mlp(last=[nn.Softmax(1)])
torch_case("softmax", m, (4, 4, 1), ["Relu"], "dynamo", acts, last=torch.log)  # the loss is that of log p
m, acts = mlp(last=[nn.LogSoftmax(1)])
torch_case("logsoftmax", m, (4, 4, 1), ["Relu"], "dynamo", acts)
r = randomise(Residual())
torch_case("residual", r, (8, 8, 3), ["Relu"], "dynamo", [r.relu1, r.relu2, r.relu3])
r = randomise(Residual())
torch_case("batchnorm", r, (8, 8, 3), ["Relu"], "legacy", [r.relu1, r.relu2, r.relu3])
f = Fixed()
torch_case("fixed", f, (6, 6, 3), ["Relu"], "fixed", [f.relu, f.relu1])
a = Many().eval()
x = torch.from_numpy(pictures((4, 4, 1)).astype(np.float32) / 255).permute(0, 3, 1, 2).contiguous()
torch.onnx.export(a, (x[:2],), path("activations"), dynamo=True, external_data=False,
                  dynamic_shapes=({0: torch.export.Dim("batch")},), verbose=False)
strip("activations")
with torch.no_grad():
    record("activations", (4, 4, 1), a(x).numpy(), {})


# scikit-learn: labels and probabilities, as a map (ZipMap) or a tensor; a pipeline with a Scaler; two classes.
from skl2onnx import to_onnx  # noqa: E402
from sklearn.neural_network import MLPClassifier  # noqa: E402
from sklearn.pipeline import make_pipeline  # noqa: E402
from sklearn.preprocessing import StandardScaler  # noqa: E402

rng = np.random.RandomState(2)
X, y = rng.rand(200, 16).astype(np.float32), rng.randint(0, 4, 200)
flat = lambda x: x.reshape(len(x), -1)
hidden = {"next_activations": 1, "next_activations1": 1}
for name, model, target, options in [
    ("sklearn", MLPClassifier((6, 5), max_iter=20, random_state=1), y, None),
    ("pipeline", make_pipeline(StandardScaler(), MLPClassifier((6, 5), max_iter=20, random_state=1)), y, {"zipmap": False}),
    ("binary", MLPClassifier((6, 5), activation="logistic", max_iter=20, random_state=1), y % 2, None),
]:
    o = to_onnx(model.fit(X, target), X[:1], options=options)
    onnx.save(o, path(name))
    if options is None:
        ort_case(name, (4, 4, 1), hidden, "output_probability", flat,
                 lambda p: np.log([[row[k] for k in sorted(row)] for row in p]))
    else:
        ort_case(name, (4, 4, 1), hidden, "probabilities", flat, np.log)
    z = expected[name]["logits"]
    assert np.allclose(np.exp(z), model.predict_proba(flat(pictures((4, 4, 1)) / 255)), atol=1e-5)


# What tf2onnx writes for a Keras network: images channels last, each convolution between two Transpose, the bias added
# channels last, padding "same", and a Softmax at the end.
def keras():
    w = lambda name, *shape: numpy_helper.from_array((rng.randn(*shape) / np.sqrt(np.prod(shape[1:]))).astype(np.float32), name)
    inits = [w("conv1/kernel", 6, 3, 3, 3), w("conv1/bias", 6), w("conv2/kernel", 5, 6, 3, 3), w("conv2/bias", 5),
             w("dense/kernel", 2 * 2 * 5, 4), w("dense/bias", 4), numpy_helper.from_array(np.array([-1, 20], np.int64), "flat")]
    n = helper.make_node
    to_nchw, to_nhwc = [0, 3, 1, 2], [0, 2, 3, 1]
    nodes = [
        n("Transpose", ["x"], ["t1"], perm=to_nchw),
        n("Conv", ["t1", "conv1/kernel"], ["c1"], auto_pad="SAME_UPPER", strides=[2, 2], kernel_shape=[3, 3], dilations=[1, 1], group=1),
        n("Transpose", ["c1"], ["t2"], perm=to_nhwc),
        n("Add", ["t2", "conv1/bias"], ["model/conv1/BiasAdd:0"]),
        n("Relu", ["model/conv1/BiasAdd:0"], ["model/conv1/Relu:0"]),
        n("Transpose", ["model/conv1/Relu:0"], ["t3"], perm=to_nchw),
        n("Conv", ["t3", "conv2/kernel", "conv2/bias"], ["c2"], auto_pad="SAME_LOWER"),
        n("Relu", ["c2"], ["model/conv2/Relu:0"]),
        n("MaxPool", ["model/conv2/Relu:0"], ["p"], kernel_shape=[2, 2], strides=[2, 2], auto_pad="VALID"),
        n("Transpose", ["p"], ["t4"], perm=to_nhwc),
        n("Reshape", ["t4", "flat"], ["f"]),
        n("MatMul", ["f", "dense/kernel"], ["d"]),
        n("Add", ["d", "dense/bias"], ["b"]),
        n("Softmax", ["b"], ["dense"]),
    ]
    g = helper.make_graph(nodes, "tf2onnx", [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["unk", 8, 8, 3])],
                          [helper.make_tensor_value_info("dense", TensorProto.FLOAT, ["unk", 4])], inits)
    m = helper.make_model(g, opset_imports=[helper.make_opsetid("", 15)], ir_version=8, producer_name="onnx.helper")
    m = onnx.shape_inference.infer_shapes(m)
    onnx.checker.check_model(m)
    onnx.save(m, path("keras"))


keras()
ort_case("keras", (8, 8, 3), {"model/conv1/Relu:0": 3, "model/conv2/Relu:0": 1}, "dense", lambda x: x, np.log)

# A network for the digits that come with the program: briefly trained, images of any size, normalized with 0.13 and 0.31.
# digits.json has what PyTorch makes of the first 200 of the test images: how many are right, and the loss (nats).
def digits():
    folder = os.path.join(here, "..", "..", "..", "datasets", "mnist10k")
    images = gzip.open(os.path.join(folder, "t10k-images-idx3-ubyte.gz")).read()
    labels = gzip.open(os.path.join(folder, "t10k-labels-idx1-ubyte.gz")).read()
    x = torch.from_numpy(np.frombuffer(images, np.uint8, offset=16).reshape(-1, 1, 28, 28).copy()).float()
    x = (x / 255 - 0.13) / 0.31
    y = torch.from_numpy(np.frombuffer(labels, np.uint8, offset=8).astype(np.int64))
    relu1, relu2, relu3 = nn.ReLU(), nn.ReLU(), nn.ReLU()
    model = nn.Sequential(nn.Conv2d(1, 5, 3, stride=2, bias=False), nn.BatchNorm2d(5), relu1, nn.Conv2d(5, 8, 3, stride=2), relu2,
                          nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(32, 12), relu3, nn.Linear(12, 10))
    torch.manual_seed(3)
    adam = torch.optim.Adam(model.parameters(), 0.01)
    for step in range(300):
        i = torch.randint(0, 8000, (64,))
        adam.zero_grad()
        nn.functional.cross_entropy(model(x[i]), y[i]).backward()
        adam.step()
    model.eval()
    torch.onnx.export(model, (x[:2],), path("digits"), dynamo=False, do_constant_folding=False, opset_version=17,
                      input_names=["pixels"], output_names=["scores"],
                      dynamic_axes={"pixels": {0: "n"}, "scores": {0: "n"}})
    sites = [n.output[0] for n in strip("digits").graph.node if n.op_type == "Relu"]
    x, y = x[8000:8200], y[8000:8200]

    def score():
        with torch.no_grad():
            z = model(x)
        return [int((z.argmax(1) == y).sum()), float(nn.functional.cross_entropy(z.double(), y))]

    found = dict(unedited=score(), sites=sites, each=[])
    for module, width in (relu1, 5), (relu2, 8), (relu3, 12):
        found["each"].append([])
        for u in range(width):
            h = module.register_forward_hook(Zero(u))
            found["each"][-1].append(score())
            h.remove()
    with open(os.path.join(here, "digits.json"), "w") as f:
        json.dump(found, f, separators=(",", ":"))
        f.write("\n")


digits()

with open(os.path.join(here, "expected.json"), "w") as f:
    json.dump(expected, f, indent=None, separators=(",", ":"), sort_keys=True)
    f.write("\n")
