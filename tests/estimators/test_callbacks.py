"""scikit-learn's callbacks, and the progress bar behind `verbose`."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
import tqdm.auto
from sklearn.model_selection import GridSearchCV
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sknca import SNNLEmbedding, SoftNeighborsClassifier, TripletEmbedding

from .recorder import Recorder

callback = pytest.importorskip("sklearn.callback", reason="callbacks need scikit-learn 1.9")
ProgressBar, ScoringMonitor = callback.ProgressBar, callback.ScoringMonitor
EMBEDDINGS = [SNNLEmbedding, TripletEmbedding]


class Keeper(Recorder):
    """Keeps what it is shown after each epoch."""

    def __init__(self):
        super().__init__()
        self.shown = []

    def on_fit_task_end(self, estimator, context, *, X, y, metadata, fitted_estimator):
        if context.task_name == "epoch":
            self.shown.append((X, y, metadata, fitted_estimator))


def knn_score(embedding, X, y):
    codes = embedding.transform(X)
    return KNeighborsClassifier().fit(codes, y).score(codes, y)


@pytest.mark.parametrize("embedding", EMBEDDINGS)
class TestCallbacks:
    def test_are_told_of_the_fit_and_of_each_epoch(self, embedding, iris):
        recorder = Recorder()
        embedding(max_iter=2).set_callbacks(recorder).fit(*iris)
        epochs = [f"{what} epoch {epoch}" for epoch in (0, 1) for what in ("begin", "end")]
        assert recorder.told == ["setup", "begin fit 0", *epochs, "end fit 0", "teardown"]

    def test_stop_the_training(self, embedding, iris):
        recorder = Recorder(stop_after=1)
        # No ConvergenceWarning: the fit did not run out of epochs.
        fitted = embedding(max_iter=5, tol=0.0).set_callbacks(recorder).fit(*iris)
        assert fitted.n_iter_ == len(fitted.loss_curve_) == 2
        assert recorder.told[-3:] == ["end epoch 1", "end fit 0", "teardown"]

    def test_an_error_leaves_the_estimator_as_it_was(self, embedding, iris):
        recorder = Recorder(fail_after=0)
        estimator = embedding(max_iter=2).set_callbacks(recorder)
        before = estimator.__dict__.copy()
        with pytest.raises(RuntimeError, match="a callback failed"):
            estimator.fit(*iris)
        assert estimator.__dict__ == before
        assert recorder.told[-1] == "teardown"

    def test_an_interruption_after_the_last_epoch_is_nothing_else(self, embedding, iris):
        recorder = Recorder(fail_after=1, error=KeyboardInterrupt)
        estimator = embedding(max_iter=2, tol=0.0).set_callbacks(recorder)
        with pytest.raises(KeyboardInterrupt, match="2 epochs are kept"):  # no ConvergenceWarning
            estimator.fit(*iris)
        assert estimator.n_iter_ == 2

    def test_nothing_stays_behind(self, embedding, iris):
        plain = embedding(max_iter=2, random_state=0).fit(*iris)
        watched = embedding(max_iter=2, random_state=0).set_callbacks(Keeper()).fit(*iris)
        assert set(watched.__dict__) == {*plain.__dict__, "_skl_callbacks"}
        assert set(watched.set_callbacks().__dict__) == set(plain.__dict__)
        np.testing.assert_array_equal(watched.transform(iris[0]), plain.transform(iris[0]))

    def test_see_an_estimator_as_if_it_had_stopped_there(self, embedding, iris):
        X, y = iris
        keeper = Keeper()
        weight = np.linspace(1, 2, 150)
        embedding = embedding(max_iter=3, random_state=0).set_callbacks(keeper)
        embedding.fit(X, y, sample_weight=weight)
        for epoch, (seen_X, seen_y, metadata, fitted) in enumerate(keeper.shown):
            assert seen_X is X
            assert seen_y is y
            assert metadata == {"sample_weight": weight}
            assert fitted.n_iter_ == epoch + 1
            assert fitted.loss_curve_ == embedding.loss_curve_[: epoch + 1]
        codes = [fitted.transform(X) for *_, fitted in keeper.shown]
        assert not np.array_equal(codes[0], codes[1])
        np.testing.assert_array_equal(codes[-1], embedding.transform(X))

    def test_score_the_validation_samples(self, embedding, iris):
        X, y = iris
        keeper = Keeper()
        embedding(max_iter=2).set_callbacks(keeper).fit(
            X[::2], y[::2], sample_weight=np.linspace(1, 2, 75), X_val=X[1::3], y_val=y[1::3]
        )
        assert len(keeper.shown) == 2
        for seen_X, seen_y, metadata, _ in keeper.shown:
            np.testing.assert_array_equal(seen_X, X[1::3])
            np.testing.assert_array_equal(seen_y, y[1::3])
            assert metadata is None  # the weights are those of the training samples


class Busy(Recorder):
    """Draws random numbers, and waits for a training in another thread."""

    def on_fit_task_end(self, estimator, context, *, X, y):
        torch.rand(1)
        if context.task_name == "epoch":
            with ThreadPoolExecutor(1) as pool:
                pool.submit(SNNLEmbedding(max_iter=1).fit, X, y).result(timeout=60)


def test_what_a_callback_does_changes_nothing(iris):
    expected = SNNLEmbedding(max_iter=3, random_state=0).fit_transform(*iris)
    busy = SNNLEmbedding(max_iter=3, random_state=0).set_callbacks(Busy())
    np.testing.assert_array_equal(busy.fit_transform(*iris), expected)


class FailsAtTheEnd(Recorder):
    def on_fit_task_end(self, estimator, context):
        raise RuntimeError("a callback failed")


def test_an_error_leaves_the_classifier_as_it_was(iris):
    X, y = iris
    classifier = SoftNeighborsClassifier().fit(X, y).set_callbacks(FailsAtTheEnd())
    before = classifier.__dict__.copy()
    with pytest.raises(RuntimeError, match="a callback failed"):
        classifier.fit(X[:60], y[:60] + 5)
    assert classifier.__dict__ == before


def test_they_see_all_that_is_fitted(iris):
    X, y = iris
    keeper = Keeper()
    embedding = SNNLEmbedding(
        primary_loss="reconstruction", temperature_schedule="annealed", max_iter=2, random_state=0
    )
    embedding.set_callbacks(keeper).fit(X, y, X_val=X, y_val=y)
    fitted = keeper.shown[0][-1]
    assert {*vars(fitted)} >= {name for name in vars(embedding) if name.endswith("_")}
    assert fitted.temperature_ == embedding.history_[0]["temperature"]
    assert fitted.validation_loss_curve_ == embedding.validation_loss_curve_[:1]
    assert fitted.inverse_transform(fitted.transform(X)).shape == X.shape
    assert fitted.decoder_ is fitted._objective.primary.decoder


def test_scoring_monitor(iris):
    monitor = ScoringMonitor(scoring={"knn": knn_score})
    embedding = SNNLEmbedding(max_iter=3, random_state=0).set_callbacks(monitor).fit(*iris)
    scores = monitor.get_logs().data_as_pandas
    assert scores["task_name"].tolist() == ["fit", "epoch", "epoch", "epoch"]
    assert scores["knn"].iloc[0] == scores["knn"].iloc[-1] == knn_score(embedding, *iris)


def test_scoring_monitor_of_classes_that_are_not_trained_on(iris):
    X, y = iris
    seen = []

    def score(embedding, X, y):
        seen.append(np.unique(y).tolist())
        return knn_score(embedding, X, y)

    monitor = ScoringMonitor(scoring={"knn": score})
    embedding = SNNLEmbedding(max_iter=3, random_state=0).set_callbacks(monitor)
    embedding.fit(X[y < 2], y[y < 2], X_val=X[y > 0][30:], y_val=y[y > 0][30:] + 1)
    assert seen == [[2, 3]] * 4
    scores = monitor.get_logs().data_as_pandas
    best = int(np.argmin(embedding.validation_loss_curve_))
    assert scores["knn"].iloc[0] == scores["knn"].iloc[1 + best]  # the weights that are kept


class TestProgressBarOfSklearn:
    def test_in_a_pipeline(self, iris, capsys):
        pipeline = make_pipeline(
            StandardScaler(), SNNLEmbedding(max_iter=2), SoftNeighborsClassifier()
        )
        pipeline.set_callbacks(ProgressBar()).fit(*iris)  # all steps take it: no warning
        shown = capsys.readouterr().out
        assert "SNNLEmbedding - fit" in shown
        assert "SoftNeighborsClassifier - fit" in shown

    @pytest.mark.parametrize("n_jobs", [None, 2])
    def test_in_a_grid_search(self, iris, n_jobs, capsys):
        search = GridSearchCV(
            make_pipeline(TripletEmbedding(max_iter=2, device="cpu"), SoftNeighborsClassifier()),
            {"tripletembedding__margin": [0.5, 1.0]},
            cv=2,
            n_jobs=n_jobs,
        )
        search.set_callbacks(ProgressBar(max_propagation_depth=None)).fit(*iris)
        assert capsys.readouterr().out.count("TripletEmbedding - fit") >= 5  # the last, the refit


class TestVerbose:
    def test_shows_what_an_epoch_came_to(self, iris, capsys):
        X, y = iris
        embedding = SNNLEmbedding(max_iter=2, temperature=0.5, verbose=1, random_state=0)
        embedding.fit(X, y, X_val=X, y_val=y)
        shown = last_line(capsys)
        record = embedding.history_[-1]
        assert shown.startswith("SNNLEmbedding: |")
        loss, validation_loss = f"{record['loss']:.3g}", f"{record['validation_loss']:.3g}"
        assert "| 2/2 [" in shown
        assert f", loss={loss}, val={validation_loss}, T=0.5, rows/s=" in shown
        bar = shown[shown.index("|") : shown.rindex("|") + 1]
        assert len(shown) - len(bar) < 80  # the bar is what shrinks in a narrow terminal

    def test_one_temperature_for_each_layer(self, iris, capsys):
        embedding = SNNLEmbedding(layers="all", temperature_schedule="learned", max_iter=1)
        embedding.set_params(verbose=1).fit(*iris)
        temperatures = "/".join(f"{value:.3g}" for value in embedding.temperature_)
        assert f", T={temperatures}," in last_line(capsys)

    def test_an_early_stop_is_no_failure(self, iris, capsys):
        embedding = TripletEmbedding(max_iter=9, tol=1e6, n_iter_no_change=1, verbose=1)
        assert embedding.fit(*iris).n_iter_ == 2
        assert "| 2/2 [" in last_line(capsys)

    def test_where_tqdm_is_switched_off(self, iris, monkeypatch):
        class Off(tqdm.auto.tqdm):
            def __init__(self, **settings):
                super().__init__(**settings, disable=True)

        monkeypatch.setattr(tqdm.auto, "tqdm", Off)
        assert SNNLEmbedding(max_iter=2, verbose=1).fit(*iris).n_iter_ == 2

    @pytest.mark.parametrize("verbose", [1, 2])
    def test_a_program_without_a_console(self, verbose, iris, monkeypatch):
        monkeypatch.setattr("sys.stderr", None)
        monkeypatch.setattr("sys.stdout", None)
        assert SNNLEmbedding(max_iter=2, verbose=verbose).fit(*iris).n_iter_ == 2

    def test_it_moves_within_an_epoch(self, iris, monkeypatch):
        shown = []

        class Watched(tqdm.auto.tqdm):
            def update(self, n=1):
                super().update(n)
                shown.append(self.n)

        monkeypatch.setattr(tqdm.auto, "tqdm", Watched)
        SNNLEmbedding(max_iter=2, batch_size=50, verbose=1).fit(*iris)
        assert shown == pytest.approx([1 / 3, 2 / 3, 1, 1, 4 / 3, 5 / 3, 2, 2])

    def test_a_line_for_each_epoch(self, iris, capsys):
        embedding = SNNLEmbedding(max_iter=3, early_stopping=False, verbose=2).fit(*iris)
        out, err = capsys.readouterr()
        assert err == ""
        lines = out.splitlines()
        assert len(lines) == 3
        for i, (line, record) in enumerate(zip(lines, embedding.history_, strict=True)):
            assert line.startswith(
                f"SNNLEmbedding: epoch {i + 1}/3, 00:00 elapsed, 00:00 left, loss="
            )
            assert f"loss={record['loss']:.3g}, T=1, rows/s=" in line

    def test_a_resumed_fit_tells_of_its_own_time(self, iris, tmp_path, capsys):
        path = tmp_path / "fit.ckpt"
        settings = {"max_iter": 4, "early_stopping": False, "random_state": 0}
        with pytest.raises(RuntimeError):
            SNNLEmbedding(**settings).set_callbacks(Recorder(fail_after=1)).fit(
                *iris, checkpoint=path
            )
        SNNLEmbedding(**settings, verbose=2).fit(*iris, checkpoint=path)
        lines = capsys.readouterr().out.splitlines()
        assert [line.split(",")[0] for line in lines] == [
            f"SNNLEmbedding: epoch {i}/4" for i in (3, 4)
        ]

    def test_says_nothing_unasked(self, iris, capsys):
        SNNLEmbedding(max_iter=1).fit(*iris)
        assert capsys.readouterr() == ("", "")


def last_line(capsys):
    """What the bar wrote over all before."""
    out, err = capsys.readouterr()
    assert out == ""
    return err.strip().split("\r")[-1]
