"""The table of schedules is the only place that knows their names."""

import math

import numpy as np
import pytest

import sknca
from sknca import SNNLEmbedding
from sknca.objectives import (
    TEMPERATURE_SCHEDULES,
    TemperatureSchedule,
    check_temperature_schedule,
)


def cosine(temperature, epoch, max_iter):
    """A schedule that the package does not have."""
    return temperature * (1.1 + math.cos(math.pi * epoch / max_iter)) / 2.1


COSINE = TemperatureSchedule(cosine)


def fit(schedule, iris, **parameters):
    settings = {"max_iter": 4, "random_state": 0, "temperature": 2.0} | parameters
    return SNNLEmbedding(2, temperature_schedule=schedule, **settings).fit(*iris)


def temperatures(embedding):
    return [record["temperature"] for record in embedding.history_]


def test_annealing_is_the_published_one():
    plan = TEMPERATURE_SCHEDULES["annealed"].plan(2.0, 10)
    assert [plan[0], plan[1], plan[9]] == pytest.approx([2.0, 2 / 2**0.55, 2 / 10**0.55])


def test_a_new_schedule_works_in_every_place(iris, tmp_path, monkeypatch):
    monkeypatch.setitem(TEMPERATURE_SCHEDULES, "cosine", COSINE)
    expected = [cosine(2.0, epoch, 4) for epoch in range(4)]
    by_name, as_object = (fit(schedule, iris) for schedule in ("cosine", COSINE))
    by_callable = fit(expected.__getitem__, iris)
    for embedding in (by_name, as_object, by_callable):
        assert temperatures(embedding) == expected
        assert embedding.temperature_ == expected[-1]
        np.testing.assert_array_equal(embedding.transform(iris[0]), by_name.transform(iris[0]))
    for embedding in (by_name, as_object):
        sknca.save(embedding, tmp_path / "file")
        assert sknca.load(tmp_path / "file").temperature_schedule == "cosine"


def test_a_learned_one_says_so(iris):
    schedule = TemperatureSchedule(lambda temperature, epoch, max_iter: 3.0, is_learned=True)
    learned = temperatures(fit(schedule, iris))
    assert learned[0] == pytest.approx(3.0, rel=0.1)
    assert len(set(learned)) == 4


def test_an_object_that_is_not_in_the_table_is_not_saved(iris, tmp_path):
    with pytest.raises(ValueError, match="temperature_schedule=.* cannot be saved"):
        sknca.save(fit(COSINE, iris), tmp_path / "file")


@pytest.mark.parametrize("schedule", ["cosine", None, 1.0])
def test_an_unknown_name_is_refused(iris, schedule):
    with pytest.raises(ValueError, match=r"temperature_schedule must be one of .* got "):
        check_temperature_schedule(schedule)
    with pytest.raises(ValueError, match=r"The 'temperature_schedule' parameter .* among"):
        fit(schedule, iris)


@pytest.mark.parametrize("bad", [0.0, -1.0, math.nan, math.inf, "1"])
def test_temperatures_are_positive(bad):
    with pytest.raises(ValueError, match="positive temperatures, got .* for epoch 0"):
        TemperatureSchedule(lambda *_: bad).plan(1.0, 2)
