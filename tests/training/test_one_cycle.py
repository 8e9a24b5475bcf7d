import pytest

from sknca.training import epochs_for, one_cycle


def test_rises_then_falls():
    values = [one_cycle(i / 100) for i in range(101)]
    assert values[0] == pytest.approx(0.04)
    assert max(values) == values[20] == pytest.approx(1)
    assert values[:21] == sorted(values[:21])
    assert values[20:] == sorted(values[20:], reverse=True)
    assert values[100] == pytest.approx(0)


def test_epochs_fall_with_the_square_root_of_the_batches():
    assert epochs_for(80 * 256, 256, 55) == epochs_for(10, 10, 55) == 55
    assert epochs_for(80 * 256 + 1, 256, 55) == 55
    assert epochs_for(4 * 80 * 256, 256, 54) == 27
    assert epochs_for(4 * 80 * 1024, 1024, 54) == 27
    assert epochs_for(10**12, 256, 55) == 3
