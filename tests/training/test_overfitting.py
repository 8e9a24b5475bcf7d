import pytest
import torch

from sknca.training import OverfittingWatch, fraction_to_watch


def watched(losses, disagreements):
    """A watch after so many looks."""
    shown = iter(zip(losses, disagreements, strict=True))
    watch = OverfittingWatch(lambda: tuple(torch.tensor(value) for value in next(shown)), 55)
    looks = [watch.end_epoch(epoch) for epoch in range(2 * len(losses) + 3)]
    assert sum(looks) == len(losses)
    assert watch.losses == pytest.approx(list(losses))
    return watch


LEARNING = [0.7, 0.6, 0.5, 0.4, 0.35, 0.3, 0.25, 0.22]  # disagreement of the training rows
LEARNED = [0.7, 0.3, 0.12, 0.1, 0.08, 0.06, 0.04, 0.02]


@pytest.mark.parametrize(
    "losses",
    [
        [1.0, 0.8, 0.7, 0.75, 0.8, 0.9, 1.0, 1.1],
        [1.0, 0.8, 0.7, 0.71, 0.7, 0.7, 0.69, 0.7],
    ],
)
def test_a_loss_that_no_longer_falls_while_labels_are_still_learned(losses):
    assert watched(losses, LEARNING).overfits
    assert not watched(losses, LEARNED).overfits  # by confidence alone: nothing was left to learn
    assert not watched(losses[:7], LEARNING[:7]).overfits  # nothing to compare yet


def test_a_training_that_has_not_yet_found_the_classes():
    assert not watched([0.7] * 8, [0.5, 0.5, 0.49, 0.5, 0.5, 0.49, 0.48, 0.48]).overfits


def test_a_loss_that_falls():
    assert not watched([1.0, 0.9, 0.8, 0.75, 0.7, 0.65, 0.6, 0.55], LEARNING).overfits


def test_nothing_was_seen():
    assert not watched([], []).overfits
    assert not watched([], []).is_over


def test_it_is_over_when_all_is_learned_and_the_loss_has_fallen():
    assert watched([1.0, 0.5, 0.3], [0.7, 0.3, 0.05]).is_over
    assert not watched([1.0, 0.5, 0.3], [0.7, 0.3, 0.15]).is_over
    assert not watched([1.0, 2.0], [0.3, 0.05]).is_over
    falling = [1.0, 0.9, 0.8, 0.7, 0.7, 0.6]
    rising = [1.0, 0.9, 0.8, 0.7, 0.7, 0.9]
    learned_late = [0.7, 0.6, 0.5, 0.4, 0.3, 0.05]
    assert watched(falling, learned_late).is_over
    assert not watched(rising, learned_late).is_over


@pytest.mark.parametrize(("best", "epochs"), [(0, 9), (1, 9), (2, 12), (3, 15), (4, 15)])
def test_a_short_training_is_as_long_as_the_best_look_says(best, epochs):
    losses = [1.0] * 8
    losses[best] = 0.5
    assert watched(losses, LEARNING).short_training == epochs


def test_few_rows_hold_out_a_larger_part():
    assert fraction_to_watch(0.1, 5000) == 0.1
    assert fraction_to_watch(0.1, 500) == 0.2
    assert fraction_to_watch(0.1, 100) == 0.25
    assert fraction_to_watch(0.4, 100) == 0.4


@pytest.mark.parametrize("max_iter", [20, 36, 55, 200])
def test_it_looks_often_enough_in_the_first_half(max_iter):
    watch = OverfittingWatch(lambda: (torch.tensor(1.0), torch.tensor(0.5)), max_iter)
    looks = sum(watch.end_epoch(epoch) for epoch in range(max_iter // 2))
    assert 8 <= looks <= 16


@pytest.mark.parametrize("max_iter", range(7, 20))
def test_with_few_epochs_it_looks_after_each(max_iter):
    half = -(-max_iter // 2)

    def of(losses, disagreements):
        shown = iter(zip(losses, disagreements, strict=True))
        watch = OverfittingWatch(lambda: tuple(map(torch.tensor, next(shown))), max_iter)
        assert all(watch.end_epoch(epoch) for epoch in range(half))
        return watch

    steps = torch.linspace(0, 1, half)
    learning = (0.6 - 0.3 * steps).tolist()
    rising = of((0.8 + steps).tolist(), learning)
    assert rising.overfits
    assert 2 <= rising.short_training <= 6
    assert not of((0.8 - 0.5 * steps).tolist(), learning).overfits
    assert not of((0.8 + steps).tolist(), (0.1 - 0.1 * steps).tolist()).overfits


def test_too_few_epochs():
    watch = OverfittingWatch(lambda: (torch.tensor(1.0), torch.tensor(0.5)), 6)
    assert all(watch.end_epoch(epoch) for epoch in range(3))
    assert not watch.overfits


class TestOfGroups:
    @staticmethod
    def watched(losses, disagreements):
        shown = iter(zip(losses, disagreements, strict=True))
        watch = OverfittingWatch(lambda: tuple(map(torch.tensor, next(shown))), 55, of_groups=True)
        assert all(watch.end_epoch(epoch) for epoch in range(len(losses)))
        return watch

    def test_what_is_memorized_in_the_first_epochs(self):
        memorized = [0.5, 0.4, 0.2, 0.05, 0.01, 0.0, 0.0, 0.0]
        watch = self.watched([0.69, 0.68, 0.65, 0.61, 0.58, 0.6, 0.6, 0.6], memorized)
        assert not watch.is_over
        assert watch.overfits
        watch = self.watched([0.65, 0.66, 0.66, 0.68, 0.7, 0.7, 0.7, 0.7], memorized)
        assert watch.short_training == 2

    def test_what_other_groups_share(self):
        watch = self.watched([0.5, 0.4, 0.24], [0.5, 0.3, 0.09])
        assert watch.is_over
        falling = [0.8 - 0.05 * i for i in range(8)]
        assert not self.watched(falling, LEARNING).overfits
        assert not self.watched([0.1] * 8, [0.15, *[0.01] * 7]).overfits

    def test_as_many_groups_are_held_out(self):
        assert fraction_to_watch(0.1, 5000, 40) == 0.25
        assert fraction_to_watch(0.1, 5000, 500) == 0.2
        assert fraction_to_watch(0.1, 5000, 5000) == 0.1
        assert fraction_to_watch(0.1, 100_000, 40) == 0.1
