"""From the parameter `device` to a device that is there and computes."""

from dataclasses import dataclass

import torch

from ._warnings import warn_user


@dataclass(frozen=True)
class Kind:
    """What the package does with the devices of a kind. Of others than these, it does nothing.

    Attributes
    ----------
    by_auto : bool
        Whether `device="auto"` means one that computes.

    records : bool
        Whether steps are recorded as CUDA graphs, and replayed.

    backend : str or None
        By what processes exchange its tensors.
    """

    by_auto: bool = False
    records: bool = False
    backend: str | None = None


#: The table of kinds of devices. For kinds that were not measured, "auto" means the CPU.
KINDS = {
    "cpu": Kind(backend="gloo"),
    "cuda": Kind(by_auto=True, records=True, backend="nccl"),
    "mps": Kind(),
    "xpu": Kind(backend="xccl"),
}

#: With fewer rows the CPU is done before a GPU has started.
ROWS_FOR_A_GPU = 1000


def resolve_device(device: str | torch.device, *, n_rows: int | None = None) -> torch.device:
    """The torch device that `device` names, with its index.

    Parameters
    ----------
    device : str or torch.device
        "auto" is the current device of a kind in the table that says so, if there is one, if it
        computes, and if the work is worth it.

    n_rows : int, default=None
        How many rows are to be worked on, if a small number of them is better off on the CPU.

    Returns
    -------
    resolved : torch.device
        For example, "cuda" becomes "cuda:0", because the meaning of "cuda" changes with
        `torch.cuda.set_device`.

    Raises
    ------
    ValueError
        If torch does not know the device or the machine has none such.

    Warns
    -----
    UserWarning
        If `device` is "auto", and such a device is there but does not compute.
    """
    if device == "auto":
        small = n_rows is not None and n_rows < ROWS_FOR_A_GPU
        return torch.device("cpu") if small else _accelerator_or_cpu()
    try:
        resolved = torch.device(device)
        if resolved.type == "meta":
            raise RuntimeError("the meta device holds no data")
        return torch.empty(0, device=resolved).device
    except Exception as error:  # each kind of device has its own
        raise ValueError(
            f"device={str(device)!r} cannot be used here: {_first_sentence(error)}"
        ) from error


def device_of_fit(device: torch.device, name: str) -> torch.device:
    """The device on which the estimator called `name` was fitted; the CPU, with a warning, where
    that is not there.
    """
    try:
        return resolve_device(device)
    except ValueError:
        warn_user(
            f"This {name} was fitted on device {str(device)!r}, which is not available. "
            "It uses the CPU."
        )
        return torch.device("cpu")


def kind_of(device: torch.device) -> Kind:
    return KINDS.get(device.type, Kind())


def accelerators() -> list[str]:
    """The kinds in the table, but the CPU, of which this machine has a device."""
    others = [name for name in KINDS if name != "cpu"]
    return [name for name in others if torch.get_device_module(name).device_count()]


def _accelerator_or_cpu() -> torch.device:
    for name in accelerators():
        if not KINDS[name].by_auto:
            continue
        try:
            # What is listed need not compute: this torch may have no kernels for the card, or
            # another program all of its memory.
            ones = torch.ones(2, 2, device=name, dtype=torch.float32)
            (ones @ ones).sum().item()
            return ones.device
        except (RuntimeError, AssertionError) as error:
            warn_user(
                f"device='auto' means the CPU, because {name!r} is available but does not compute: "
                f"{_first_sentence(error)}"
            )
    return torch.device("cpu")


def _first_sentence(error: Exception) -> str:
    """What torch says first: after it may come thousands of characters on its insides."""
    return str(error).splitlines()[0].split(". ")[0]


def room_on(device: torch.device) -> float:
    """Bytes that are free on a device, infinite if it does not say.

    What torch has taken and does not use counts as free.
    """
    module = torch.get_device_module(device)
    if not hasattr(module, "mem_get_info"):
        return float("inf")
    free: int = module.mem_get_info(device)[0]
    if hasattr(module, "memory_reserved"):
        free += module.memory_reserved(device) - module.memory_allocated(device)
    return free
