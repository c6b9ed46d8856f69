"""Writes oracles.json: points and pairs, and what scipy says of them.

    pip install numpy scipy
    python oracles.py
"""

import collections
import itertools
import json
import pathlib

import numpy
import scipy
from scipy import stats

rng = numpy.random.default_rng(2)
out = {"made_by": f"numpy {numpy.__version__}, scipy {scipy.__version__}", "points": [], "pairs": []}
for n, slope, digits in [(3, 1, 6), (25, -0.5, 6), (60, 0.2, 1)]:  # one decimal: ties
    x = numpy.round(rng.normal(0, 1, n), digits)
    y = numpy.round(slope * x + rng.normal(0, 1, n), digits)
    line = stats.linregress(x, y)
    out["points"].append({
        "x": x.tolist(), "y": y.tolist(), "slope": line.slope, "intercept": line.intercept, "slope_se": line.stderr,
        "pearson": stats.pearsonr(x, y).statistic, "spearman": stats.spearmanr(x, y).statistic,
        "kendall": stats.kendalltau(x, y).statistic,
    })
for n, shift in [(4, 1.0), (9, 0.4)]:
    a = numpy.round(rng.normal(0, 1, n), 3)
    b = numpy.round(a + rng.normal(shift, 0.7, n), 3)
    interval = stats.ttest_rel(b, a).confidence_interval(0.95)
    test = stats.permutation_test((b, a), lambda b, a, axis: numpy.mean(b - a, axis=axis), permutation_type="samples",
                                  vectorized=True, n_resamples=numpy.inf)
    out["pairs"].append({"a": a.tolist(), "b": b.tolist(), "lo": interval.low, "hi": interval.high, "p": test.pvalue})


def share(measure, outcome, known):
    """I(V; W | U)/H(W | U) over ordered pairs, from its definition: sums over the values u of U."""
    by_u = collections.defaultdict(list)
    for i, j in itertools.permutations(range(len(measure)), 2):
        u = tuple(k[i] for k in known) + tuple(k[j] for k in known)
        by_u[u].append((numpy.sign(measure[i] - measure[j]), numpy.sign(outcome[i] - outcome[j])))
    pairs, information, entropy = sum(map(len, by_u.values())), 0, 0
    for group in by_u.values():
        joint = collections.Counter(group)
        v, w = collections.Counter(g[0] for g in group), collections.Counter(g[1] for g in group)
        n = len(group)
        information += sum(c / n * numpy.log(c * n / (v[a] * w[b])) for (a, b), c in joint.items()) * n / pairs
        entropy += stats.entropy(list(w.values())) * n / pairs
    return information / entropy if entropy > 0 else 0


out["conditional"] = []
for digits in [6, 0]:  # no decimals: ties
    lr = numpy.repeat([0.1, 0.2, 0.4], 6)
    batch = numpy.tile(numpy.repeat([16, 32], 3), 3)
    outcome = numpy.round(3 * lr + rng.normal(0, 0.7, 18), digits)
    measure = numpy.round(outcome + batch / 40 + rng.normal(0, 0.7, 18), digits)
    known = [[], [lr], [batch], [lr, batch]]
    out["conditional"].append({"lr": lr.tolist(), "batch": batch.tolist(), "outcome": outcome.tolist(), "measure": measure.tolist(),
                               "shares": [share(measure, outcome, k) for k in known]})
pathlib.Path(__file__).with_name("oracles.json").write_text(json.dumps(out, indent=1) + "\n")
