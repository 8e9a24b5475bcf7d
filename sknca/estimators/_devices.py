"""From the parameter `device` to a device that is there."""

import torch


def resolve_device(device: str | torch.device) -> torch.device:
    """The torch device that `device` names, "auto" being CUDA where there is one.

    Raises
    ------
    ValueError
        If torch does not know the device or the machine has none such.
    """
    if device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        resolved = torch.device(device)
        if resolved.type == "meta":
            raise RuntimeError("the meta device holds no data")
        torch.empty(0, device=resolved)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        reason = str(error).splitlines()[0]
        raise ValueError(f"device={str(device)!r} cannot be used here: {reason}") from error
    return resolved
