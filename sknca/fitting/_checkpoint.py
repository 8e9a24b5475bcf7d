"""A file from which an interrupted fit continues."""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from numpy.typing import NDArray

from .._file import check_is_whole, pack, unpack, write_atomically
from .._values import decode, encode
from .._warnings import warn_user
from ..distributed import Processes
from ..tables import Samples
from ._description import Description, describe_arrays, describe_parameters, stored_otherwise
from ._joint import fit_of_all
from ._plan import Plan

#: Parameters that may change from call to call, because what a fit learns does not depend on them.
#: `max_iter` and the type of device are compared separately.
_FREE = {"verbose", "max_iter", "device"}


#: What is read from a file in addition to the state of the training.
_TYPES = {
    **{"fit": dict, "seed": int, "finished": bool},
    **{"planned": int, "overfits": bool | None},
}


class Checkpoint:
    """The file of one fit, and what was in it.

    Parameters
    ----------
    path : str or path-like
        The file. If it is there, it must be of the same fit.

    every : int
        It is written every this many epochs, at the end, and if the fit is interrupted or fails.

    writes : bool, default=True
        Whether this process reads and writes it. In a joint fit, only the first one does.

    Attributes
    ----------
    found : dict or None
        The state of the training in the file, if it was there.

    is_finished : bool
        Whether that state is the end of the fit.
    """

    def __init__(self, path: str | os.PathLike[str], every: int, *, writes: bool = True) -> None:
        self._writes = writes
        self.found: dict[str, Any] | None = None
        self.is_finished = False
        self._path = Path(path)
        self._every = every
        self._content: dict[str, Any] = {}
        self._latest: dict[str, Any] | None = None
        self._is_written = True
        if not writes:
            return
        if self._path.is_dir() or not self._path.absolute().parent.is_dir():
            raise ValueError(f"checkpoint={str(path)!r} must be a file in an existing folder.")

    def open(self, fit: Description, seed: int, max_iter: int) -> int:
        """Read the file, if it is there, and return the seed to use: that of the fit in it.

        Parameters
        ----------
        fit : Description
            What distinguishes this fit from others, as `describe_fit` returns it.

        seed : int
            Of this call.

        max_iter : int
            The parameter, which may be larger than it was in the file.

        Raises
        ------
        ValueError
            If the file is no checkpoint, not whole, or of another fit.

        Warns
        -----
        UserWarning
            If `max_iter` is larger than in the file.
        """
        from .. import __version__

        versions = {"the version of sknca": __version__, "that of torch": str(torch.__version__)}
        fit = replace(fit, others={**fit.others, **versions})
        self._content = {"sknca": __version__, "fit": fit.entries, "seed": seed}
        for left in self._path.parent.glob(f"{self._path.name}.{'[0-9a-f]' * 8}.partial"):
            left.unlink(missing_ok=True)  # of a process that was killed while it wrote
        if not self._path.exists():
            return seed
        content, state = self._read()
        different = [
            f"{name} was {before}, now {now}"
            for name, before, now in fit.differences(content["fit"])
        ]
        if max_iter < state["planned"]:
            different.append(f"max_iter was {state['planned']}, now less, {max_iter}")
        if different:
            raise ValueError(
                f"checkpoint={str(self._path)!r} belongs to another fit: {'; '.join(different)}. "
                "Use another file, or delete this one to start again."
            )
        self.found = self._latest = state
        is_raised = max_iter > state["planned"]
        self.is_finished = bool(content["finished"]) and not (is_raised and not state["overfits"])
        if is_raised:
            warn_user(_meaning_of_raised(state, max_iter))
        self._content["seed"] = int(content["seed"])
        return int(content["seed"])

    def open_together(
        self, fit: Description, seed: int, max_iter: int, processes: Processes
    ) -> int:
        """As `open`, in all processes of a joint fit."""
        if not processes.is_joint:
            return self.open(fit, seed, max_iter)
        fit = fit_of_all(fit, processes)
        if processes.is_first:
            seed = self.open(fit, seed, max_iter)
        opened = processes.of_first((seed, self.found, self.is_finished))
        seed, self.found, self.is_finished = opened
        return seed

    def _read(self) -> tuple[dict[str, Any], dict[str, Any]]:
        data = self._path.read_bytes()
        try:
            check_is_whole(data)
            content, arrays = unpack(data)
            if "fit" not in content:
                raise ValueError("it was written by sknca.save, read it with sknca.load")
            state: dict[str, Any] = decode(content["state"], arrays)
            read = {**state, **content}
            for name, kinds in _TYPES.items():
                if not isinstance(read[name], kinds):
                    raise ValueError(f"its {name} has a wrong type")
        except Exception as error:  # of any kind, whatever is in the file
            raise ValueError(
                f"checkpoint={str(self._path)!r} cannot be continued: {error}."
            ) from error
        return content, state

    @contextmanager
    def being_loaded(self) -> Iterator[None]:
        """While a network loads the state, which may be of another network."""
        try:
            yield
        except Exception as error:  # of any kind, whatever is in the file
            raise ValueError(
                f"checkpoint={str(self._path)!r} contains a state that does not fit: {error}"
            ) from error

    def keeps(self, n_epochs: int) -> bool:
        """Whether the state after this epoch is kept in memory without being written. If the next
        epoch, whose steps change all tensors, is interrupted, the kept state is written.
        """
        return self._writes and n_epochs % self._every != 0

    def end_epoch(self, n_epochs: int, state: dict[str, Any]) -> None:
        """Take the state after an epoch, a copy if it is kept, and write it otherwise."""
        self._latest, self._is_written = state, False
        if not self.keeps(n_epochs):
            self.write()

    def write(self, *, finished: bool = False) -> None:
        """Write the latest state, if it is not in the file or if it is the last."""
        if not self._writes:
            return
        if self._latest is None or (self._is_written and not finished):
            return
        arrays: dict[str, NDArray[Any]] = {}
        state = encode(self._latest, "state", arrays)
        content = {**self._content, "finished": finished, "state": state}
        write_atomically(self._path, pack(content, arrays))
        self._is_written = True


def _meaning_of_raised(state: Mapping[str, Any], max_iter: int) -> str:
    start = (
        f"max_iter={max_iter}, but the checkpoint is of a fit with max_iter={state['planned']}. "
    )
    if state["overfits"]:
        return (
            f"{start}This changes nothing: held-out samples showed that more epochs overfit, so "
            f"the training has {state['max_iter']} epochs."
        )
    epoch = len(state["state"]["history"])
    return (
        f"{start}From epoch {epoch} on, learning rate, q and temperature follow the schedules of "
        f"{max_iter} epochs. The codes are not those of a fit with max_iter={max_iter} from the "
        "start."
    )


def describe_fit(
    plan: Plan, samples: Samples, device: torch.device, *, continues: bool
) -> Description:
    """What distinguishes a fit from others, whose checkpoint it must not continue."""
    others = {
        "estimator": plan.name,
        "the type of device": device.type,
        "continued by warm_start": continues,
    }
    arrays = samples.arrays()
    return Description(
        describe_parameters(plan.parameters, but=_FREE),
        {**others, **describe_arrays(arrays)},
        describe_arrays(stored_otherwise(arrays), as_stored=True),
    )
