"""Single questions to NVML through its binding: which of its devices is torch's, who is on it, what
slows it down. They raise pynvml.NVMLError, or LookupError in words; `words` makes one of both.

Versions of one call are tried from the newest down: an older driver lacks the newer ones.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pynvml

Handle = Any  # a pointer of the library's

_WORDS = {
    pynvml.NVML_ERROR_LIBRARY_NOT_FOUND: "no NVIDIA driver is installed (NVML is not there)",
    pynvml.NVML_ERROR_DRIVER_NOT_LOADED: "the NVIDIA driver is not loaded",
    pynvml.NVML_ERROR_LIB_RM_VERSION_MISMATCH: "NVML and the loaded driver are of two versions",
    pynvml.NVML_ERROR_NO_PERMISSION: "NVML refuses it: no permission",
    pynvml.NVML_ERROR_NOT_SUPPORTED: "NVML does not support it on this device",
    pynvml.NVML_ERROR_FUNCTION_NOT_FOUND: "the driver is too old to tell",
    pynvml.NVML_ERROR_GPU_IS_LOST: "the GPU is lost: it no longer answers its driver",
}

# Bits of the library's interface. Idle and clocks set by hand (1, 2, 0x100) slow nothing down.
_THROTTLES = {
    0x4: "the power limit",
    0x8: "a hardware slowdown (heat or power)",
    0x10: "another GPU it is synchronised with",
    0x20: "heat (the driver lowers the clock)",
    0x40: "heat (the hardware lowers the clock)",
    0x80: "the power supply's brake",
    0x200: "the board's limit",
    0x400: "the voltage's limit",
}


@dataclass(frozen=True)
class GpuProcess:
    """A process on the device; its pid is the host's or this container's, and its memory None
    where the driver does not tell ("not available")."""

    pid: int
    bytes: int | None


def words(error: Exception) -> str:
    """Why NVML did not tell: a clause that follows a colon or "since"."""
    if isinstance(error, LookupError):
        return str(error.args[0])
    code = getattr(error, "value", None)
    return _WORDS.get(code, f"NVML answers: {error}")


def find(device: object) -> Handle:
    """NVML's handle of torch's CUDA device: by UUID (of a GPU or of a MIG instance), else by its
    place on the PCI bus, else the only device there is.

    Indices are not compared: torch counts in an order of its own, and only what is visible to it.
    """
    import torch

    try:
        properties = torch.cuda.get_device_properties(device)  # type: ignore[arg-type]
    except (AssertionError, RuntimeError, ValueError) as error:
        raise LookupError("torch has no such CUDA device") from error
    handle = _by_uuid(properties) or _by_bus(properties) or _the_only_one()
    return _instance(handle) if _is_split(handle) else handle


def all_handles() -> Iterator[Handle]:
    """Every GPU, and for one that is split its MIG instances instead."""
    for index in range(pynvml.nvmlDeviceGetCount()):
        handle = pynvml.nvmlDeviceGetHandleByIndex(index)
        if _is_split(handle):
            yield from _instances(handle)
        else:
            yield handle


def whole_gpu(handle: Handle) -> Handle | None:
    """The GPU that a MIG instance is a part of; None for what is no MIG instance."""
    try:
        if pynvml.nvmlDeviceIsMigDeviceHandle(handle):
            return pynvml.nvmlDeviceGetDeviceHandleFromMigDeviceHandle(handle)
    except pynvml.NVMLError:  # a driver or GPU from before MIG
        pass
    return None


def compute_processes(handle: Handle) -> list[GpuProcess]:
    return _processes("Compute", handle)


def graphics_processes(handle: Handle) -> list[GpuProcess]:
    return _processes("Graphics", handle)


def throttles(handle: Handle) -> tuple[str, ...]:
    """What holds the clock of the device down now, in words; empty: nothing."""
    bits = _newest(
        handle,
        "nvmlDeviceGetCurrentClocksEventReasons",
        "nvmlDeviceGetCurrentClocksThrottleReasons",
    )
    return tuple(name for bit, name in _THROTTLES.items() if bits & bit)


def _newest(handle: Handle, *names: str) -> Any:
    """The answer of the first of these calls that both binding and driver have."""
    for name in names:
        call = getattr(pynvml, name, None)
        if call is None:
            continue
        try:
            return call(handle)
        except pynvml.NVMLError as error:
            if error.value != pynvml.NVML_ERROR_FUNCTION_NOT_FOUND:
                raise
    raise pynvml.NVMLError(pynvml.NVML_ERROR_FUNCTION_NOT_FOUND)


def _processes(kind: str, handle: Handle) -> list[GpuProcess]:
    name = f"nvmlDeviceGet{kind}RunningProcesses"
    listed = _newest(handle, f"{name}_v3", f"{name}_v2")
    return [GpuProcess(process.pid, process.usedGpuMemory) for process in listed]


def _by_uuid(properties: Any) -> Handle | None:
    uuid = getattr(properties, "uuid", None)
    for kind in ("GPU", "MIG") if uuid else ():
        try:
            return pynvml.nvmlDeviceGetHandleByUUID(f"{kind}-{uuid}")
        except pynvml.NVMLError as error:
            if error.value not in (
                pynvml.NVML_ERROR_NOT_FOUND,
                pynvml.NVML_ERROR_INVALID_ARGUMENT,
            ):
                raise
    return None


def _by_bus(properties: Any) -> Handle | None:
    if not hasattr(properties, "pci_bus_id"):  # an older torch
        return None
    place = (properties.pci_domain_id, properties.pci_bus_id, properties.pci_device_id)
    try:
        return pynvml.nvmlDeviceGetHandleByPciBusId("{:08X}:{:02X}:{:02X}.0".format(*place))
    except pynvml.NVMLError as error:
        if error.value != pynvml.NVML_ERROR_NOT_FOUND:
            raise
        return None


def _the_only_one() -> Handle:
    count = pynvml.nvmlDeviceGetCount()
    if count != 1:
        raise LookupError(f"which of NVML's {count} devices is torch's is not known")
    return pynvml.nvmlDeviceGetHandleByIndex(0)


def _is_split(handle: Handle) -> bool:
    """Is this a whole GPU in MIG mode? Its numbers are those of all its instances."""
    if whole_gpu(handle) is not None:
        return False
    try:
        current, _ = pynvml.nvmlDeviceGetMigMode(handle)
    except pynvml.NVMLError:  # one that cannot be split
        return False
    return bool(current)


def _instances(handle: Handle) -> Iterator[Handle]:
    for index in range(pynvml.nvmlDeviceGetMaxMigDeviceCount(handle)):
        try:
            yield pynvml.nvmlDeviceGetMigDeviceHandleByIndex(handle, index)
        except pynvml.NVMLError as error:
            if error.value != pynvml.NVML_ERROR_NOT_FOUND:  # an index that nothing is at
                raise


def _instance(handle: Handle) -> Handle:
    """The instance of a split GPU that torch sees: the one named to CUDA, else the only one."""
    named = os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",")[0].strip()
    if named.startswith("MIG-"):
        return pynvml.nvmlDeviceGetHandleByUUID(named)
    instances = list(_instances(handle))
    if len(instances) != 1:
        raise LookupError(
            f"which of the GPU's {len(instances)} MIG instances is torch's is not known: "
            "name it in CUDA_VISIBLE_DEVICES"
        )
    return instances[0]
