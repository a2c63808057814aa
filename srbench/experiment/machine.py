"""The device of a run, made to compute what its settings say, and the same twice."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

import torch

from srbench.errors import SrbenchError
from srbench.record.environment import code, environment


def device_of(wanted: str) -> torch.device:
    """`cpu` or `cuda`; `auto` is a GPU where torch can use one. Raises SrbenchError without one.

    On a GPU fp32 is then fp32 (cuDNN's default is TF32), and kernels whose result depends on the
    order of additions are avoided where cuDNN and cuBLAS have others.
    """
    able = torch.cuda.is_available()
    if wanted == "cuda" and not able:
        raise SrbenchError(
            "There is no CUDA device that this torch can use: run with --device cpu, or see "
            "srbench doctor."
        )
    if wanted == "cpu" or not able:
        return torch.device("cpu")
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # read at cuBLAS' first use
    torch.backends.cuda.matmul.allow_tf32 = False
    torch.backends.cudnn.allow_tf32 = False
    torch.backends.cudnn.deterministic = True
    torch.backends.cudnn.benchmark = False
    return torch.device("cuda")


@contextmanager
def threads(count: int | None) -> Iterator[None]:
    """So many CPU threads inside the block (None: as torch has it), as before behind it."""
    before = torch.get_num_threads()
    if count is not None:
        torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def made_by(device: torch.device) -> dict[str, object]:
    """What must be equal for a resumed training to be bit-equal to an uninterrupted one."""
    here = environment(device.type)
    return {
        **code().model_dump(),
        "torch": here.torch,
        "threads": here.threads,
        "cpu_capability": here.cpu_capability,
        "device_name": here.device_name,
    }
