"""Processes that train together give what one process with the same global batches gives."""

import json
import re

import numpy as np
import pytest
import torch
from versions import needs_callbacks

import sknca.training._loop as loop
from processes import cases
from sknca.fitting import _fit


@needs_callbacks
def test_all_processes_end_well(done):
    codes = (done / "codes.txt").read_text().splitlines()
    others = [line for line in codes if ":die:" not in line and ":fail:" not in line]
    assert len(others) == 7
    for line in others:
        texts = [file.read_text() for file in done.glob("*.out")]
        assert line.endswith(":0"), texts


def found(done, name, size):
    return [np.load(done / f"{name}-{size}-{rank}.npz") for rank in range(size)]


def assert_same_network(parts):
    for other in parts[1:]:
        names = [name for name in parts[0] if name.startswith("p.")]
        assert names
        for name in names:
            np.testing.assert_array_equal(parts[0][name], other[name])


@pytest.mark.parametrize(
    ("name", "size"),
    [(name, 2) for name in cases.ALL] + [(name, 3) for name in cases.OF_THREE],
)
def test_together_as_one_process(done, monkeypatch, name, size):
    ranks = found(done, name, size)
    assert_same_network(ranks)
    X, y, given = cases.data(name)
    embedding = cases.make(name)
    # The same global batches: which rows each process has drawn, among those that it learns from.
    used = np.ones(300, dtype=bool)
    if "sample_weight" in given:
        used &= given["sample_weight"] > 0
    leaves_out = ("unlabeled_classification", "own_classification")
    if name in leaves_out or "labels_in_the_last" in name:
        used &= y >= 0
    lengths = [int(used[part].sum()) for part in cases.parts(name, size)]
    offsets = np.cumsum([0, *lengths])
    epochs = []
    for epoch in range(3):
        batches = []
        for i in range(ranks[0]["lengths"].shape[1]):
            rows = []
            for rank, offset in zip(ranks, offsets[:-1], strict=True):
                ends = np.cumsum([0, *rank["lengths"].ravel()])
                place = epoch * rank["lengths"].shape[1] + i
                rows.append(rank["batches"][ends[place] : ends[place + 1]] + offset)
            batches.append(torch.from_numpy(np.concatenate(rows)))
        epochs.append(batches)
        together = np.sort(np.concatenate(batches))
        assert len(np.unique(together)) == used.sum()  # each row comes
    drawn = iter(epochs)
    monkeypatch.setattr(loop, "class_aware_batches", lambda *_: next(drawn))
    if "members" in name:  # what each leaves out
        parts = torch.from_numpy(np.concatenate([rank["oob_member"] for rank in ranks]))
        monkeypatch.setattr(_fit, "deal_parts", lambda *_: parts)
    embedding.fit(X, y, **given)
    for rank in ranks:
        np.testing.assert_allclose(rank["loss"], embedding.loss_curve_, rtol=1e-5, atol=1e-5)
        codes, expected = rank["codes"], embedding.transform(X)
        if "members" in name:
            part = cases.parts(name, size)[int(rank["rank"])]
            probabilities = embedding.oob_decision_function_[part]
            np.testing.assert_allclose(rank["oob_probabilities"], probabilities, atol=1e-3)
        if embedding.metric != "cosine" and "classification" not in name:
            # The loss depends on differences of codes alone. Only rounding decides where all of
            # them are, because AdamW enlarges any gradient.
            codes, expected = codes - codes.mean(0), expected - expected.mean(0)
        np.testing.assert_allclose(codes, expected, rtol=1e-4, atol=1e-4)
    size_of_batch = 256 if name == "default" else embedding.batch_size
    assert max(rank["lengths"].max() for rank in ranks) <= size_of_batch + 3


def test_a_shard_may_have_fewer_rows_than_there_are_batches(done):
    *_, small = found(done, "fewer_rows_than_batches", 2)
    assert small["lengths"].min() == 0
    assert (small["lengths"].sum(1) == 4).all()


@pytest.mark.parametrize("metric", ["sqeuclidean", "euclidean", "cosine"])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("q", [0.0, 0.7])
def test_the_loss_and_its_gradient_in_two_processes(done, metric, weighted, q):
    for rank in found(done, "functional", 2):
        name = f"{metric}-{weighted}-{q}"
        total, expected = rank[f"{name}.total"], rank[f"{name}.expected"]
        np.testing.assert_allclose(total, expected, rtol=2e-5, atol=1e-6)
        for gradient in rank[f"{name}.gradients"]:
            np.testing.assert_allclose(gradient, rank[f"{name}.gradient"], rtol=1e-3, atol=1e-7)


def test_a_process_may_have_no_rows_to_gather(done):
    for rank in found(done, "functional", 2):
        gathered = {name: array for name, array in rank.items() if name.startswith("none")}
        assert len(gathered) == 7
        for name, right in gathered.items():
            assert right.all(), name


def test_distributed_data_parallel_gets_the_gradient_of_one_process(done):
    for rank in found(done, "functional", 2):
        np.testing.assert_allclose(rank["ddp"], rank["ddp.expected"], rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(
    "name", ["early", "early_by_one", "validated", "validated_by_one", "watched"]
)
def test_processes_decide_alike(done, name):
    parts = found(done, name, 2)
    assert_same_network(parts)
    assert np.isfinite(parts[0]["curve"]).all()
    np.testing.assert_array_equal(parts[0]["curve"], parts[1]["curve"])
    if name == "watched":
        assert parts[0]["overfits"] == parts[1]["overfits"]
        assert parts[0]["overfits"] in (False, True)


@needs_callbacks
def test_an_interruption_ends_all_and_the_fit_is_resumed_bit_for_bit(done):
    whole, resumed, again = (found(done, name, 2) for name in ("whole", "resumed", "again"))
    assert_same_network([*whole, *resumed, *again])
    for rank in whole:
        assert "Training interrupted by user. 1 epoch are kept." in str(rank["message"])


@needs_callbacks
def test_a_callback_in_one_process_stops_all(done):
    assert [int(rank["n_iter"]) for rank in found(done, "whole", 2)] == [2, 2]


@needs_callbacks
def test_only_the_first_process_shows_and_writes(done):
    first, second = (file.read_text() for file in sorted(done.glob("functional*-2-?.out")))
    assert first.count("SNNLEmbedding: epoch") == 6  # of "resume" and of the example
    assert "SNNLEmbedding" not in second


@needs_callbacks
@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("parameters", r"learning_rate_init is 0.02 in process 0 and 0.01 in process"),
        ("features", r"number of features is 64 in process 0 and 63 in process"),
        ("dtype", r"dtype of X is float64 in process 0 and float32 in process"),
        ("weights", r"sample_weight is None in process 0 and an array in process"),
        ("labels", r"kind of labels is i in process 0 and U in process"),
        ("no samples", r"^ValueError: Found X with 0 sample\(s\) in all processes together"),
        ("one sample", r"^ValueError: Found X with 1 sample\(s\) in all processes together"),
        ("no X_val", r"^ValueError: Found X_val with 0 sample\(s\) in all processes together"),
        ("no weight", r"^ValueError: Sample weights must contain at least one non-zero number"),
        ("nan", r"^(PeerError: Process \d of \d failed: )?ValueError: Input X contains NaN"),
        ("one class", r"^ValueError: The number of classes has to be greater than one"),
        ("spread", r"spread_labels=True is for a single process"),
        ("sparse", r"A sparse X is for a single process"),
        ("partial_fit", r"partial_fit is for a single process"),
        ("random", r"mining='random' is for a single process"),
        ("batch norm", r"encoder has a batch norm, '1'"),
        ("diverged", r"the training diverged"),
    ],
)
def test_all_processes_refuse(done, name, message):
    for rank in range(2):
        errors = json.loads((done / f"errors-2-{rank}.json").read_text())
        assert re.search(message, errors[name]), errors[name]


def test_a_checkpoint_of_another_number_of_processes_is_refused(done):
    for rank in range(3):
        errors = json.loads((done / f"errors-3-{rank}.json").read_text())
        assert "the number of processes was 2, now 3" in errors["another number"]
