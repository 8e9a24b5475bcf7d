"""Whatever comes: finite codes, or an error that names what is wrong."""

import os
import re
import signal
import warnings
from collections import Counter
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import scipy
import sklearn
import torch
from hypothesis import HealthCheck, assume, given, settings
from scipy import sparse
from sklearn.base import clone

import sknca
from robustness.hostile import cases
from sknca import SNNLEmbedding, TripletEmbedding

#: How many are tried here. 2000 and more were tried with SKNCA_CASES=3000.
N_CASES = int(os.environ.get("SKNCA_CASES", "300"))

#: What the message of an error names, beside the parameter that was set; or how scikit-learn says
#: what is wrong with X, y or the weights without their name.
_NAMES = (
    r"\b(X|y|X_val|y_val|sample_weight|classes)\b"
    r"|^Complex data not supported|^Expected 2D array, got|^Found array with \d+ (sample|feature)"
    r"|^Found input variables with inconsistent numbers of samples|^Sample weights must"
    r"|^Number of labels is|^The first call of partial_fit needs two samples"
)

#: What a sound fit is given.
GOOD = np.random.default_rng(5).normal(size=(30, 3)), np.arange(30) % 3
QUICK = {kind: {"max_iter": 2, "random_state": 0} for kind in (SNNLEmbedding, TripletEmbedding)}

#: In seconds; a case takes a hundredth of it.
_LONGEST = 60

#: Whose warnings a user cannot understand.
_DEEP = tuple(
    str(Path(package.__file__).parent) for package in (torch, np, scipy, sklearn, pd, sknca)
)

#: Warnings of scikit-learn that say what the user did.
_CLEAR = "feature names, but"


@contextmanager
def limited():
    def stop(*_):
        raise AssertionError(f"took more than {_LONGEST} seconds")

    before = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, _LONGEST)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def floating(X):
    """The dtype of the codes of X."""
    dtype = getattr(X, "dtype", None)
    if isinstance(X, torch.Tensor):
        dtype = {torch.float32: np.float32, torch.float16: np.float16}.get(X.dtype, np.float64)
        if X.dtype == torch.bfloat16:
            dtype = np.float32
    return dtype if dtype in (np.float32, np.float16) else np.dtype(np.float64)


def names_a_parameter(error, estimator):
    """Whether the message names the parameter that is wrong."""
    text = str(error)
    names = "|".join(estimator.get_params())
    return bool(re.search(rf"{_NAMES}|\b({names})\b", text))


def outcome(estimator, X, y, weights):
    """The codes or probabilities."""
    fitted = clone(estimator).fit(X, y, sample_weight=weights)
    answers = fitted.transform(X) if hasattr(fitted, "transform") else fitted.predict_proba(X)
    assert answers.ndim == 2
    assert len(answers) == np.shape(X)[0]
    assert np.isfinite(answers).all(), "an answer is not finite"
    if hasattr(fitted, "transform"):
        assert answers.shape[1] == len(fitted.get_feature_names_out())
        assert answers.dtype == floating(X)
    else:
        np.testing.assert_allclose(answers.sum(1), 1, rtol=1e-3)
    return answers


def of_portions(estimator, X, y, weights):
    """The codes after two portions, both the odd one."""
    fitted = clone(estimator)
    for _ in range(2):
        fitted.partial_fit(X, y, sample_weight=weights)
    return fitted.transform(X)


def after_a_good_fit(estimator, X, y, weights):
    """What a sound estimator gives for odd samples, and, with labels, after learning from them."""
    fitted = type(estimator)(**QUICK.get(type(estimator), {})).fit(*GOOD)
    answers = (getattr(fitted, "transform", None) or fitted.predict_proba)(X)
    if hasattr(fitted, "partial_fit") and y is not None:
        fitted.partial_fit(X, y, sample_weight=weights)
        assert np.isfinite(fitted.transform(GOOD[0])).all(), "an odd portion has broken it"
    return answers


def held_out(estimator, X, y, weights):
    """The codes of sound samples, with odd ones held out."""
    fitted = clone(estimator).fit(*GOOD, X_val=X, y_val=y)
    return fitted.transform(GOOD[0])


def refused_or(call, estimator, *given):
    try:
        answers = call(estimator, *given)
    except (ValueError, TypeError) as error:
        if not names_a_parameter(error, estimator):
            raise AssertionError(f"the error names no parameter: {error!r}") from error
        return None
    assert np.isfinite(answers).all(), "an answer is not finite"
    return answers


#: Which part of the generated cases, and at least which part of these is answered.
CALLS = {
    "fit": (outcome, 1, 1 / 5),
    "portions": (of_portions, 1 / 3, 1 / 5),
    "after a good fit": (after_a_good_fit, 1 / 3, 1 / 20),
    "held out": (held_out, 1 / 3, 1 / 20),
}


@pytest.mark.parametrize("name", CALLS)
def test_estimators(name):
    call, part, least = CALLS[name]
    n_cases, outcomes = int(part * N_CASES), Counter()

    @settings(
        max_examples=n_cases,
        derandomize=True,
        database=None,
        deadline=None,
        print_blob=False,
        suppress_health_check=list(HealthCheck),
    )
    @given(cases())
    def run(case):
        estimator, (_, X), (_, y), (_, weights), _ = case
        assume(hasattr(estimator, "partial_fit") or call not in (of_portions, held_out))
        with limited(), warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            answers = refused_or(call, estimator, X, y, weights)
        for warning in caught:
            is_deep = warning.filename.startswith(_DEEP) and _CLEAR not in str(warning.message)
            assert not is_deep, f"a warning from below: {warning}"
        outcomes["refused" if answers is None else "fitted"] += 1

    run()
    print(name, dict(outcomes))
    assert outcomes["fitted"] > least * n_cases
    assert outcomes["refused"] > n_cases / 5


@pytest.mark.parametrize("kind", [SNNLEmbedding, TripletEmbedding])
@pytest.mark.parametrize("method", ["fit", "partial_fit"])
@pytest.mark.parametrize("scale", [True, False])
@pytest.mark.parametrize("size", [1e155, 1e300])
def test_values_beyond_float32_do_not_warn(kind, method, scale, size):
    X, y = np.random.default_rng(0).normal(size=(40, 3)) * size, np.arange(40) % 3
    with pytest.raises(ValueError, match="X contains infinity or a value too large"):
        getattr(kind(max_iter=1, scale=scale), method)(X, y)


@pytest.mark.parametrize("kind", [SNNLEmbedding, TripletEmbedding])
@pytest.mark.parametrize("container", [sparse.csr_array, sparse.coo_matrix, np.asarray])
@pytest.mark.parametrize("container_val", [sparse.csr_array, sparse.coo_matrix, np.asarray])
def test_held_out_samples_may_be_stored_otherwise(kind, container, container_val):
    X, y = np.random.default_rng(0).normal(size=(40, 3)), np.arange(40) % 3
    embedding = kind(max_iter=1, random_state=0)
    expected = clone(embedding).fit(container(X), y, X_val=container(X), y_val=y)
    embedding.fit(container(X), y, X_val=container_val(X), y_val=y)
    np.testing.assert_allclose(
        embedding.validation_loss_curve_, expected.validation_loss_curve_, rtol=1e-4
    )


@pytest.mark.parametrize("temperature", [1e-300, 1e300])
def test_a_temperature_that_float32_cannot_hold_is_named_as_given(temperature):
    X, y = np.random.default_rng(0).normal(size=(40, 3)), np.arange(40) % 3
    with pytest.raises(
        ValueError, match=re.escape(f"temperature must be positive, got {temperature}")
    ):
        SNNLEmbedding(max_iter=1, temperature=temperature).fit(X, y)
