"""A pretended device: tensors computed on the CPU that are refused what a GPU would refuse.

`install` renames torch's spare device type to "pretended", for good: hence a process of its own. A
tensor there is a wrapper around one on the CPU. Each operator unwraps, computes and wraps, and on
the way

- refuses tensors of two devices, but for a single number from the CPU,
- counts waits: reads by the host, results whose shape depends on the data, copies to or from
  memory of the host that is not pinned; each with the line of sknca it comes from,
- draws from random numbers of the device,
- refuses a fused optimizer step whose tensors do not fit together.

So it shows that the plumbing is right, what is waited for, that random state stays, and that a
model can be saved and moved. It says nothing of kernels, rounding, speed, the allocator or
streams: it is no test on a GPU.
"""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from torch.utils import backend_registration
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_iter, tree_map_only

import sknca

NAME = "pretended"
N_DEVICES = 2

aten = torch.ops.aten

_SOURCE = str(Path(sknca.__file__).parent)

#: Operators whose result has a shape that only the data tell, or that give a number to the host.
_ASKING = {
    aten._local_scalar_dense,
    aten.bincount,
    aten.equal,
    aten.is_nonzero,
    aten.masked_select,
    aten.nonzero,
    aten.repeat_interleave,
    aten.unique_consecutive,
    aten.unique_dim,
    aten._unique2,
}


class Module:
    """What torch finds as `torch.pretended`."""

    def __init__(self) -> None:
        self.current = 0
        self.generators = [torch.Generator("cpu").manual_seed(i) for i in range(N_DEVICES)]
        self.free = [2**30] * N_DEVICES
        self.reserved, self.allocated = 0, 0

    def is_available(self) -> bool:
        return True

    def is_initialized(self) -> bool:
        return True

    def _is_in_bad_fork(self) -> bool:
        return False

    def device_count(self) -> int:
        return N_DEVICES

    def current_device(self) -> int:
        return self.current

    def set_device(self, device: object) -> None:
        self.current = self.index_of(device)

    @contextmanager
    def device(self, device: object) -> Iterator[None]:
        before, self.current = self.current, self.index_of(device)
        try:
            yield
        finally:
            self.current = before

    def index_of(self, device: object) -> int:
        if isinstance(device, int):
            return device
        index = torch.device(device).index
        return self.current if index is None else index

    def manual_seed(self, seed: int) -> None:
        self.generators[self.current].manual_seed(seed)

    def manual_seed_all(self, seed: int) -> None:
        for generator in self.generators:
            generator.manual_seed(seed)

    def get_rng_state(self, device: object = NAME) -> torch.Tensor:
        return self.generators[self.index_of(device)].get_state()

    def set_rng_state(self, state: torch.Tensor, device: object = NAME) -> None:
        self.generators[self.index_of(device)].set_state(state)

    def get_amp_supported_dtype(self) -> list[torch.dtype]:
        return [torch.bfloat16]

    def mem_get_info(self, device: object = None) -> tuple[int, int]:
        return self.free[self.index_of(NAME if device is None else device)], 2**31

    def memory_reserved(self, device: object = None) -> int:
        return self.reserved

    def memory_allocated(self, device: object = None) -> int:
        return self.allocated


class ModuleLikeMps(Module):
    """As `torch.mps`: one device, which nothing has to choose, and no word about memory."""

    def __getattribute__(self, name: str):
        if name in ("current_device", "set_device", "device", "mem_get_info", "memory_reserved"):
            raise AttributeError(name)
        return super().__getattribute__(name)

    def device_count(self) -> int:
        return 1


class PretendedTensor(torch.Tensor):
    """A tensor of the device, around a `raw` one on the CPU."""

    raw: torch.Tensor
    index: int
    is_number: bool
    __torch_function__ = torch._C._disabled_torch_function_impl

    @staticmethod
    def __new__(cls, raw, index, is_number=False):
        # torch's backward pass knows but one device of the type, so all are the first for it.
        tensor = torch.Tensor._make_wrapper_subclass(
            cls,
            raw.shape,
            strides=raw.stride(),
            storage_offset=raw.storage_offset(),
            dtype=raw.dtype,
            device=torch.device(NAME, 0),
        )
        tensor.raw, tensor.index = raw, index
        tensor.is_number = is_number  # that torch made of a Python number, on the first device
        return tensor

    @property
    def device(self) -> torch.device:
        return torch.device(NAME, self.index)

    @classmethod
    def __torch_dispatch__(cls, operator, types, args=(), kwargs=None):
        # In the threads of a backward pass, where the mode below is not.
        return DEVICE.run(operator, args, kwargs or {})

    def to(self, *args, **kwargs):
        if args and isinstance(args[0], torch.Tensor):
            args = (args[0].device, args[0].dtype, *args[1:])
        device, dtype, non_blocking, _ = torch._C._nn._parse_to(*args, **kwargs)
        if device is None or device.type != NAME:
            return super().to(device, dtype, non_blocking=non_blocking)
        moved = self if DEVICE.module.index_of(device) == self.index else self._on(device)
        return moved if dtype in (None, moved.dtype) else super(PretendedTensor, moved).to(dtype)

    def _on(self, device: torch.device) -> torch.Tensor:
        """On another device of the type; torch would not see that it is another."""
        waits = len(DEVICE.waits)
        moved = self.cpu().to(device)
        del DEVICE.waits[waits:]
        return moved

    def numpy(self, *, force: bool = False):
        if not force:
            raise TypeError(f"can't convert {self.device} device type tensor to numpy.")
        return self.detach().cpu().numpy()

    def tolist(self):
        return self.detach().cpu().tolist()

    def __repr__(self) -> str:
        return f"PretendedTensor({self.raw!r}, device='{self.device}')"


class Device:
    """Runs each operator and keeps the books."""

    def __init__(self) -> None:
        self.module = Module()
        self.waits: list[str] = []
        self.operators: list[tuple[str, tuple[torch.Size, ...]]] = []
        self.knows_float64 = True
        self._pinned: set[int] = set()

    def run(self, operator, args, kwargs):
        asked_for = kwargs.get("device")
        made_there = asked_for is not None and torch.device(asked_for).type == NAME
        tensors = [t for t in tree_iter((args, kwargs)) if isinstance(t, torch.Tensor)]
        there = [t for t in tensors if isinstance(t, PretendedTensor)]
        if kwargs.get("pin_memory"):
            pinned = operator(*args, **{**kwargs, "pin_memory": False})
            self._pinned.add(pinned.untyped_storage().data_ptr())
            return pinned
        if not there and not made_there:
            return operator(*args, **kwargs)
        packet = operator.overloadpacket
        if made_there:
            index = self.module.index_of(asked_for)
            if there and packet is not aten._to_copy:  # as a tensor that is there
                index = there[0].index
            kwargs = {**kwargs, "device": "cpu"}
        else:
            index = None if asked_for is not None else there[0].index
        moves = packet in (aten._to_copy, aten.copy_)
        if moves:
            self._watch_copy(operator, args, kwargs, index)
        else:
            _refuse_mixture(operator, tensors)
            if packet in _ASKING or _asks_by_mask(packet, args):
                self._wait(operator)
        if packet is aten._fused_adamw_:
            _check_fused(*args)
        if "generator" in (a.name for a in operator._schema.arguments) and not kwargs.get(
            "generator"
        ):
            kwargs = {**kwargs, "generator": self.module.generators[index]}
        raw_args, raw_kwargs = tree_map_only(PretendedTensor, lambda t: t.raw, (args, kwargs))
        result = operator(*raw_args, **raw_kwargs)
        if packet is aten._to_copy and result is raw_args[0]:
            result = result.clone()
        if not operator.is_view:
            shapes = tuple(t.shape for t in tree_iter(result) if isinstance(t, torch.Tensor))
            self.operators.append((str(operator), shapes))
        if index is None:
            return result
        known = {id(t.raw): t for t in there}

        def wrap(raw: torch.Tensor) -> torch.Tensor:
            if packet is aten.scalar_tensor:
                return PretendedTensor(raw, index, is_number=True)
            if not self.knows_float64 and raw.dtype is torch.float64:
                raise TypeError("Cannot convert a tensor to float64: the device has none.")
            return known[id(raw)] if id(raw) in known else PretendedTensor(raw, index)

        if operator._schema.is_mutable and packet is aten.copy_ and args[0].is_cpu:
            return args[0]
        return tree_map_only(torch.Tensor, wrap, result)

    def _watch_copy(self, operator, args, kwargs, index) -> None:
        """A copy between the host and the device is waited for, unless it goes from pinned memory
        or the host does not want to know when.
        """
        source = args[0] if operator.overloadpacket is aten._to_copy else args[1]
        goes_there = index is not None
        if operator.overloadpacket is aten.copy_:
            goes_there = isinstance(args[0], PretendedTensor)
            blocking = not (args[2] if len(args) > 2 else kwargs.get("non_blocking", False))
        else:
            blocking = not kwargs.get("non_blocking", False)
        if isinstance(source, PretendedTensor) == goes_there:
            return
        pinned = source.is_cpu and source.untyped_storage().data_ptr() in self._pinned
        if source.is_cpu and source.ndim == 0 and operator.overloadpacket is aten.copy_:
            return  # a number, which goes with the call
        if blocking or not pinned:
            self._wait(operator)

    def _wait(self, operator) -> None:
        self.waits.append(f"{_line_of_sknca()} {operator}")


def _refuse_mixture(operator, tensors) -> None:
    devices = {
        t.device for t in tensors if t.ndim > 0 or not (t.is_cpu or getattr(t, "is_number", False))
    }
    if len(devices) > 1:
        names = sorted(map(str, devices))
        raise RuntimeError(f"{operator}: expected all tensors on one device, got {names}.")


def _asks_by_mask(packet, args) -> bool:
    if packet not in (aten.index, aten.index_put_, aten.index_put, aten._index_put_impl_):
        return False
    return any(i is not None and i.dtype in (torch.bool, torch.uint8) for i in args[1])


def _check_fused(parameters, gradients, means, squares, _, steps) -> None:
    lists = parameters, gradients, means, squares
    for alike in zip(*lists, strict=True):
        if len({(t.device, t.dtype, t.shape) for t in alike}) > 1:
            raise RuntimeError("a fused step needs tensors of one device, dtype and shape")
    if {t.device for t in steps} != {t.device for t in parameters}:
        raise RuntimeError("a fused step needs its number on the device")
    if {t.dtype for t in steps} != {torch.float32}:
        raise RuntimeError("a fused step needs its number in float32")


def _line_of_sknca() -> str:
    frame = sys._getframe()
    while frame is not None:
        if frame.f_code.co_filename.startswith(_SOURCE):
            name = Path(frame.f_code.co_filename).relative_to(_SOURCE)
            return f"{name}:{frame.f_lineno} {frame.f_code.co_name}"
        frame = frame.f_back
    return "elsewhere"


class _Mode(TorchDispatchMode):
    """For the operators that have no tensor of the device yet."""

    def __torch_dispatch__(self, operator, types, args=(), kwargs=None):
        return DEVICE.run(operator, args, kwargs or {})


class _Guard(torch._C._acc.DeviceGuard):
    def type_(self):
        return torch._C._autograd.DeviceType.PrivateUse1


DEVICE = Device()

_LIBRARIES: list[torch.library.Library] = []  # which last as long as someone holds them


def install(*, like_mps: bool = False) -> None:
    """Make torch know the device, for as long as the process lives."""
    if like_mps:
        DEVICE.module = ModuleLikeMps()
        DEVICE.knows_float64 = False
    # A module that is moved gets new parameters, for a wrapper cannot be given other contents.
    torch.__future__.set_overwrite_module_params_on_conversion(True)
    backend_registration._setup_privateuseone_for_python_backend(
        NAME, DEVICE.module, None, _Guard()
    )
    _install_autocast()
    _Mode().__enter__()


def _install_autocast() -> None:
    """Products in bfloat16 while autocast is on, as on a GPU."""
    key = "AutocastPrivateUse1"
    rest, products = torch.library.Library("_", "IMPL"), torch.library.Library("aten", "IMPL", key)
    _LIBRARIES.extend([rest, products])
    rest.fallback(torch.library.fallthrough_kernel, key)
    for operator in (aten.mm.default, aten.addmm.default):

        def in_bfloat16(*tensors, operator=operator, **options):
            with torch.autocast(NAME, enabled=False):
                return operator(*(t.bfloat16() for t in tensors), **options)

        products.impl(operator, in_bfloat16)
