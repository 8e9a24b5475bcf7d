"""A process that fails or ends does not leave the others waiting."""

import numpy as np
import pytest
from versions import needs_callbacks

from sknca import SNNLEmbedding
from sknca._file import check_is_whole
from sknca.distributed import part_of, together


def code_of(done, name):
    lines = (done / "codes.txt").read_text().splitlines()
    return next(int(line.split(":")[-1]) for line in lines if line.startswith(f"{name}:"))


@needs_callbacks
def test_a_process_that_dies_ends_the_others_and_is_named(done):
    assert code_of(done, "2:die:1") == -9
    assert code_of(done, "2:die:0") == 1
    assert "Process 1 of 2 has ended or does not answer" in (done / "die-2-0.out").read_text()


def test_the_checkpoint_of_a_fit_that_died_is_whole(done):
    check_is_whole((done / "dying").read_bytes())
    assert not list(done.glob("*.partial"))


@needs_callbacks
def test_started_again_the_fit_goes_on_and_ends_as_without_the_failure(done):
    for rank in range(2):
        whole, went_on = (np.load(done / f"{name}-2-{rank}.npz") for name in ("whole", "went_on"))
        for name in went_on:
            np.testing.assert_array_equal(whole[name], went_on[name])


def test_a_process_that_fails_in_a_step_is_named_with_its_error(done):
    assert code_of(done, "2:fail:0") == 1
    assert "Process 1 of 2 failed: IndexError" in (done / "fail-2-0.out").read_text()
    assert "IndexError" in (done / "fail-1.txt").read_text()


def test_a_single_process_fits_as_ever(iris):
    X, y = iris
    alone = SNNLEmbedding(max_iter=1, random_state=0).fit(X, y)
    with together():
        same = SNNLEmbedding(max_iter=1, random_state=0).fit(X[part_of(150)], y[part_of(150)])
    assert (alone.transform(X) == same.transform(X)).all()


def test_timeout_is_checked():
    with pytest.raises(ValueError, match="timeout must be positive, got -1"), together(-1):
        pass
