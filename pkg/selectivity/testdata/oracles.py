"""Writes oracles.json: units with labels, and what scipy and scikit-learn say of them.

    pip install numpy scipy scikit-learn
    python oracles.py
"""

import json
import pathlib

import numpy
import scipy
import sklearn
from scipy import stats
from sklearn import metrics


def bins_of(x, bins):
    """Bins of equal probability by mean rank, zero apart, independently of the Go code: by scipy's average ranks."""
    b = numpy.full(len(x), -1)
    rest = x != 0
    if not rest.all():
        bins -= 1
    twice = numpy.rint(2 * stats.rankdata(x[rest])).astype(int)
    b[rest] = bins * (twice - 1) // (2 * rest.sum())
    return b


def unit(x, y, classes, bins, top):
    means = numpy.array([x[y == c].mean() if (y == c).any() else numpy.nan for c in range(classes)])
    best = int(numpy.nanargmax(means))
    a, b = x[y == best], x[y != best]
    others = numpy.nanmean(numpy.delete(means, best))
    first = numpy.argsort(-x, kind="stable")[:top]
    shares = numpy.bincount(y[first], minlength=classes) / top
    q = means[~numpy.isnan(means)]
    binned = bins_of(x, bins)
    law = metrics.cluster.contingency_matrix(y, binned)
    law = law / law.sum(axis=1, keepdims=True)
    return {
        "classes": classes, "bins": bins, "top": top, "values": x.tolist(), "labels": y.tolist(),
        "selectivity": (means[best] - others) / (means[best] + others),
        "preferred": best,
        "plug_in": metrics.mutual_info_score(y, binned) / numpy.log(2),
        "kl": max(stats.entropy(row, numpy.bincount(binned + 1)[numpy.unique(binned) + 1] / len(x), base=2) for row in law),
        "ccmas": (a.mean() - b.mean()) / (a.mean() + b.mean()),
        "d_prime": (a.mean() - b.mean()) / numpy.sqrt((a.var() + b.var()) / 2),
        "roc_auc": metrics.roc_auc_score(y == best, x),
        "precision": shares.max(),
        "top_class": int(shares.argmax()),
        "sparseness": (1 - x.mean() ** 2 / (x**2).mean()) / (1 - 1 / len(x)),
        "entropy": stats.entropy(numpy.bincount(binned + 1), base=2),
        "class_entropy": stats.entropy(q / q.sum(), base=2),
        "mean": x.mean(), "sd": x.std(),
    }


def main():
    rng = numpy.random.default_rng(1)
    cases = []
    for n, classes, bins, zeros in [(97, 3, 20, 0.0), (120, 5, 10, 0.6), (150, 10, 50, 0.3), (60, 4, 4, 0.95)]:
        y = rng.integers(0, classes, n)
        x = numpy.maximum(0, rng.normal(0.3, 1, n) + (y == 1)) if zeros == 0.3 else rng.gamma(2, 1 + (y == 2), n)
        x[rng.random(n) < zeros] = 0
        x = numpy.round(x * 16) / 16 if bins == 10 else x.astype(numpy.float32).astype(float)  # ties in one case
        cases.append(unit(x, y, classes, bins, 1 if bins == 10 else max(1, int((x > 0).sum()) // 2)))
    out = {"made_by": f"numpy {numpy.__version__}, scipy {scipy.__version__}, scikit-learn {sklearn.__version__}", "cases": cases}
    text = json.dumps(out).replace('{"classes"', '\n{"classes"')
    pathlib.Path(__file__).with_name("oracles.json").write_text(text + "\n")


main()
