"""The losses over the epochs."""

import matplotlib.pyplot as plt
import numpy as np
import pytest
from sklearn.exceptions import NotFittedError
from sklearn.pipeline import make_pipeline

from sknca import SNNLEmbedding, TripletEmbedding
from sknca.plotting import LossCurveDisplay


def fitted(split, **parameters):
    X_train, _, y_train, _ = split
    return SNNLEmbedding(max_iter=3, random_state=0, **parameters).fit(X_train, y_train)


def legend_texts(display):
    return [text.get_text() for text in display.ax_.get_legend().get_texts()]


def test_the_best_epoch_is_marked(embedding):
    display = LossCurveDisplay.from_estimator(embedding)
    curves = [embedding.loss_curve_, embedding.validation_loss_curve_]
    for line, curve in zip(display.lines_, curves, strict=True):
        np.testing.assert_array_equal(line.get_ydata(), curve)
    assert display.best_epoch_ == np.argmin(embedding.validation_loss_curve_)
    assert display.best_line_.get_xdata() == [display.best_epoch_]
    assert legend_texts(display)[2] == f"best epoch ({display.best_epoch_})"
    assert display.temperature_ax_ is None  # for it is constant
    assert display.figure_ is display.ax_.figure


def test_parts_of_the_loss(split):
    embedding = fitted(split, primary_loss="reconstruction")
    display = LossCurveDisplay.from_estimator(embedding)
    assert legend_texts(display) == ["training loss", "reconstruction", "snnl", "q"]
    np.testing.assert_allclose(sum(display.parts.values()), embedding.loss_curve_, rtol=1e-5)
    assert display.best_epoch_ is display.best_line_ is display.validation_loss is None


def test_a_single_part_is_the_loss(split):
    embedding = fitted(split, primary_loss="reconstruction", snnl_weight=0, q=0)
    assert legend_texts(LossCurveDisplay.from_estimator(embedding)) == ["training loss"]


def test_temperature_where_it_changes(split):
    embedding = fitted(split, temperature_schedule="annealed", q=0)
    display = LossCurveDisplay.from_estimator(embedding)
    assert display.temperature_ax_ is not display.ax_
    assert display.temperature_ax_.get_ylabel() == "Temperature"
    (line,) = display.temperature_lines_
    assert line.get_ydata().tolist() == [record["temperature"] for record in embedding.history_]
    assert legend_texts(display) == ["training loss", "temperature"]


def test_q_where_it_changes(split):
    embedding = fitted(split, q=0.5)
    display = LossCurveDisplay.from_estimator(embedding)
    assert display.q_line_.get_ydata().tolist() == [record["q"] for record in embedding.history_]
    assert display.q_line_.axes is not display.ax_
    assert display.q_line_.axes.get_ylabel() == "q"
    assert display.temperature_ax_ is None
    assert legend_texts(display) == ["training loss", "q"]
    assert LossCurveDisplay.from_estimator(fitted(split, q=0)).q_line_ is None


def test_q_and_temperature_share_an_axis(split):
    embedding = fitted(split, q=0.5, temperature_schedule="annealed")
    display = LossCurveDisplay.from_estimator(embedding)
    assert display.q_line_.axes is display.temperature_ax_
    assert display.temperature_ax_.get_ylabel() == "Temperature, q"


def test_records_of_an_earlier_version_have_no_q(split):
    embedding = fitted(split, q=0.5)
    del embedding.history_[0]["q"]
    assert LossCurveDisplay.from_estimator(embedding).q is None


def test_a_stream_after_a_fit_with_validation(split):
    X_train, X_test, y_train, y_test = split
    embedding = SNNLEmbedding(max_iter=2).fit(X_train, y_train, X_val=X_test, y_val=y_test)
    display = LossCurveDisplay.from_estimator(embedding.partial_fit(X_train, y_train))
    assert len(display.loss) == 3
    assert display.validation_loss is None


def test_the_background_stays_behind_the_temperature(split):
    embedding = fitted(split, temperature_schedule="annealed")
    _, ax = plt.subplots()
    ax.set_facecolor("yellow")
    first = LossCurveDisplay.from_estimator(embedding, ax=ax).temperature_ax_
    assert first.get_zorder() < ax.get_zorder()
    assert not ax.patch.get_visible()
    assert first.patch.get_visible()
    assert first.get_facecolor() == ax.get_facecolor()
    second = LossCurveDisplay.from_estimator(embedding, ax=ax).temperature_ax_
    assert first.patch.get_visible()
    assert not second.patch.get_visible()  # it would cover the first


def test_temperatures_of_layers(split):
    embedding = fitted(split, temperature_schedule="learned", layers="all", q=0)
    display = LossCurveDisplay.from_estimator(embedding)
    assert display.temperature.shape == (3, 3)
    assert len(display.temperature_lines_) == 3
    assert legend_texts(display) == ["training loss", "temperatures of 3 layers"]


@pytest.mark.parametrize("snnl_weight", [0, 1])
@pytest.mark.parametrize("primary_loss", ["reconstruction", "classification"])
def test_the_parts_are_those_of_the_objective(split, primary_loss, snnl_weight):
    embedding = fitted(split, primary_loss=primary_loss, snnl_weight=snnl_weight)
    parts = LossCurveDisplay.from_estimator(embedding).parts
    assert parts is None if snnl_weight == 0 else [*parts] == [primary_loss, "snnl"]


@pytest.mark.parametrize("primary_loss", [None, "reconstruction"])
def test_what_else_a_record_says_is_no_part_of_the_loss(split, primary_loss):
    embedding = fitted(split, primary_loss=primary_loss)
    before = LossCurveDisplay.from_estimator(embedding).parts
    for record in embedding.history_:
        record["seconds"] = 0.5
        record["learning_rate"] = 1e-3
    parts = LossCurveDisplay.from_estimator(embedding).parts
    assert (parts or {}).keys() == (before or {}).keys()


def test_triplets(split):
    X_train, _, y_train, _ = split
    triplets = TripletEmbedding(max_iter=2, random_state=0).fit(X_train, y_train)
    display = LossCurveDisplay.from_estimator(triplets)
    np.testing.assert_array_equal(display.loss, triplets.loss_curve_)


def test_axes_and_style_of_ones_own(embedding):
    _, ax = plt.subplots()
    display = LossCurveDisplay.from_estimator(embedding, ax=ax, line_kw={"linewidth": 3})
    assert display.ax_ is ax
    assert all(line.get_linewidth() == 3 for line in display.lines_)
    assert display.plot() is display
    assert display.ax_ is not ax


def test_style_by_short_names(split):
    display = LossCurveDisplay.from_estimator(
        fitted(split, primary_loss="reconstruction"), line_kw={"ls": ":"}
    )
    assert all(line.get_linestyle() == ":" for line in display.lines_)


def test_a_style_that_is_refused(embedding):
    with pytest.raises(TypeError, match="aliases"):
        LossCurveDisplay.from_estimator(embedding, line_kw={"lw": 1, "linewidth": 1})
    assert not plt.get_fignums()


def test_refused(split, embedding):
    X_train, _, y_train, _ = split
    with pytest.raises(NotFittedError):
        LossCurveDisplay.from_estimator(SNNLEmbedding())
    pipeline = make_pipeline(SNNLEmbedding(max_iter=1)).fit(X_train, y_train)
    with pytest.raises(ValueError, match=r"epochs in `history_`; got Pipeline"):
        LossCurveDisplay.from_estimator(pipeline)
    assert not plt.get_fignums()
