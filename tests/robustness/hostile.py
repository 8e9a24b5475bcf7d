"""Generated tables, labels, weights and parameters, most of them odd, some of them wrong."""

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import torch
from hypothesis import strategies as st
from scipy import sparse

from sknca import SNNLEmbedding, SoftNeighborsClassifier, TripletEmbedding

ESTIMATORS = [SNNLEmbedding, TripletEmbedding, SoftNeighborsClassifier]

#: What the entries of a table are, drawn by a random generator.
VALUES = {
    "normal": lambda rng, shape: rng.normal(size=shape),
    "small integers": lambda rng, shape: rng.integers(0, 5, shape).astype(float),
    "constant": lambda rng, shape: np.full(shape, 3.0),
    "zeros": lambda rng, shape: np.zeros(shape),
    "mostly zero": lambda rng, shape: rng.normal(size=shape) * (rng.random(shape) < 0.1),
    "of every size": lambda rng, shape: rng.normal(size=shape) * 10.0 ** rng.integers(-30, 30),
    "far away": lambda rng, shape: 1e8 + rng.normal(size=shape),
    "heavy tails": lambda rng, shape: rng.standard_cauchy(shape) ** 3,
    "denormal": lambda rng, shape: rng.integers(-9, 9, shape) * 1e-310,
    "limits of float16": lambda rng, shape: rng.choice([-65504.0, 6e-8, 0, 65504.0], shape),
    "limits of float32": lambda rng, shape: rng.choice([-3.4e38, 1e-45, 0, 3.4e38], shape),
    "limits of float64": lambda rng, shape: rng.choice([-1e308, 5e-324, 0, 1e308], shape),
    "beyond float32": lambda rng, shape: rng.normal(size=shape) * 1e300,
    "one outlier": lambda rng, shape: np.where(rng.random(shape) < 0.02, 1e30, 1.0),
    "missing": lambda rng, shape: np.where(rng.random(shape) < 0.1, np.nan, 1.0),
    "infinite": lambda rng, shape: np.where(rng.random(shape) < 0.1, np.inf, 1.0),
}


def with_strides(X):
    wide = np.zeros((2 * len(X), 3 * X.shape[1]), X.dtype)
    wide[::2, ::3] = X
    return wide[::2, ::3]


def read_only(X):
    X = X.copy()
    X.flags.writeable = False
    return X


def as_integers(X, dtype=np.int64):
    with np.errstate(invalid="ignore", over="ignore"):
        return np.nan_to_num(X).clip(0, 1e4).astype(dtype)


def to_dtype(X, dtype):
    with np.errstate(over="ignore", under="ignore"):
        return X.astype(dtype)


def nullable(X):
    frame = pd.DataFrame(X).astype("Float64")
    return frame.mask(pd.DataFrame(np.isnan(X)))


#: How a table is handed over.
CONTAINERS = {
    "float64": lambda X: X,
    "float32": lambda X: to_dtype(X, np.float32),
    "float16": lambda X: to_dtype(X, np.float16),
    "long double": lambda X: X.astype(np.longdouble),
    "big-endian": lambda X: X.astype(">f8"),
    "complex": lambda X: X.astype(complex),
    "int64": as_integers,
    "uint8": lambda X: as_integers(X, np.uint8),
    "bool": lambda X: X > 0,
    "object": lambda X: X.astype(object),
    "object with text": lambda X: np.where(np.arange(X.size).reshape(X.shape) % 7, X, "text"),
    "text of numbers": lambda X: X.astype(str),
    "list": lambda X: X.tolist(),
    "Fortran": np.asfortranarray,
    "strided": with_strides,
    "backwards": lambda X: X[::-1, ::-1].copy()[::-1, ::-1],
    "one row, broadcast": lambda X: np.broadcast_to(X[:1], X.shape),
    "read-only": read_only,
    "masked": lambda X: np.ma.masked_array(X, mask=np.zeros(X.shape, bool)),
    "matrix": lambda X: X.view(np.matrix),
    "one dimension": lambda X: X.ravel(),
    "three dimensions": lambda X: X[:, :, None],
    "pandas": pd.DataFrame,
    "pandas, nullable": nullable,
    "pandas, nullable integers": lambda X: pd.DataFrame(as_integers(X)).astype("Int64"),
    "pandas, categories": lambda X: pd.DataFrame(as_integers(X)).astype("category"),
    "pandas, words": lambda X: pd.DataFrame(X).assign(word="word"),
    "pandas, dates": lambda X: pd.DataFrame(X).assign(day=pd.Timestamp("2020-01-01")),
    "pandas, sparse": lambda X: pd.DataFrame(X).astype(pd.SparseDtype(float, 0.0)),
    "polars": lambda X: pl.DataFrame(X) if X.size else pl.DataFrame(),
    "pyarrow": lambda X: pa.table({f"f{i}": column for i, column in enumerate(X.T)}),
    "torch": lambda X: torch.from_numpy(X.copy()),
    "torch, transposed": lambda X: torch.from_numpy(X.T.copy()).T,
    "torch, half": lambda X: torch.from_numpy(to_dtype(X, np.float32)).bfloat16(),
    "torch, with a gradient": lambda X: torch.from_numpy(X.copy()).requires_grad_(),
    **{
        f"sparse {name}": lambda X, kind=kind: kind(X)
        for name, kind in {
            "csr": sparse.csr_array,
            "csc": sparse.csc_matrix,
            "coo": sparse.coo_array,
            "lil": sparse.lil_matrix,
            "dok": sparse.dok_array,
            "bsr": sparse.bsr_array,
            "dia": sparse.dia_array,
        }.items()
    },
    "sparse float16": lambda X: sparse.csr_array(to_dtype(X, np.float32)),
    "nothing": lambda X: None,
    "text": lambda X: "table",
    "a number": lambda X: 1.0,
}

#: Kinds of labels, of positions of classes.
LABELS = {
    "integers": lambda y: y,
    "list": lambda y: y.tolist(),
    "uint8": lambda y: y.astype(np.uint8),
    "far integers": lambda y: y * (2**62 // 9) - 2**60,
    "text": lambda y: np.array(list("abcdefgh"))[y],
    "objects": lambda y: np.array(list("abcdefgh"), object)[y],
    "bool": lambda y: y > 0,
    "whole floats": lambda y: y.astype(float),
    "floats": lambda y: y + 0.5,
    "missing floats": lambda y: np.where(y, y, np.nan),
    "infinite": lambda y: np.where(y, y, np.inf),
    "missing objects": lambda y: np.where(y, y, None),
    "mixed": lambda y: np.where(y, y.astype(object), "a"),
    "column": lambda y: y[:, None],
    "two columns": lambda y: np.stack([y, y], 1),
    "one class": np.zeros_like,
    "all alone": lambda y: np.arange(len(y)),
    "one alone": lambda y: np.where(np.arange(len(y)) == 0, 7, y),
    "too few": lambda y: y[1:],
    "pandas": lambda y: pd.Series(y, index=np.arange(len(y))[::-1]),
    "pandas, nullable": lambda y: pd.Series(y).astype("Int64"),
    "pandas, missing": lambda y: pd.Series(y).astype("Int64").mask(pd.Series(y) == 0),
    "pandas, unused categories": lambda y: pd.Series(pd.Categorical(y, categories=range(9))),
    "polars": lambda y: pl.Series(y),
    "torch": lambda y: torch.from_numpy(y.copy()),
    "torch, floats": lambda y: torch.from_numpy(y + 0.5),
    "nothing": lambda y: None,
    "masked": lambda y: np.ma.masked_array(y, mask=False),
}

WEIGHTS = {
    "none": lambda rng, n: None,
    "ones": lambda rng, n: np.ones(n),
    "some": lambda rng, n: rng.random(n),
    "list": lambda rng, n: rng.random(n).tolist(),
    "many zeros": lambda rng, n: (rng.random(n) < 0.3).astype(float),
    "zeros": lambda rng, n: np.zeros(n),
    "tiny": lambda rng, n: rng.random(n) * 1e-300,
    "huge": lambda rng, n: rng.random(n) * 1e300,
    "of every size": lambda rng, n: 10.0 ** rng.integers(-300, 300, n),
    "negative": lambda rng, n: rng.normal(size=n),
    "missing": lambda rng, n: np.full(n, np.nan),
    "infinite": lambda rng, n: np.full(n, np.inf),
    "too few": lambda rng, n: np.ones(max(n - 1, 0)),
    "column": lambda rng, n: np.ones((n, 1)),
    "a number": lambda rng, n: 2.0,
    "text": lambda rng, n: np.full(n, "heavy"),
}

#: Values of parameters that are legal, and others that are not for every table, or for none.
PARAMETERS = {
    "n_components": ([None, 1, 2, 50], [0, -1, 2.0, "two"]),
    "hidden_layer_sizes": ([(), (4,), (4, 3), [4]], [4, (0,), (-1,), (2.5,), "wide"]),
    "activation": (["relu", "tanh", "gelu"], ["none", None]),
    "dropout": (["auto", 0.0, 0.5, 0.99], [1.0, -0.1, np.nan]),
    "metric": (["sqeuclidean", "euclidean", "cosine"], ["manhattan", None]),
    "learning_rate_init": (
        [0.003, 1e-300, 10.0, 1e6, 1e30],
        [0.0, -1.0, np.nan, np.inf, "fast"],
    ),
    "weight_decay": ([0.0, 0.01, 1e3], [-1.0]),
    "adversarial_radius": ([0.0, 0.5, 1e10, 1e30], [-1.0, np.inf, "far"]),
    "adversarial_fraction": ([0.25, 1.0], [0.0]),
    "batch_size": (["auto", 1, 2, 7, 10**9], [0, 2.5, "big"]),
    "max_iter": ([1, 2, 3], [0, -1, 1.5, None]),
    "tol": ([None, 0.0, 1e-4], [np.inf, -1.0]),
    "n_iter_no_change": ([1, 10], [0]),
    "early_stopping": ([True, False], ["yes"]),
    "validation_fraction": ([0.1, 0.5, 0.99, 1e-6], [0.0, 1.0, np.nan]),
    "device": (["auto", "cpu", torch.device("cpu")], ["abacus", None]),
    "random_state": ([0, None, 2**32 - 1, np.int64(3)], [-1, "seed", 2**32]),
    "scale": ([True, False], ["big"]),
    "unlabeled": ([None, -1, 0, 7], ["a", np.nan]),
    "spread_labels": ([True, False], ["far"]),
    "q": ([0.0, 0.5, 1.0, 1e-300], [2.0, np.nan]),
    "temperature": ([1.0, 1e-3, 1e3, 1e-30, 1e30, 1e-300], [0.0, -1.0, np.nan, np.inf]),
    "temperature_schedule": (["constant", "annealed", "learned"], ["hot"]),
    "layers": (["last", "all"], [["0"], ["nowhere"], [], "first"]),
    "code_units": ([None, 1, 2], [50, 0]),
    "primary_loss": ([None, "reconstruction", "classification"], ["both"]),
    "snnl_weight": ([1.0, 0.0, -1.0, 1e10, 1e-10], [np.nan, np.inf]),
    "class_weight": ([None, "balanced"], [{0: 1.0}, {0: 0.0}, {0: -1.0}, {"a": 2.0}, {0: np.nan}]),
    "margin": ([1.0, 0.0, "soft", 1e30], [-1.0, np.inf, "hard"]),
    "mining": (["all", "semihard", "hard", "random"], ["easy"]),
}


@st.composite
def cases(draw):
    """An estimator, and X, y and sample weights for it, each with the name of its kind."""
    kind = draw(st.sampled_from(ESTIMATORS))
    names = sorted(kind().get_params().keys() & PARAMETERS.keys())
    settings = {"max_iter": 2, "hidden_layer_sizes": (4,)} if kind in ESTIMATORS[:2] else {}
    for name in draw(st.lists(st.sampled_from(names), max_size=3, unique=True)):
        right, wrong = PARAMETERS[name]
        settings[name] = draw(st.sampled_from(right * (1 + 9 * len(wrong) // len(right)) + wrong))
    rng = np.random.default_rng(draw(st.integers(0, 2**16)))
    n = draw(st.sampled_from([*(20, 40) * 5, 0, 1, 2, 3, 5, 8]))
    d = draw(st.sampled_from([*(3, 6, 1) * 3, 2, 30, 0]))
    # Mostly one oddity at a time: of several, the first hides the others.
    odd = draw(st.sets(st.sampled_from(["values", "container", "labels", "weights"]), max_size=2))
    values = draw(st.sampled_from(list(VALUES))) if "values" in odd else "normal"
    container = draw(st.sampled_from(list(CONTAINERS))) if "container" in odd else "float64"
    labels = draw(st.sampled_from(list(LABELS))) if "labels" in odd else "integers"
    weights = draw(st.sampled_from(list(WEIGHTS))) if "weights" in odd else "none"
    classes = rng.integers(0, draw(st.sampled_from([*(2, 3, 8) * 3, 1])), n)
    table = VALUES[values](rng, (n, d))
    return (
        kind(**settings),
        (container, CONTAINERS[container](table)),
        (labels, LABELS[labels](classes)),
        (weights, WEIGHTS[weights](rng, n)),
        values,
    )
