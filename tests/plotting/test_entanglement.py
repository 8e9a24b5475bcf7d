"""Entanglement layer by layer."""

import matplotlib.pyplot as plt
import pytest
from sklearn.decomposition import PCA

from sknca import SNNLEmbedding
from sknca.functional import Metric
from sknca.plotting import EntanglementDisplay


def legend_texts(display):
    return [text.get_text() for text in display.ax_.get_legend().get_texts()]


def test_one_network(split, embedding):
    X_train, _, y_train, _ = split
    display = EntanglementDisplay.from_estimator(embedding, X_train, y_train, temperature=0.1)
    expected = embedding.layer_entanglement(X_train, y_train, temperature=0.1)
    assert display.entanglement == expected
    assert display.line_.get_xdata().tolist() == list(expected)
    assert display.line_.get_ydata().tolist() == list(expected.values())
    assert display.line_test_ is display.ax_.get_legend() is None
    assert display.ax_.get_ylabel() == "Entanglement (T = 0.1, cosine)"
    assert display.figure_ is display.ax_.figure


def test_training_against_test_rows(split, embedding):
    X_train, X_test, y_train, y_test = split
    display = EntanglementDisplay.from_estimator(
        embedding, X_train, y_train, X_test=X_test, y_test=y_test, metric="sqeuclidean"
    )
    expected = embedding.layer_entanglement(X_test, y_test, metric="sqeuclidean")
    assert display.line_test_.get_ydata().tolist() == list(expected.values())
    assert display.line_test_.get_color() == display.line_.get_color()
    assert display.line_test_.get_linestyle() != display.line_.get_linestyle()
    assert legend_texts(display) == ["training", "test"]
    assert display.ax_.get_ylabel() == "Entanglement (sqeuclidean)"


def test_a_metric_of_the_user(split, embedding):
    X_train, _, y_train, _ = split
    chord = Metric(constant=0, squares=1, product=2, unit_length=True, temperature=0.2, margin=0.4)
    display = EntanglementDisplay.from_estimator(embedding, X_train, y_train, metric=chord)
    assert display.ax_.get_ylabel() == "Entanglement (custom metric)"
    like_cosine = embedding.layer_entanglement(X_train, y_train, metric="cosine")
    assert display.entanglement == pytest.approx(like_cosine)


def test_networks_on_the_same_axes(split, embedding):
    X_train, X_test, y_train, y_test = split
    test = {"X_test": X_test, "y_test": y_test}
    one = EntanglementDisplay.from_estimator(embedding, X_train, y_train, name="one", **test)
    two = EntanglementDisplay.from_estimator(
        embedding, X_train, y_train, name="two", ax=one.ax_, line_kw={"linewidth": 3}
    )
    assert two.ax_ is one.ax_
    assert two.line_.get_color() != one.line_.get_color()
    assert two.line_.get_linewidth() == 3
    assert legend_texts(two) == ["one, training", "one, test", "two"]


def test_style_by_short_names():
    display = EntanglementDisplay({"input": 1.0, "code": 0.5}, entanglement_test={"input": 1.0})
    display.plot(line_kw={"c": "r", "ls": ":"})
    for line in (display.line_, display.line_test_):
        assert line.get_color() == "r"
        assert line.get_linestyle() == ":"


def test_a_style_that_is_refused():
    with pytest.raises(TypeError, match="aliases"):
        EntanglementDisplay({"input": 1.0}).plot(line_kw={"c": "r", "color": "r"})
    assert not plt.get_fignums()


def test_refused(split, embedding):
    X_train, X_test, y_train, _ = split
    pca = PCA().fit(X_train)
    with pytest.raises(ValueError, match=r"with `layer_entanglement`; got PCA\(\)"):
        EntanglementDisplay.from_estimator(pca, X_train, y_train)
    with pytest.raises(ValueError, match=r"got X_test=\.\.\., y_test=None"):
        EntanglementDisplay.from_estimator(embedding, X_train, y_train, X_test=X_test)
    with pytest.raises(ValueError, match="not fitted"):
        EntanglementDisplay.from_estimator(SNNLEmbedding(), X_train, y_train)
    assert not plt.get_fignums()
