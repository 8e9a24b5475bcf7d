"""A user's script with every public name, for the type checkers; a test runs it too."""

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

import sknca
from sknca import SNNLEmbedding, SNNLoss, SoftNeighborsClassifier, TripletEmbedding
from sknca import functional as F  # noqa: N812
from sknca.metrics import (
    clustering_accuracy,
    entanglement_score,
    make_embedding_scorer,
    mean_average_precision_at_r,
    mean_average_precision_at_r_score,
    recall_at_k,
    recall_at_k_score,
)
from sknca.plotting import EmbeddingDisplay, EntanglementDisplay, LossCurveDisplay


def encoder(n_features: int, n_components: int) -> nn.Module:
    return nn.Sequential(nn.Linear(n_features, 8), nn.ReLU(), nn.Linear(8, n_components))


def estimators(X: NDArray[np.float64], y: NDArray[np.int64]) -> NDArray[Any]:
    embedding = SNNLEmbedding(
        2,
        encoder=encoder,
        metric="cosine",
        temperature=0.1,
        temperature_schedule=lambda epoch: 1.0 / (1 + epoch),
        layers=[0, "code"],
        primary_loss="reconstruction",
        decoder=encoder,
        batch_size="auto",
        max_iter=2,
        device=torch.device("cpu"),
        random_state=np.random.RandomState(0),
    )
    fitted: SNNLEmbedding = embedding.fit(X, y, np.ones(len(X)), X_val=X, y_val=y.tolist())
    codes: NDArray[Any] = fitted.transform(X)
    entanglement: dict[str, float] = fitted.layer_entanglement(X, y, temperature=0.5)
    network: nn.Module = fitted.network_
    curve: list[float] = fitted.loss_curve_
    validation_curve: list[float] | None = fitted.validation_loss_curve_
    print(network, entanglement["code"], curve[-1], validation_curve, fitted.n_iter_)
    print(fitted.classes_, fitted.device_, fitted.history_[-1]["loss"], fitted.temperature_)
    print(fitted.inverse_transform(codes), fitted.loss_, fitted.best_loss_)

    triplets = TripletEmbedding(margin="soft", mining="hard", dropout=0.0, max_iter=2)
    print(triplets.fit(X, y).transform(X).shape)

    classifier: SoftNeighborsClassifier = SoftNeighborsClassifier(temperature=0.5).fit(codes, y)
    probabilities: NDArray[Any] = classifier.predict_proba(codes)
    print(classifier.predict_log_proba(codes), classifier.classes_)
    print(probabilities)
    return classifier.predict(codes)


def scores(X: NDArray[np.float64], y: NDArray[np.int64], clusters: NDArray[Any]) -> float:
    accuracy: float = clustering_accuracy(y, clusters)
    scorer = make_embedding_scorer(recall_at_k_score, k=2)
    embedding = SNNLEmbedding(max_iter=1).fit(X, y)
    found = recall_at_k(X, y, k=2, X_gallery=X, labels_gallery=y) + scorer(embedding, X, y)
    found += mean_average_precision_at_r(X, y) + mean_average_precision_at_r_score(X, y)
    return accuracy + found + entanglement_score(X, y, temperature=0.5, metric="sqeuclidean")


def own_loop(x: Tensor, y: Tensor) -> SNNLoss:
    network = encoder(x.shape[1], 2)
    loss = SNNLoss(0.5, metric="cosine", learn_temperature=True)
    optimizer = torch.optim.Adam([*network.parameters(), *loss.parameters()])
    loss(network(x), y, torch.ones(len(x))).backward()
    optimizer.step()
    temperature: float | Tensor = loss.temperature
    print(temperature)
    loss.temperature = 0.25
    return loss


def functions(z: Tensor, y: Tensor) -> list[Tensor]:
    anchors, positives, negatives = (z[i] for i in F.mine_triplets(z, y, strategy="hard"))
    return [
        F.soft_nearest_neighbor_loss(z, y, torch.tensor(0.5), reduction="sum"),
        F.soft_neighbor_probabilities(z, 0.5, y),
        F.squared_distances(z, z),
        F.cosine_distances(z, z),
        F.squared_l2_distance(anchors, positives),
        F.anchor_positive_distances(anchors, positives),
        F.anchor_negative_distances(anchors, negatives),
        F.triplet_loss(z, y, margin="soft", strategy="all"),
        F.triplet_margins(anchors, positives, negatives),
        F.mine_negatives(anchors, positives, negatives),
    ]


class Standardized(sknca.Encoder, nn.Module):
    """A linear map of standardized features."""

    starts_from_data = True

    def __init__(self, n_features: int, n_components: int) -> None:
        super().__init__()
        self.linear = nn.Linear(n_features, n_components)
        self.unit: Tensor
        self.register_buffer("unit", torch.ones(n_features))

    @property
    def spread(self) -> Tensor:
        return self.unit

    def start_from(self, x: Any, spread: Tensor) -> None:
        self.unit.copy_(spread)

    def forward(self, x: Tensor) -> Tensor:
        codes: Tensor = self.linear(x / self.unit)
        return codes


class Norm(sknca.PrimaryLoss):
    """The squared norm of each code."""

    name = "norm"
    needs_labels = False

    @classmethod
    def build(cls, task: Any) -> "Norm":
        return cls()

    def of_rows(self, code: Tensor, x: Any, y: Tensor) -> Tensor:
        return code.square().sum(1)


def first_of_each(
    d_ap: Tensor, is_positive: Tensor, d_an: Tensor, margin: float, generator: Any
) -> tuple[Tensor, Tensor, Tensor]:
    anchor = (is_positive.any(1) & (d_an < torch.inf).any(1)).nonzero()[:, 0]
    return anchor, is_positive.float().argmax(1)[anchor], d_an.argmin(1)[anchor]


def own_parts(X: NDArray[np.float64], y: NDArray[np.int64]) -> None:
    chord = F.Metric(
        constant=0, squares=1, product=2, unit_length=True, temperature=0.2, margin=0.4
    )
    embedding = SNNLEmbedding(
        metric=chord,
        primary_loss=Norm,
        encoder=Standardized,
        temperature_schedule=sknca.TemperatureSchedule(lambda t, epoch, n_epochs: t / (1 + epoch)),
        max_iter=2,
    ).fit(X, y)
    mining = F.Strategy(first_of_each)
    triplets = TripletEmbedding(metric=chord, mining=mining, max_iter=2).fit(X, y)
    print(embedding.history_[-1]["norm"], triplets.loss_)


def files(X: NDArray[np.float64], y: NDArray[np.int64]) -> SNNLEmbedding:
    embedding = SNNLEmbedding(2, max_iter=2).fit(X, y)
    with TemporaryDirectory() as folder:
        sknca.save(embedding, Path(folder) / "embedding.safetensors")
        sknca.export_onnx(embedding, Path(folder) / "embedding.onnx", input_dtype="float64")
        again: SNNLEmbedding = sknca.load(Path(folder) / "embedding.safetensors", device="cpu")
    return again


def pictures(X: NDArray[np.float64], y: NDArray[np.int64], embedding: SNNLEmbedding) -> None:
    display: EmbeddingDisplay = EmbeddingDisplay.from_estimator(embedding, X, y)
    print(display.ax_, EmbeddingDisplay.from_embedding(X, y).plot().figure_)
    print(LossCurveDisplay.from_estimator(embedding).ax_)
    print(EntanglementDisplay.from_estimator(embedding, X, y).ax_)


def main() -> None:
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(60, 4)), np.arange(60) % 3
    z, labels = torch.tensor(X), torch.tensor(y)
    print(sknca.__version__, scores(X, y, estimators(X, y)))
    own_parts(X, y)
    pictures(X, y, files(X, y))
    print(own_loop(z.float(), labels), len(functions(z, labels)))


if __name__ == "__main__":
    main()
