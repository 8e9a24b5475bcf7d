"""Whatever comes: finite codes, or an error that names what is wrong."""

import os
import re
import signal
import warnings
from collections import Counter
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from scipy import sparse
from sklearn.base import clone

from robustness.hostile import cases
from sknca import SNNLEmbedding, TripletEmbedding

#: How many are tried here. 2000 and more were tried with SKNCA_CASES=3000.
N_CASES = int(os.environ.get("SKNCA_CASES", "300"))

#: What the message of an error names, beside the parameter that was set.
_NAMES = (
    r"\b(X|y|y_val|sample_weight|labels?|class(es)?|samples?|features?)\b"
    "|Complex data|Sample weights"
)

#: In seconds; a case takes a hundredth of it.
_LONGEST = 60

#: Whose warnings a user cannot understand.
_DEEP = tuple(str(Path(package.__file__).parent) for package in (torch, np, __import__("sknca")))


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
    return bool(re.search(_NAMES, text)) or any(name in text for name in estimator.get_params())


def outcome(estimator, X, y, weights):
    """What comes of it: the dtype and the codes or probabilities, or the error."""
    try:
        fitted = clone(estimator).fit(X, y, sample_weight=weights)
        answers = fitted.transform(X) if hasattr(fitted, "transform") else fitted.predict_proba(X)
    except (ValueError, TypeError) as error:
        if not names_a_parameter(error, estimator):
            raise AssertionError(f"the error names no parameter: {error!r}") from error
        return None
    assert answers.ndim == 2
    assert len(answers) == np.shape(X)[0]
    assert np.isfinite(answers).all(), "an answer is not finite"
    if hasattr(fitted, "transform"):
        assert answers.shape[1] == len(fitted.get_feature_names_out())
        assert answers.dtype == floating(X)
    else:
        np.testing.assert_allclose(answers.sum(1), 1, rtol=1e-3)
    return answers


def test_estimators():
    outcomes = Counter()

    @settings(
        max_examples=N_CASES,
        derandomize=True,
        database=None,
        deadline=None,
        print_blob=False,
        suppress_health_check=list(HealthCheck),
    )
    @given(cases())
    def run(case):
        estimator, (_, X), (_, y), (_, weights), _ = case
        with limited(), warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            answers = outcome(estimator, X, y, weights)
        for warning in caught:
            assert not warning.filename.startswith(_DEEP), f"a warning from below: {warning}"
        outcomes["refused" if answers is None else "fitted"] += 1

    run()
    print(dict(outcomes))
    assert outcomes["fitted"] > N_CASES / 5
    assert outcomes["refused"] > N_CASES / 5


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
