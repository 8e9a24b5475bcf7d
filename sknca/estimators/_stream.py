"""How an embedding learns from portions of samples: `partial_fit`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray

from .._devices import resolve_device
from .._threads import threads_for
from ..data import TrainingData
from ..distributed import processes_of_fit
from ..networks import answers_of
from ..objectives import EmbeddingObjective
from ..tables import (
    ROWS_TO_START_FROM,
    Table,
    encode_portion,
    read_labels,
    read_table,
    relative_weight,
    without_unlabeled,
)
from ..training import DivergenceError, EpochRecord, TrainingState, isolated, train
from ._build import Earlier, PreparedData, build
from ._data import draw_seed
from ._encoders import starts_from_data
from ._fit import (
    CheckedData,
    data_on_device,
    keep_classes,
    mask_of,
    start_of_features,
    stays_sparse,
)
from ._settings import (
    advice,
    check_codes,
    make_state,
    make_step,
    product_of_a_step,
    size_of_batches,
)

if TYPE_CHECKING:
    from ._base import BaseEmbedding

#: In so many first steps the learning rate rises, and nothing is perturbed.
_WARM_UP_STEPS = 100

#: The learning rate after them, as a part of the highest of a `fit`.
_RATE = 0.3

#: So many numbers at most are kept of the rows of a stream.
_MOST_KEPT = 2**22


@dataclass(frozen=True)
class KeptRows:
    """A random sample of all rows so far, by which the center and the spread are refined."""

    rows: Table  # (n_kept, n_features)
    n_seen: int

    def with_more(self, table: Table, seed: int) -> KeptRows:
        """Also of further rows; each row so far has the same chance to be among the kept."""
        room = ROWS_TO_START_FROM
        if not self.rows.is_sparse:
            room = min(room, max(_MOST_KEPT // table.shape[1], 1))
        n_before, n_more = len(self.rows), len(table)
        chosen = np.arange(min(max(room, n_before), n_before + n_more))  # of all those before, more
        n_rest = n_before + n_more - len(chosen)
        n_seen = self.n_seen + n_more
        places = np.random.default_rng([seed, n_seen]).integers(
            np.arange(n_seen - n_rest, n_seen) + 1
        )
        taken = places < len(chosen)
        chosen[places[taken]] = len(chosen) + np.flatnonzero(taken)  # of several, the last
        return KeptRows(self.rows.joined(table, chosen), n_seen)


@dataclass(frozen=True)
class Stream:
    """What is kept from one portion to the next, beside the objective."""

    seed: int
    n_steps: int
    training: dict[str, Any]  # of `TrainingState.state_dict` all but the objective
    kept: KeptRows | None  # None if the encoder starts from no data, or `fit` has started it


class WarmUp:
    """The learning rate of each step of a stream: it rises, and stays."""

    def __init__(self, rate: float, n_steps: int) -> None:
        self.rate = rate
        self.n_steps = n_steps  # so far

    def __call__(self, progress: float) -> float:
        self.n_steps += 1
        return self.rate * min(self.n_steps / _WARM_UP_STEPS, 1.0)


def learn_portion(
    embedding: BaseEmbedding, X: Any, y: Any, sample_weight: Any, classes: Any
) -> None:
    """Go once over a portion of samples; the first one starts the encoder."""
    if processes_of_fit().is_joint:
        raise ValueError("partial_fit is for a single process: within together(), call fit.")
    is_new = not hasattr(embedding, "network_")
    checked, known = check_portion(embedding, X, y, sample_weight, classes, is_new=is_new)
    if len(checked.rows) < 2:  # there is no pair to learn from
        if is_new:
            raise ValueError(
                "The first call of partial_fit needs two samples to learn from; got "
                f"{len(checked.rows)} of {len(checked.X)}."
            )
        return
    keep_classes(embedding, known)
    stream: Stream | None = None if is_new else embedding.__dict__.get("_stream")
    seed = draw_seed(embedding.random_state) if stream is None else stream.seed
    history: list[EpochRecord] = [] if is_new else embedding.history_
    if is_new:
        n_rows = len(checked.X) if embedding.encoder is None else None
        embedding.device_ = resolve_device(embedding.device, n_rows=n_rows)
    of_others = embedding._runs_code_of_others()
    with isolated(seed, embedding.device_, of_others=of_others) as generator:
        kept = None
        if is_new or (stream is not None and stream.kept is not None):
            kept = keep_rows(embedding, checked, None if stream is None else stream.kept, seed)
        prepared = prepare_portion(embedding, checked, kept, generator, is_new=is_new)
        objective = build_portion(embedding, prepared, kept, is_new=is_new)
        rate = WarmUp(_RATE * embedding.learning_rate_init, 0 if stream is None else stream.n_steps)
        # What changes from epoch to epoch in a fit, is that of its first while the rate rises,
        # and then that of its second.
        epoch = int(rate.n_steps >= _WARM_UP_STEPS)
        state = make_state(
            embedding,
            objective,
            learning_rate=rate,
            max_iter=2,
            generator=generator,
            device=embedding.device_,
        )
        if stream is not None:
            state.load_state_dict({**stream.training, "objective": objective.state_dict()})
        state.history = [{}] * epoch
        record = _train_once(embedding, state, prepared.data)
        training = _on_cpu({**state.state_dict(), "objective": None})
    record["epoch"] = len(history)
    embedding._keep(objective, [*history, record], validated=False)
    embedding._set_overfits(None)
    embedding._stream = Stream(seed, rate.n_steps, training, kept)


def _on_cpu(value: Any) -> Any:
    """The tensors in dicts, lists and tuples, on the CPU: a pickle must open where no GPU is."""
    if isinstance(value, dict):
        return {key: _on_cpu(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(map(_on_cpu, value))
    return value.cpu() if isinstance(value, torch.Tensor) else value


def check_portion(
    embedding: BaseEmbedding, X: Any, y: Any, sample_weight: Any, classes: Any, *, is_new: bool
) -> tuple[CheckedData, NDArray[Any] | None]:
    """Refuse what cannot be learned from, and encode labels and weights. The classes so far are
    returned too.
    """
    with_labels = embedding._learns_from_labels()
    if not with_labels:
        y = None
    read = None if y is None else without_unlabeled(read_labels(y), embedding.unlabeled)
    X, _ = read_table(embedding, X, mask_of(read), reset=is_new, least=2 if is_new else 1)
    labels = np.full(len(X), -1)
    known = None if is_new else getattr(embedding, "classes_", None)
    if read is not None:
        fixed = embedding._has_fixed_classes()
        labels, known = encode_portion(read, embedding.unlabeled, classes, known, fixed=fixed)
    weight, rows = relative_weight(sample_weight, X, processes_of_fit())
    if not embedding._learns_from_unlabeled():
        rows = rows[labels[rows] >= 0]
    return CheckedData(X, labels, weight, rows), known


def keep_rows(
    embedding: BaseEmbedding, checked: CheckedData, kept: KeptRows | None, seed: int
) -> KeptRows | None:
    """The sample of the rows so far, with those of a portion."""
    if not starts_from_data(embedding.encoder):
        return None
    more = checked.X.take(checked.rows)
    return (kept or KeptRows(more.take(slice(0)), 0)).with_more(more, seed)


def prepare_portion(
    embedding: BaseEmbedding,
    checked: CheckedData,
    kept: KeptRows | None,
    generator: torch.Generator,
    *,
    is_new: bool,
) -> PreparedData:
    """Bring the samples to the device, about the center of all rows so far."""
    spread = None
    if is_new:
        embedding._centre = None
    if kept is not None:
        rows = np.arange(len(kept.rows))
        embedding._centre, spread = start_of_features(embedding, kept.rows, rows, generator)
    data = data_on_device(embedding, checked, is_new=is_new)
    return PreparedData(data, None, spread, checked.labels[checked.rows])


def build_portion(
    embedding: BaseEmbedding, prepared: PreparedData, kept: KeptRows | None, *, is_new: bool
) -> EmbeddingObjective:
    """An objective that goes on where the last portion ended, with refined scales."""
    earlier = None
    if not is_new:
        known = list(getattr(embedding, "classes_", []))
        earlier = Earlier(embedding.network_, embedding._objective, known)
    objective = build(embedding, prepared, 2, earlier)
    network = objective.network
    if kept is not None and not is_new:
        assert prepared.spread is not None
        sparse = stays_sparse(embedding, kept.rows, False)
        rows = kept.rows.to_device(embedding.device_, embedding._centre, sparse=sparse)
        spread = torch.from_numpy(prepared.spread).float().to(embedding.device_)
        answers_of(network).set_scale(rows, spread)
    if objective.adapts:
        objective.adapt_to(None)
    return objective


def _train_once(embedding: BaseEmbedding, state: TrainingState, data: TrainingData) -> EpochRecord:
    """One pass over the samples."""
    objective, device = state.objective, state.device
    assert isinstance(objective, EmbeddingObjective)
    batch_size = size_of_batches(embedding, len(data.rows))
    step = make_step(embedding, state, batch_size, first_epoch=1)
    with threads_for(product_of_a_step(embedding, objective.network, batch_size, device)):
        try:
            record = next(train(state, data, step, batch_size=batch_size))
        except DivergenceError as error:
            raise ValueError(f"{error} {advice(embedding)}") from error
    state.finish()
    check_codes(embedding, objective.network, data)
    return record
