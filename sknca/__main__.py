"""`python -m sknca` prints the versions that a bug report needs."""

import platform
from importlib.metadata import PackageNotFoundError, version

import torch

from . import __version__

#: What sknca needs, and then what its extras bring.
_REQUIRED = ["torch", "scikit-learn", "numpy", "scipy", "safetensors", "tqdm"]
_OPTIONAL = ["matplotlib", "onnx", "onnxscript", "onnxruntime", "skl2onnx"]


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
    cuda = torch.cuda.is_available()
    found["CUDA"] = f"{torch.version.cuda}, {torch.cuda.get_device_name()}" if cuda else "none"
    return found


if __name__ == "__main__":
    for name, found in versions().items():
        print(f"{name}: {found}")
