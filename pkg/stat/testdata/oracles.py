"""Writes oracles.json: points and pairs, and what scipy says of them.

    pip install numpy scipy
    python oracles.py
"""

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
    })
for n, shift in [(4, 1.0), (9, 0.4)]:
    a = numpy.round(rng.normal(0, 1, n), 3)
    b = numpy.round(a + rng.normal(shift, 0.7, n), 3)
    interval = stats.ttest_rel(b, a).confidence_interval(0.95)
    test = stats.permutation_test((b, a), lambda b, a, axis: numpy.mean(b - a, axis=axis), permutation_type="samples",
                                  vectorized=True, n_resamples=numpy.inf)
    out["pairs"].append({"a": a.tolist(), "b": b.tolist(), "lo": interval.low, "hi": interval.high, "p": test.pvalue})
pathlib.Path(__file__).with_name("oracles.json").write_text(json.dumps(out, indent=1) + "\n")
