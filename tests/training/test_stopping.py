import pytest

from sknca.training import Stopping


def stopped_after(losses, tol, patience):
    stopping = Stopping(tol, patience)
    for count, loss in enumerate(losses, 1):
        stopping.update(loss)
        if stopping.should_stop:
            return count
    return None


@pytest.mark.parametrize(
    ("losses", "tol", "patience", "expected"),
    [
        ([1, 1, 1, 1], None, 2, None),
        ([1, 1, 1, 1], 0.0, 2, 3),
        ([4, 3, 2, 1], 0.0, 1, None),
        ([4, 3.95, 3.9, 3.85], 0.1, 2, 3),  # improves, but by less than tol
        ([4, 3.95, 3.8, 3.79, 3.78], 0.1, 2, 5),  # two small steps add up to one
    ],
)
def test_waits_for_an_improvement_by_tol(losses, tol, patience, expected):
    assert stopped_after(losses, tol, patience) == expected


def test_says_which_is_best():
    stopping = Stopping(1.0, 5)
    assert [stopping.update(loss) for loss in (3, 2.9, 3, 2.8)] == [True, True, False, True]
    assert stopping.best_loss == 2.8
