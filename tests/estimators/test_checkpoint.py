"""A fit that was interrupted goes on, and ends as one that was not, bit for bit."""

import os
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn import config_context
from sklearn.datasets import load_digits, load_wine
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import nn
from versions import HAS_CALLBACKS

import sknca
from sknca import SNNLEmbedding, TripletEmbedding, _file
from sknca.training import TrainingState

from .recorder import Recorder

X, y = load_digits(return_X_y=True)
X, y, X_VAL, Y_VAL = X[:150], y[:150], X[150:200], y[150:200]
WEIGHTS = {label: 1.0 + label for label in range(10)}
WEIGHT = np.linspace(0, 1, len(y))
FEW = np.where(np.arange(len(y)) % 3 == 0, y, -1)


def encoder(n_features, n_components):
    return nn.Sequential(
        nn.Linear(n_features, 16), nn.BatchNorm1d(16), nn.Dropout(0.3), nn.Linear(16, n_components)
    )


KINDS = {
    "default": {},
    "watched": {"max_iter": 24},
    "early stopping": {"early_stopping": True, "n_iter_no_change": 2, "learning_rate_init": 0.01},
    "tol": {"tol": 0.1, "n_iter_no_change": 2},
    "learned temperatures": {"temperature_schedule": "learned", "layers": "all"},
    "annealed": {"temperature_schedule": "annealed", "metric": "cosine"},
    "unsquared": {"metric": "euclidean", "sample_weight": WEIGHT},
    "reconstruction": {"primary_loss": "reconstruction", "y": FEW, "unlabeled": -1},
    "labels that spread": {"y": FEW, "unlabeled": -1, "sample_weight": WEIGHT},
    "triplets, labels that spread": {"cls": TripletEmbedding, "y": FEW, "unlabeled": -1},
    "classification": {"primary_loss": "classification", "class_weight": "balanced"},
    "custom encoder": {"encoder": encoder, "n_components": 4, "adversarial_radius": 0.5},
    "weights": {"sample_weight": WEIGHT, "q": 0.5},
    "validation": {"X_val": X_VAL, "y_val": Y_VAL},
    "triplets": {"cls": TripletEmbedding, "mining": "random", "adversarial_radius": 0.3},
    "triplets, early stopping": {"cls": TripletEmbedding, "early_stopping": True},
}
pytestmark = pytest.mark.filterwarnings("ignore:Maximum iterations")


def fit(
    cls=SNNLEmbedding,
    *,
    X=X,
    y=y,
    callback=None,
    sample_weight=None,
    X_val=None,
    y_val=None,
    checkpoint=None,
    checkpoint_every=1,
    **parameters,
):
    settings = {"max_iter": 9, "batch_size": 48, "hidden_layer_sizes": (16,), "random_state": 0}
    embedding = cls(**settings | parameters)
    if callback is not None:
        if not HAS_CALLBACKS:
            pytest.skip("callbacks need scikit-learn 1.9")
        embedding.set_callbacks(callback)
    return embedding.fit(
        X,
        y,
        sample_weight,
        X_val=X_val,
        y_val=y_val,
        checkpoint=checkpoint,
        checkpoint_every=checkpoint_every,
    )


def fitted_attributes(embedding):
    """All but the networks and what a fit is told."""
    return {
        name: value
        for name, value in vars(embedding).items()
        if name.endswith("_") and not isinstance(value, nn.Module)
    }


def assert_same(got, expected):
    one, other = fitted_attributes(got), fitted_attributes(expected)
    assert one.keys() == other.keys()
    for name, value in one.items():
        np.testing.assert_array_equal(value, other[name], err_msg=name)
    tensors = expected._objective.state_dict()
    for name, tensor in got._objective.state_dict().items():
        assert torch.equal(tensor, tensors[name]), name
    np.testing.assert_array_equal(got.transform(X), expected.transform(X))


@pytest.fixture
def path(tmp_path):
    return tmp_path / "fit.ckpt"


@pytest.mark.parametrize("kind", KINDS)
def test_it_goes_on_where_a_callback_failed(kind, path):
    expected = fit(**KINDS[kind])
    n_fits, got = 0, None
    while got is None:
        n_fits += 1
        try:
            got = fit(**KINDS[kind], callback=Recorder(fail_after=2), checkpoint=path)
        except RuntimeError:
            assert path.exists()
    assert n_fits >= 1 + expected.n_iter_ // 4
    assert_same(got, expected)


def test_it_goes_on_in_a_training_that_started_anew(path):
    X, y = load_wine(return_X_y=True)
    draws = np.random.RandomState(0)
    wrong = np.where(draws.rand(len(y)) < 0.3, draws.randint(3, size=len(y)), y)
    kind = {"hidden_layer_sizes": (64,), "dropout": 0, "learning_rate_init": 0.01, "max_iter": 55}
    kind |= {"X": X, "y": wrong}
    expected = fit(**kind)
    assert expected.overfits_
    n_fits, got = 0, None
    while got is None:
        n_fits += 1
        with suppress(RuntimeError):
            got = fit(**kind, callback=Recorder(fail_after=4), checkpoint=path, checkpoint_every=3)
    assert n_fits > expected.n_iter_ / 5 + 2
    assert got.overfits_
    assert got.history_ == expected.history_
    np.testing.assert_array_equal(got.transform(X), expected.transform(X))


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.parametrize(("how", "every", "n_times"), [("SIGKILL", 1, 20), ("SIGINT", 7, 5)])
def test_it_goes_on_after_kills_at_random_moments(path, how, every, n_times):
    script = Path(__file__).with_name("interrupted.py")
    done = subprocess.run(
        [sys.executable, script, path, how, str(every), str(n_times)],
        capture_output=True,
        text=True,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, done.stderr
    assert f"{n_times} killed" in done.stdout


def test_an_interruption_writes_what_it_keeps(path):
    class Interrupt(Recorder):
        def on_fit_task_begin(self, estimator, context):
            if context.task_name == "epoch" and context.task_id == 3:
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt, match="3 epochs are kept"):
        fit(callback=Interrupt(), checkpoint=path, checkpoint_every=100)
    recorder = Recorder()
    assert_same(fit(callback=recorder, checkpoint=path, checkpoint_every=100), fit())
    assert sum(told.startswith("end epoch") for told in recorder.told) == 6


def test_a_finished_fit_is_returned_at_once(path):
    expected = fit(checkpoint=path)
    before, recorder = path.read_bytes(), Recorder()
    assert_same(fit(checkpoint=path, callback=recorder), expected)
    assert not any("epoch" in told for told in recorder.told)
    assert path.read_bytes() == before


def test_it_is_finished_where_a_callback_stopped_it(path):
    stopped = fit(checkpoint=path, callback=Recorder(stop_after=4))
    assert stopped.n_iter_ == 5
    assert_same(fit(checkpoint=path), stopped)


def test_without_random_state_the_seed_is_that_of_the_file(path):
    with pytest.raises(RuntimeError):
        fit(random_state=None, callback=Recorder(fail_after=3), checkpoint=path)
    data = path.read_bytes()
    codes = []
    for _ in range(2):
        path.write_bytes(data)
        codes.append(fit(random_state=None, checkpoint=path).transform(X))
    np.testing.assert_array_equal(*codes)


@pytest.mark.parametrize("fail_after", [None, 3])
def test_more_epochs_than_before(path, fail_after):
    """A fit that has ended goes on too, on the schedules of all epochs."""
    with suppress(RuntimeError):
        fit(checkpoint=path, callback=Recorder(fail_after=fail_after))
    with pytest.warns(UserWarning, match=r"max_iter=14, but .* with max_iter=9.*From epoch \d on"):
        longer = fit(checkpoint=path, max_iter=14)
    assert longer.n_iter_ == 14
    assert longer.loss_ < fit().loss_
    assert_same(fit(checkpoint=path, max_iter=14), longer)


def test_more_epochs_where_more_would_overfit(path):
    X, y = load_wine(return_X_y=True)
    draws = np.random.RandomState(0)
    wrong = np.where(draws.rand(len(y)) < 0.3, draws.randint(3, size=len(y)), y)
    kind = {"hidden_layer_sizes": (64,), "dropout": 0, "learning_rate_init": 0.01}
    kind |= {"X": X, "y": wrong, "checkpoint": path}
    expected = fit(**kind, max_iter=55)
    with pytest.warns(UserWarning, match="changes nothing"):
        assert fit(**kind, max_iter=80).history_ == expected.history_


@pytest.mark.parametrize(
    ("cls", "name"), [(SNNLEmbedding, "temperature"), (TripletEmbedding, "margin")]
)
def test_the_number_that_auto_means_is_no_other_fit(path, cls, name):
    # As in files of a version in which the default was this number.
    expected = fit(cls=cls, checkpoint=path, **{name: 1.0})
    assert_same(fit(cls=cls, checkpoint=path), expected)


OTHERS = {
    "temperature was 1.0, now 0.5": {"temperature": 0.5},
    "hidden_layer_sizes was": {"hidden_layer_sizes": (8,)},
    "estimator was SNNLEmbedding, now TripletEmbedding": {"cls": TripletEmbedding},
    "random_state was 0, now 1": {"random_state": 1},
    "max_iter was 9, now less, 5": {"max_iter": 5},
    "encoder was None, now encoder": {"encoder": encoder},
    "class_weight was None, now {0: 2.0}": {"class_weight": {0: 2.0}},
    "X.shape was": {"X": X[:-1], "y": y[:-1]},
    "X.dtype was <f8, now <f4": {"X": X.astype(np.float32)},
    "the checksum of X was": {"X": np.where(np.arange(X.size).reshape(X.shape) == 3333, 9.5, X)},
    "the checksum of labels was": {"y": np.where(np.arange(len(y)) == 7, 1, y)},
    "weight.shape was None": {"sample_weight": WEIGHT},
    "X_val.shape was None": {"X_val": X_VAL, "y_val": Y_VAL},
}


@pytest.mark.parametrize("what", OTHERS)
def test_another_fit_is_refused_by_name(path, what):
    fit(checkpoint=path)
    before = path.read_bytes()
    with pytest.raises(ValueError, match="belongs to another fit: ") as raised:
        fit(**OTHERS[what], checkpoint=path)
    assert what in str(raised.value)
    assert path.read_bytes() == before


SAME = {
    "another order": {"class_weight": dict(reversed([*WEIGHTS.items()]))},
    "numbers of NumPy": {
        "random_state": np.int64(0),
        "hidden_layer_sizes": np.array([16]),
        "class_weight": {np.int64(label): np.float64(value) for label, value in WEIGHTS.items()},
        "temperature": np.float32(1),
        "warm_start": np.False_,
        "metric": np.str_("sqeuclidean"),
    },
    "a list, and a whole number": {"hidden_layer_sizes": [16], "temperature": 1},
    "a DataFrame": {"X": pd.DataFrame(X).add_prefix("pixel")},
    "by columns": {"X": np.asfortranarray(X)},
    "the highest byte first": {"X": X.astype(">f8")},
    "lists": {"X": X.tolist(), "y": y.tolist()},
}


@pytest.mark.parametrize("what", SAME)
def test_the_same_values_written_otherwise_go_on(path, what):
    with pytest.raises(RuntimeError):
        fit(class_weight=WEIGHTS, callback=Recorder(fail_after=1), checkpoint=path)
    recorder = Recorder()
    got = fit(**{"class_weight": WEIGHTS, **SAME[what]}, callback=recorder, checkpoint=path)
    assert sum(told.startswith("end epoch") for told in recorder.told) == 7
    codes = got.transform(SAME[what].get("X", X))
    np.testing.assert_array_equal(codes, fit(class_weight=WEIGHTS).transform(X))


def test_a_file_of_version_0_2_goes_on(path):
    """There the texts of parameters were those of `repr`."""
    given = {"class_weight": {np.int64(0): 2.0}, "hidden_layer_sizes": np.array([16])}
    with pytest.raises(RuntimeError):
        fit(**given, callback=Recorder(fail_after=1), checkpoint=path)
    content, arrays = _file.unpack(path.read_bytes())
    assert content["fit"]["class_weight"] == "{0: 2.0}"
    content["fit"]["class_weight"] = "{np.int64(0): 2.0}"
    content["fit"]["hidden_layer_sizes"] = "[np.int64(16)]"
    del content["sha256"]
    path.write_bytes(_file.pack(content, arrays))
    assert_same(fit(**given, checkpoint=path), fit(**given))


def test_other_versions_are_refused_by_name(path, monkeypatch):
    fit(checkpoint=path)
    monkeypatch.setattr(sknca, "__version__", "99")
    with pytest.raises(ValueError, match=r"the version of sknca was .*, now 99"):
        fit(checkpoint=path)


def test_what_a_killed_write_left_is_removed(path):
    left, another = (path.with_name(f"fit.ckpt.{name}.partial") for name in ("0123abcd", "mine"))
    for file in (left, another):
        file.write_text("")
    fit(checkpoint=path)
    assert another.exists()
    assert not left.exists()


def test_a_matching_fit_may_be_silent_or_not(path):
    fit(checkpoint=path)
    fit(checkpoint=path, verbose=1)


@pytest.mark.parametrize("position", [0, 4, 30, 60, 90, 200, 0.3, 0.6, 0.99])
@pytest.mark.parametrize("damage", ["truncated", "altered"])
def test_a_damaged_file_is_refused_and_stays(path, position, damage):
    fit(checkpoint=path, max_iter=2)
    data = path.read_bytes()
    position = position if isinstance(position, int) else int(position * len(data))
    altered = data[:position] + bytes([data[position] ^ 1]) + data[position + 1 :]
    damaged = data[:position] if damage == "truncated" else altered
    path.write_bytes(damaged)
    with pytest.raises(ValueError, match=r"checkpoint=.* cannot be continued: "):
        fit(checkpoint=path, max_iter=2)
    assert path.read_bytes() == damaged


def test_a_foreign_file_is_refused_and_stays(path):
    path.write_text("my notes")
    with pytest.raises(ValueError, match="cannot be continued"):
        fit(checkpoint=path)
    assert path.read_text() == "my notes"
    sknca.save(fit(max_iter=1), path)
    with pytest.raises(ValueError, match=r"written by sknca\.save"):
        fit(checkpoint=path)
    sknca.load(path)


def test_a_state_that_does_not_fit_is_refused(path):
    """As one of a user's encoder that was edited meanwhile."""
    fit(checkpoint=path, encoder=encoder)
    before, edited = path.read_bytes(), lambda d, k: nn.Sequential(nn.Linear(d, k))
    edited.__qualname__ = encoder.__qualname__
    with pytest.raises(ValueError, match="contains a state that does not fit"):
        fit(checkpoint=path, encoder=edited)
    assert path.read_bytes() == before


def test_load_refuses_a_checkpoint(path):
    fit(checkpoint=path, max_iter=1)
    with pytest.raises(ValueError, match="it is a checkpoint of a fit"):
        sknca.load(path)


def test_a_folder_is_no_file(tmp_path):
    for path in (tmp_path, tmp_path / "nowhere" / "fit.ckpt"):
        with pytest.raises(ValueError, match=r"checkpoint='.*' must be a file in an existing"):
            fit(checkpoint=path)


@pytest.mark.parametrize("every", [0, -1, 1.5, "2"])
def test_checkpoint_every_is_checked(path, every):
    with pytest.raises((ValueError, TypeError), match="checkpoint_every"):
        fit(checkpoint=path, checkpoint_every=every)


@pytest.mark.parametrize("every", [1, 2, 5, 100])
def test_it_is_written_after_so_many_epochs(path, every, monkeypatch):
    from sknca.fitting import _checkpoint

    written = []
    write = _file.write_atomically
    monkeypatch.setattr(
        _checkpoint, "write_atomically", lambda *file: written.append(1) or write(*file)
    )
    fit(checkpoint=path, checkpoint_every=every)
    assert len(written) == 9 // every + 1  # and at the end


@pytest.mark.parametrize(("every", "n_copies"), [(1, 0), (3, 6), (100, 9)])
def test_the_state_is_copied_only_if_it_is_kept(path, every, n_copies, monkeypatch):
    """A state that is written need not be copied: no step comes in between."""
    copied = []
    state_dict = TrainingState.state_dict

    def counted(self, **how):
        copied.append(how["copied"])
        return state_dict(self, **how)

    monkeypatch.setattr(TrainingState, "state_dict", counted)
    fit(checkpoint=path, checkpoint_every=every)
    assert len(copied) == 9
    assert sum(copied) == n_copies


class InterruptsAStep(nn.Linear):
    """An encoder in whose steps the user interrupts."""

    left = 0

    def forward(self, x):
        if self.training:
            InterruptsAStep.left -= 1
            if InterruptsAStep.left == 0:
                raise KeyboardInterrupt
        return super().forward(x)


@pytest.mark.parametrize("every", [1, 2, 5, 100])
def test_an_interruption_within_an_epoch_writes_the_one_before(path, every):
    """An epoch has four batches; in the middle of the fourth epoch all tensors have changed."""
    kind = {"encoder": InterruptsAStep, "n_components": 4, "checkpoint_every": every}
    expected = fit(**kind)
    InterruptsAStep.left = 3 * 4 + 3
    with pytest.raises(KeyboardInterrupt, match="3 epochs are kept"):
        fit(**kind, checkpoint=path)
    recorder = Recorder()
    assert_same(fit(**kind, checkpoint=path, callback=recorder), expected)
    assert sum(told.startswith("end epoch") for told in recorder.told) == 6


def test_a_failed_write_leaves_the_former(path, monkeypatch):
    with pytest.raises(RuntimeError):
        fit(checkpoint=path, callback=Recorder(fail_after=1))
    before = path.read_bytes()

    def full(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    embedding = SNNLEmbedding(max_iter=9, batch_size=48, hidden_layer_sizes=(16,), random_state=0)
    with pytest.raises(OSError, match="No space left"):
        embedding.fit(X, y, checkpoint=path)
    assert not hasattr(embedding, "network_")
    assert path.read_bytes() == before
    assert os.listdir(path.parent) == [path.name]


def test_through_a_pipeline(path):
    expected = make_pipeline(StandardScaler(), SNNLEmbedding(max_iter=3, random_state=0))
    expected.fit(X, y)
    pipeline = make_pipeline(StandardScaler(), SNNLEmbedding(max_iter=3, random_state=0))
    pipeline.fit(X, y, snnlembedding__checkpoint=path)
    assert_same(pipeline[-1], expected[-1])
    path.unlink()
    with config_context(enable_metadata_routing=True):
        embedding = SNNLEmbedding(max_iter=3, random_state=0)
        embedding.set_fit_request(checkpoint=True, checkpoint_every=True)
        pipeline = make_pipeline(StandardScaler(), embedding)
        pipeline.fit(X, y, checkpoint=path, checkpoint_every=2)
    assert path.exists()
    assert_same(pipeline[-1], expected[-1])
