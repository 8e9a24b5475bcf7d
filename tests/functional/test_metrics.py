"""The table of metrics is the only place that knows their names."""

import numpy as np
import pytest
import torch

import sknca
from sknca import SNNLEmbedding, SNNLoss, SoftNeighborsClassifier, TripletEmbedding
from sknca.functional import (
    mine_triplets,
    soft_nearest_neighbor_loss,
    soft_neighbor_probabilities,
    triplet_loss,
)
from sknca.functional._metrics import METRICS, Metric, MetricName
from sknca.functional._triplet_loss import nearest_triplet_loss

#: A metric that the package does not have: the squared Euclidean distance of L2-normalized rows,
#: which is twice the cosine distance.
CHORD = Metric(constant=0, squares=1, product=2, temperature=0.2, margin=0.4, unit_length=True)


@pytest.fixture(params=["by name", "as an object"])
def chord(request, monkeypatch):
    """One more entry of the table, and nothing else."""
    monkeypatch.setitem(METRICS, "chord", CHORD)
    return "chord" if request.param == "by name" else CHORD


@pytest.fixture
def batch():
    generator = torch.Generator().manual_seed(0)
    z = torch.randn(30, 3, dtype=torch.float64, generator=generator)
    return z.requires_grad_(), torch.arange(30) % 4


def test_the_annotation_names_them_all():
    assert MetricName.__args__ == tuple(METRICS)


class TestANewMetricWorksInEveryPlace:
    def test_bounds(self):
        largest = [metric.largest for metric in (*METRICS.values(), CHORD)]
        assert largest == [torch.inf, torch.inf, 2, 4]

    @pytest.mark.parametrize("reduction", ["mean", "none"])
    @pytest.mark.parametrize("elsewhere", [False, True])
    def test_loss(self, chord, batch, reduction, elsewhere):
        z, y = batch
        among = {"neighbors": z.detach()[5:] + 0.1, "neighbor_labels": y[5:]} if elsewhere else {}
        losses = [
            soft_nearest_neighbor_loss(z, y, t, metric=metric, reduction=reduction, **among)
            for metric, t in ((chord, 0.6), ("cosine", 0.3))
        ]
        torch.testing.assert_close(*losses)
        torch.testing.assert_close(*(torch.autograd.grad(one.sum(), z) for one in losses))

    def test_loss_as_a_module(self, chord, batch):
        loss = SNNLoss(0.6, metric=chord)(*batch)
        torch.testing.assert_close(loss, SNNLoss(0.3, metric="cosine")(*batch))

    def test_probabilities(self, chord, batch):
        z, _ = batch
        expected = soft_neighbor_probabilities(z, 0.3, metric="cosine")
        torch.testing.assert_close(soft_neighbor_probabilities(z, 0.6, metric=chord), expected)

    @pytest.mark.parametrize("strategy", ["all", "semihard", "hard"])
    def test_triplets(self, chord, batch, strategy):
        z, y = batch
        given = mine_triplets(z, y, margin=0.8, strategy=strategy, metric=chord)
        expected = mine_triplets(z, y, margin=0.4, strategy=strategy, metric="cosine")
        as_sets = [set(zip(*(i.tolist() for i in one), strict=True)) for one in (given, expected)]
        assert as_sets[0] == as_sets[1]
        given = triplet_loss(z, y, margin=0.8, strategy=strategy, metric=chord)
        expected = 2 * triplet_loss(z, y, margin=0.4, strategy=strategy, metric="cosine")
        torch.testing.assert_close(given, expected)

    def test_validation_by_triplets(self, chord, batch):
        z, y = batch
        unit = torch.nn.functional.normalize(z)
        given = nearest_triplet_loss(z, y, z + 1, y, metric=chord)
        expected = nearest_triplet_loss(
            unit, y, torch.nn.functional.normalize(z + 1), y, metric="sqeuclidean"
        )
        torch.testing.assert_close(given, expected)

    def test_classifier(self, chord, iris):
        X, y = iris
        classifiers = (
            SoftNeighborsClassifier(metric=metric, temperature=t).fit(X, y)
            for metric, t in ((chord, 0.2), ("cosine", 0.1))
        )
        given, expected = (one.predict_log_proba(X) for one in classifiers)
        np.testing.assert_allclose(given, expected, rtol=1e-9, atol=1e-9)

    def test_it_brings_its_own_defaults(self, chord, iris):
        X, y = iris
        settings = {"metric": chord, "max_iter": 2, "random_state": 0}
        given = SNNLEmbedding(temperature=0.2, **settings).fit_transform(X, y)
        embedding = SNNLEmbedding(**settings)
        np.testing.assert_array_equal(embedding.fit_transform(X, y), given)
        assert embedding.temperature_ == 0.2
        given = TripletEmbedding(margin=0.4, **settings).fit_transform(X, y)
        np.testing.assert_array_equal(TripletEmbedding(**settings).fit_transform(X, y), given)
        classifiers = (
            SoftNeighborsClassifier(metric=chord, **t).fit(X, y) for t in ({}, {"temperature": 0.2})
        )
        np.testing.assert_array_equal(*(one.predict_proba(X) for one in classifiers))

    @pytest.mark.parametrize("kind", [SNNLEmbedding, TripletEmbedding])
    def test_embeddings(self, chord, iris, kind, tmp_path):
        X, y = iris
        embedding = kind(2, metric=chord, max_iter=5, random_state=0)
        codes = embedding.fit(X, y, X_val=X, y_val=y).transform(X)
        np.testing.assert_allclose(np.linalg.norm(codes, axis=1), 1, rtol=1e-5)
        assert embedding.loss_ < embedding.loss_curve_[0]
        sknca.save(embedding, tmp_path / "file")
        np.testing.assert_array_equal(sknca.load(tmp_path / "file").transform(X), codes)


@pytest.mark.parametrize(
    "function",
    [
        lambda z, y, metric: soft_nearest_neighbor_loss(z, y, metric=metric),
        lambda z, y, metric: soft_neighbor_probabilities(z, metric=metric),
        lambda z, y, metric: triplet_loss(z, y, metric=metric),
        lambda z, y, metric: mine_triplets(z, y, metric=metric),
        lambda z, y, metric: nearest_triplet_loss(z, y, z, y, metric=metric),
        lambda z, y, metric: SNNLoss(metric=metric),
    ],
)
@pytest.mark.parametrize("metric", ["manhattan", "Cosine", None])
def test_an_unknown_metric_is_refused(batch, function, metric):
    message = rf"metric must be one of \('sqeuclidean', 'euclidean', 'cosine'\), got {metric!r}\."
    with pytest.raises(ValueError, match=message):
        function(*batch, metric)


@pytest.mark.parametrize("estimator", [SNNLEmbedding, TripletEmbedding, SoftNeighborsClassifier])
def test_what_is_not_a_bilinear_form_is_refused(batch, iris, tmp_path, estimator):
    def manhattan(a, b):
        return (a - b).abs().sum(1)

    with pytest.raises(ValueError, match="must be a Metric: a bilinear form"):
        soft_nearest_neighbor_loss(*batch, metric=manhattan)
    with pytest.raises(ValueError, match=r"The 'metric' parameter .* an instance of .*Metric"):
        estimator(metric=manhattan).fit(*iris)


@pytest.mark.parametrize("wrong", [{"product": 3}, {"product": -1}, {"constant": float("nan")}])
def test_a_metric_is_never_negative(wrong):
    coefficients = {"constant": 0, "squares": 1, "product": 2, "temperature": 1, "margin": 1}
    with pytest.raises(ValueError, match="A Metric must never be negative"):
        Metric(**coefficients | wrong)


def test_an_object_that_is_not_in_the_table_is_not_saved(iris, tmp_path):
    embedding = SNNLEmbedding(2, metric=CHORD, max_iter=1, random_state=0).fit(*iris)
    with pytest.raises(ValueError, match=r"metric=Metric\(.* cannot be saved"):
        sknca.save(embedding, tmp_path / "file")
