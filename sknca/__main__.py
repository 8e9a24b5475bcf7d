"""`python -m sknca` prints the versions that a bug report needs."""

import platform
from importlib.metadata import PackageNotFoundError, version

import torch

from . import __version__
from ._devices import accelerators

#: What sknca needs, and then what its extras bring.
_REQUIRED = ["torch", "scikit-learn", "numpy", "scipy", "safetensors", "tqdm"]
_OPTIONAL = ["matplotlib", "onnx", "onnxscript", "onnxruntime", "skl2onnx"]


def _describe(kind: str) -> str:
    """A kind of device, and the name of the first."""
    module = torch.get_device_module(kind)
    return f"{kind} ({module.get_device_name()})" if hasattr(module, "get_device_name") else kind


def versions() -> dict[str, str]:
    """Versions, the machine and what torch uses of it; optional packages if they are installed."""
    found = {"sknca": __version__, "python": platform.python_version()}
    found["platform"] = platform.platform()
    for name in [*_REQUIRED, *_OPTIONAL]:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    found["torch threads"] = str(torch.get_num_threads())
    found["CUDA"] = torch.version.cuda or "none"
    found["accelerators"] = ", ".join(map(_describe, accelerators())) or "none"
    return found


if __name__ == "__main__":
    for name, found in versions().items():
        print(f"{name}: {found}")
