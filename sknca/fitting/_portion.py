"""How an embedding learns from portions of samples: one pass over each."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import nn

from .._devices import resolve_device
from .._threads import threads_for
from ..data import TrainingData
from ..networks import answers_of, starts_from_data
from ..objectives import EmbeddingObjective
from ..tables import Samples
from ..training import DivergenceError, EpochRecord, Isolation, TrainingState, isolated, train
from ._build import build
from ._found import Earlier, Fitted
from ._plan import Plan
from ._prepared import Prepared, prepare_features, samples_on_device, start_of_features
from ._steps import check_codes, make_state, make_step, product_of_a_step
from ._stream import WARM_UP_STEPS, KeptRows, Stream, WarmUp

#: The learning rate after the warm-up, as a part of the highest of a `fit`.
_RATE = 0.3


def learn_portion(plan: Plan, samples: Samples, seed: int, earlier: Earlier | None) -> Fitted:
    """Go once over a portion of samples. The first one starts the encoder; all have its seed."""
    stream = None if earlier is None else earlier.stream
    if earlier is None:
        n_rows = len(samples.X) if plan.encoder.maker is None else None
        device = resolve_device(plan.device, n_rows=n_rows)
    else:
        device = earlier.device
    with isolated(seed, device, of_others=plan.runs_code_of_others) as isolation:
        kept: KeptRows | None = None
        if earlier is None or (stream is not None and stream.kept is not None):
            kept = _keep_rows(plan, samples, None if stream is None else stream.kept, seed)
        prepared = _prepare(plan, samples, kept, isolation, earlier)
        objective, n_components = _build(plan, prepared, kept, earlier)
        rate = WarmUp(_RATE * plan.learning_rate, 0 if stream is None else stream.n_steps)
        # Schedules are those of the first epoch during the warm-up, and of the second afterwards.
        epoch = int(rate.n_steps >= WARM_UP_STEPS)
        state = make_state(
            plan,
            objective,
            learning_rate=rate,
            max_iter=2,
            isolation=isolation,
        )
        if stream is not None:
            assert earlier is not None
            state.load_state_dict(_continued(stream.training, state, objective, earlier.objective))
        state.history = [{}] * epoch
        record = _train_once(plan, state, prepared.data)
        training = _on_cpu({**state.state_dict(copied=False), "objective": None})
    history = [] if earlier is None else earlier.history
    record["epoch"] = len(history)
    return Fitted(
        objective,
        [*history, record],
        device,
        samples.classes,
        n_components,
        prepared.features.center,
        stream=Stream(seed, rate.n_steps, training, kept),
    )


def _keep_rows(plan: Plan, samples: Samples, kept: KeptRows | None, seed: int) -> KeptRows | None:
    """The sample of the rows so far, updated with those of a portion."""
    if not starts_from_data(plan.encoder.maker):
        return None
    more = samples.X.take(samples.rows)
    return (kept or KeptRows(more.take(slice(0)), 0)).with_more(more, seed)


def _prepare(
    plan: Plan,
    samples: Samples,
    kept: KeptRows | None,
    isolation: Isolation,
    earlier: Earlier | None,
) -> Prepared:
    """Bring the samples to the device, about the center of all rows so far."""
    generator = isolation.generator
    seen = samples
    if kept is not None:
        seen = replace(samples, X=kept.rows, rows=np.arange(len(kept.rows)))
    features = prepare_features(plan, seen, isolation.device, generator, earlier)
    if kept is not None and earlier is not None:
        center, spread = start_of_features(plan, kept.rows, seen.rows, generator)
        features = replace(features, center=center, spread=spread)
    data = samples_on_device(samples, features)
    return Prepared(features, data, samples.labels[samples.rows], samples.classes)


def _build(
    plan: Plan, prepared: Prepared, kept: KeptRows | None, earlier: Earlier | None
) -> tuple[EmbeddingObjective, int]:
    """An objective that continues from the last portion, with refined scales."""
    objective, n_components = build(plan, prepared, 2, earlier)
    features = prepared.features
    if kept is not None and earlier is not None:
        assert features.spread is not None
        spread = torch.from_numpy(features.spread).float().to(features.device)
        answers_of(objective.network).set_scale(features.to_device(kept.rows), spread)
    if objective.adapts:
        objective.adapt_to(None)
    return objective, n_components


def _train_once(plan: Plan, state: TrainingState, data: TrainingData) -> EpochRecord:
    """One pass over the samples."""
    objective, device = state.objective, state.device
    assert isinstance(objective, EmbeddingObjective)
    batch_size = plan.size_of_batches(len(data.rows))
    step = make_step(plan, state, batch_size, first_epoch=1)
    with threads_for(product_of_a_step(plan, objective.network, batch_size, device)):
        try:
            record = next(train(state, data, step, batch_size=batch_size))
        except DivergenceError as error:
            raise ValueError(f"{error} {plan.advice}") from error
    state.finish()
    check_codes(plan, state, data)
    return record


def _continued(
    training: dict[str, Any],
    state: TrainingState,
    objective: EmbeddingObjective,
    before: EmbeddingObjective,
) -> dict[str, Any]:
    """The state of a stream. If its parameters have changed so that other tensors are trained than
    `before`, the optimizer is a new one, as of a warm start. If others draw, they begin to.
    """
    new = state.state_dict(copied=False)
    continued = {**training, "objective": new["objective"]}
    if _trained(objective) != _trained(before):
        continued |= {name: new[name] for name in ("optimizer", "of_objective")}
    if training["random"].keys() != new["random"].keys():
        continued["random"] = new["random"]
    return continued


def _trained(objective: nn.Module) -> list[tuple[str, torch.Size]]:
    return [(name, one.shape) for name, one in objective.named_parameters() if one.requires_grad]


def _on_cpu(value: Any) -> Any:
    """Dicts, lists and tuples with their tensors on the CPU: a pickle must open without a GPU."""
    if isinstance(value, dict):
        return {key: _on_cpu(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(map(_on_cpu, value))
    return value.cpu() if isinstance(value, torch.Tensor) else value
