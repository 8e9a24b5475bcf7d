import pytest

from sknca.training import one_cycle


def test_rises_then_falls():
    values = [one_cycle(i / 100) for i in range(101)]
    assert values[0] == pytest.approx(0.04)
    assert max(values) == values[20] == pytest.approx(1)
    assert values[:21] == sorted(values[:21])
    assert values[20:] == sorted(values[20:], reverse=True)
    assert values[100] == pytest.approx(0)
