"""From the parameter `device` to a device that is there and computes."""

import torch

from ._warnings import warn_user

#: With fewer rows the CPU is done before a GPU has started.
ROWS_FOR_A_GPU = 1000


def resolve_device(device: str | torch.device, *, n_rows: int | None = None) -> torch.device:
    """The torch device that `device` names, with its index.

    Parameters
    ----------
    device : str or torch.device
        "auto" is the current CUDA device if there is one, if it computes, and if the work is
        worth it.

    n_rows : int, default=None
        How many rows are to be worked on, if a small number of them is better off on the CPU.

    Returns
    -------
    resolved : torch.device
        "cuda" becomes "cuda:0", say: what "cuda" means changes with `torch.cuda.set_device`.

    Raises
    ------
    ValueError
        If torch does not know the device or the machine has none such.

    Warns
    -----
    UserWarning
        If `device` is "auto", and CUDA is there but does not compute.
    """
    if device == "auto":
        small = n_rows is not None and n_rows < ROWS_FOR_A_GPU
        return torch.device("cpu") if small else _cuda_or_cpu()
    try:
        resolved = torch.device(device)
        if resolved.type == "meta":
            raise RuntimeError("the meta device holds no data")
        return torch.empty(0, device=resolved).device
    except Exception as error:  # each kind of device has its own
        raise ValueError(
            f"device={str(device)!r} cannot be used here: {_first_sentence(error)}"
        ) from error


def _cuda_or_cpu() -> torch.device:
    if not torch.cuda.is_available():
        return torch.device("cpu")
    try:
        # What is listed need not compute: this torch may have no kernels for the card, or another
        # program all of its memory.
        ones = torch.ones(2, 2, device="cuda", dtype=torch.float32)
        (ones @ ones).sum().item()
    except (RuntimeError, AssertionError) as error:
        warn_user(
            "device='auto' means the CPU, because CUDA is available but does not compute: "
            f"{_first_sentence(error)}"
        )
        return torch.device("cpu")
    return ones.device


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
