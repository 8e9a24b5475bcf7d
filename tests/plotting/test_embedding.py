"""The scatter plot of codes."""

from itertools import pairwise

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import polars as pl
import pytest
from matplotlib.colors import Normalize, same_color
from matplotlib.markers import MarkerStyle
from sklearn.decomposition import PCA
from sklearn.exceptions import NotFittedError
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sknca import SNNLEmbedding
from sknca.plotting import EmbeddingDisplay


def codes(n_components, n_classes=3, n=60):
    generator = np.random.RandomState(0)
    return generator.randn(n, n_components), np.arange(n) % n_classes


def legend_texts(display):
    return [text.get_text() for text in display.legend_.get_texts()]


class TestFromEstimator:
    def test_training_and_test_rows_are_marked_apart(self, split, embedding):
        X_train, X_test, y_train, y_test = split
        display = EmbeddingDisplay.from_estimator(
            embedding, X_train, y_train, X_test=X_test, y_test=y_test
        )
        pca = PCA(2).fit(embedding.transform(X_train))  # the test rows have no say in it
        for scatter, X in [(display.scatter_, X_train), (display.scatter_test_, X_test)]:
            drawn = np.abs(scatter.get_offsets())
            expected = np.abs(pca.transform(embedding.transform(X)))
            np.testing.assert_allclose(drawn, expected, rtol=1e-4, atol=1e-5)
        assert display.scatter_.get_alpha() < 1
        assert display.scatter_test_.get_alpha() is None
        assert legend_texts(display) == ["0", "1", "2", "training", "test"]
        assert display.figure_ is display.ax_.figure

    def test_any_transformer(self, split):
        X_train, _, y_train, _ = split
        pipeline = make_pipeline(StandardScaler(), PCA(2), KNeighborsClassifier())
        pipeline.fit(X_train, y_train)
        display = EmbeddingDisplay.from_estimator(pipeline[:-1], X_train, y_train)
        np.testing.assert_array_equal(display.points, pipeline[:-1].transform(X_train))
        with pytest.raises(ValueError, match=r"only supports transformers; got Pipeline"):
            EmbeddingDisplay.from_estimator(pipeline, X_train, y_train)

    def test_not_fitted(self, split):
        X_train, _, y_train, _ = split
        with pytest.raises(NotFittedError):
            EmbeddingDisplay.from_estimator(SNNLEmbedding(), X_train, y_train)
        assert not plt.get_fignums()


class TestFromEmbedding:
    def test_two_components_are_drawn_as_they_are(self):
        z, y = codes(2)
        display = EmbeddingDisplay.from_embedding(z, y)
        np.testing.assert_array_equal(display.scatter_.get_offsets(), z)
        assert display.scatter_test_ is None
        assert display.ax_.get_xlabel() == "Component 1"
        assert display.ax_.get_ylabel() == "Component 2"
        assert legend_texts(display) == ["0", "1", "2"]

    def test_more_components_by_pca_and_the_labels_say_so(self):
        z, y = codes(5)
        display = EmbeddingDisplay.from_embedding(z * [9, 3, 1, 1, 1], y)
        share = PCA(2).fit(z * [9, 3, 1, 1, 1]).explained_variance_ratio_
        assert display.ax_.get_xlabel() == f"PC 1 of 5 ({100 * share[0]:.0f} %)"
        assert display.ax_.get_ylabel() == f"PC 2 of 5 ({100 * share[1]:.0f} %)"

    def test_collapsed_codes(self):
        display = EmbeddingDisplay.from_embedding(np.ones((6, 3)), [0, 1] * 3)
        assert display.ax_.get_xlabel() == "PC 1 of 3 (0 %)"
        assert not display.scatter_.get_offsets().any()

    def test_one_component_in_strips(self):
        z, y = codes(1)
        names = np.array(["a", "b", "c"])[y]
        display = EmbeddingDisplay.from_embedding(z, names, codes_test=z, y_test=names)
        x, height = display.scatter_.get_offsets().T
        np.testing.assert_array_equal(x, z[:, 0])
        np.testing.assert_array_equal(np.round(height), y)
        assert [tick.get_text() for tick in display.ax_.get_yticklabels()] == ["a", "b", "c"]
        assert legend_texts(display) == ["training", "test"]

    def test_a_class_has_its_color_in_legend_and_points(self):
        z, y = codes(2)
        display = EmbeddingDisplay.from_embedding(z, y)
        display.figure_.draw_without_rendering()
        colors = display.scatter_.get_facecolors()
        for label, handle in enumerate(display.legend_.legend_handles):
            assert all(same_color(color, handle.get_color()) for color in colors[y == label])

    def test_a_class_of_test_rows_alone(self):
        z, y = codes(2)
        display = EmbeddingDisplay.from_embedding(z, y, codes_test=z[:2], y_test=[7, 1])
        assert legend_texts(display) == ["0", "1", "2", "7", "training", "test"]
        assert display.scatter_test_.get_array().tolist() == [3, 1]

    @pytest.mark.parametrize("n_classes", [10, 11, 20])
    def test_a_legend_names_up_to_twenty_classes(self, n_classes):
        z, y = codes(2, n_classes, n=120)
        display = EmbeddingDisplay.from_embedding(z, y, codes_test=z, y_test=y)
        names = [str(label) for label in range(n_classes)]
        assert legend_texts(display) == [*names, "training", "test"]
        assert display.legend_._ncols == 1 + (n_classes > 10)
        assert display.colorbar_ is None

    @pytest.mark.parametrize(
        ("n_classes", "step", "label"),
        [(21, 1, "21 classes"), (37, 1, "37 classes"), (60, 3, "60 classes, one in 3 is named")],
    )
    def test_a_color_bar_names_more_classes(self, n_classes, step, label):
        z, y = codes(2, n_classes, n=120)
        display = EmbeddingDisplay.from_embedding(z, y, codes_test=z, y_test=y)
        assert legend_texts(display) == ["training", "test"]
        assert len(np.unique(display.scatter_.to_rgba(np.arange(n_classes)), axis=0)) == n_classes
        ax = display.colorbar_.ax
        texts = ax.get_yticklabels()
        assert [int(text.get_text()) for text in texts] == list(range(0, n_classes, step))
        assert all(int(text.get_text()) == text.get_position()[1] for text in texts)
        assert ax.get_ylabel() == label
        display.figure_.draw_without_rendering()
        boxes = [text.get_window_extent() for text in texts]
        assert all(below.y1 <= above.y0 + 1 for below, above in pairwise(boxes))

    def test_points_have_the_markers_of_the_legend(self):
        z, y = codes(2, 20, n=120)
        labels = y.astype(object)
        labels[-1] = None
        display = EmbeddingDisplay.from_embedding(z, labels)
        paths = display.scatter_.get_paths()
        assert len(paths) == 120
        for i, (path, label) in enumerate(zip(paths[:-1], y, strict=False)):
            handle = display.legend_.legend_handles[label]
            style = MarkerStyle(handle.get_marker())
            expected = style.get_path().transformed(style.get_transform())
            np.testing.assert_array_equal(path.vertices, expected.vertices, err_msg=str(i))
        assert paths[-1] is paths[0]  # without a label: a dot

    def test_one_marker_for_all_of_ones_own(self):
        z, y = codes(2, 20, n=120)
        display = EmbeddingDisplay.from_embedding(z, y, scatter_kw={"marker": "D"})
        assert len(display.scatter_.get_paths()) == 1
        assert {handle.get_marker() for handle in display.legend_.legend_handles} == {"D"}

    def test_axes_and_style_of_ones_own(self):
        z, y = codes(2)
        _, ax = plt.subplots()
        display = EmbeddingDisplay.from_embedding(
            z,
            y,
            codes_test=z,
            y_test=y,
            ax=ax,
            legend=False,
            scatter_kw={"alpha": 0.1},
            scatter_test_kw={"alpha": 0.2},
        )
        assert display.ax_ is ax
        assert display.legend_ is display.colorbar_ is None
        assert display.scatter_.get_alpha() == 0.1
        assert display.scatter_test_.get_alpha() == 0.2
        assert len(plt.get_fignums()) == 1

    @pytest.mark.parametrize("name", ["linewidths", "linewidth", "lw"])
    def test_a_style_by_any_of_its_names(self, name):
        z, y = codes(2)
        display = EmbeddingDisplay.from_embedding(
            z, y, codes_test=z, y_test=y, scatter_kw={name: 2}, scatter_test_kw={"edgecolor": "r"}
        )
        assert display.scatter_.get_linewidth() == 2
        assert display.scatter_test_.get_linewidth() == 0.5
        assert same_color(display.scatter_test_.get_edgecolor(), [[1, 0, 0, 1]])
        display = display.plot(scatter_test_kw={name: 3})
        assert display.scatter_test_.get_linewidth() == 3

    @pytest.mark.parametrize("which", ["scatter_kw", "scatter_test_kw"])
    def test_a_norm_of_ones_own(self, which):
        z, y = codes(2)
        norm = Normalize(0, 9)
        display = EmbeddingDisplay.from_embedding(
            z, y, codes_test=z, y_test=y, **{which: {"norm": norm}}
        )
        assert display.scatter_test_.norm is norm
        assert (display.scatter_.norm is norm) == (which == "scatter_kw")
        assert (norm.vmin, norm.vmax) == (0, 9)

    @pytest.mark.parametrize("which", ["scatter_kw", "scatter_test_kw"])
    def test_a_style_that_is_refused(self, which):
        z, y = codes(2)
        display = EmbeddingDisplay(z, y)
        for name in ("c", "color"):
            with pytest.raises(ValueError, match=f"{name}='r' cannot be set.* Use cmap"):
                display.plot(**{which: {name: "r"}})
        with pytest.raises(TypeError, match="aliases"):
            display.plot(**{which: {"lw": 1, "linewidth": 1}})
        assert not plt.get_fignums()

    @pytest.mark.parametrize("sharey", [False, True])
    def test_distances_are_as_long_in_both_directions(self, sharey):
        z, y = codes(2)
        figure, axes = plt.subplots(1, 2, sharex=True, sharey=sharey)
        for ax in axes:
            EmbeddingDisplay.from_embedding(z * [9, 1], y, ax=ax)
        figure.draw_without_rendering()
        for ax in axes:
            origin, right, up = ax.transData.transform([[0, 0], [1, 0], [0, 1]])
            assert right[0] - origin[0] == pytest.approx(up[1] - origin[1])

    def test_data_frames(self):
        z, y = codes(2)
        display = EmbeddingDisplay.from_embedding(pd.DataFrame(z), pd.Series(y).astype(str))
        assert legend_texts(display) == ["0", "1", "2"]

    def test_plot_again(self):
        z, y = codes(4)
        display = EmbeddingDisplay.from_embedding(z, y)
        first = display.ax_
        assert display.plot() is display
        assert display.ax_ is not first

    @pytest.mark.parametrize(
        ("change", "message"),
        [
            ({"y": [0, 1]}, "inconsistent numbers of samples"),
            ({"codes": [[np.nan, 0], [1, 0]]}, "Input codes contains NaN"),
            ({"y_test": [0] * 60}, "y_test must be given together; got y_test=..."),
            ({"codes_test": [[1.0, 2.0]]}, "y_test must be given together; got y_test=None"),
            (
                {"codes_test": [[1.0]], "y_test": [0]},
                "codes_test has 1 components, but codes has 2",
            ),
            ({"y": np.linspace(0, 1, 60)}, "Unknown label type"),
            ({"codes_test": [[1.0, 2.0]], "y_test": ["a"]}, "Mix of label input types"),
        ],
    )
    def test_refused(self, change, message):
        z, y = codes(2)
        with pytest.raises(ValueError, match=message):
            EmbeddingDisplay.from_embedding(**{"codes": z, "y": y} | change)
        assert not plt.get_fignums()


@pytest.mark.parametrize("given", ["points_test", "y_test"])
def test_test_rows_without_their_labels_are_refused(given):
    z, y = codes(2)
    display = EmbeddingDisplay(z, y, **{given: z if given == "points_test" else y})
    with pytest.raises(ValueError, match=rf"must be given together; got .*{given}=\.\.\."):
        display.plot()
    assert not plt.get_fignums()


@pytest.mark.parametrize(
    "labels",
    [
        np.array(["a", "b", None, "b"], dtype=object),
        np.array([0.0, 1.0, np.nan, 1.0]),
        np.array(["a", "b", np.nan, "b"], dtype=object),
        pd.Series([0, 1, None, 1], dtype="Int64"),
    ],
    ids=["None", "NaN", "NaN among texts", "pandas.NA"],
)
@pytest.mark.parametrize("n_components", [1, 2, 3])
@pytest.mark.parametrize("cmap", [None, "viridis"])
def test_points_without_a_label_are_gray(labels, n_components, cmap):
    codes = np.random.RandomState(0).randn(4, n_components)
    kw = None if cmap is None else {"cmap": cmap}
    display = EmbeddingDisplay.from_embedding(
        codes, labels, codes_test=codes, y_test=labels, scatter_kw=kw, scatter_test_kw=kw
    )
    display.figure_.canvas.draw()
    for scatter in (display.scatter_, display.scatter_test_):
        colors = scatter.get_facecolors()[:, :3]
        np.testing.assert_allclose(colors[2], 0.8)
        np.testing.assert_array_equal(colors[1], colors[3])
        assert not np.allclose(colors[0], colors[1])
    if n_components == 1:
        assert display.ax_.get_yticklabels()[2].get_text() == "no label"
    else:
        assert "no label" in [text.get_text() for text in display.legend_.get_texts()]


def test_large_ids_are_named_exactly():
    ids = [2**60, 2**60 + 1, None, 2**60 + 1]
    for labels in (ids, pd.Series(ids, dtype="Int64"), pl.Series(ids)):
        display = EmbeddingDisplay.from_embedding(np.eye(4, 2), labels)
        assert legend_texts(display) == [str(2**60), str(2**60 + 1), "no label"]


def test_no_label_at_all():
    display = EmbeddingDisplay.from_embedding(np.eye(3, 2), np.full(3, None))
    assert [text.get_text() for text in display.legend_.get_texts()] == ["no label"]
