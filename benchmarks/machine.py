"""What this machine can do at this moment: the speed of two matrix products.

A shared machine is sometimes half as fast as a minute before. The probe stands beside every
timing, so that a slow number can be told from a slow minute.

    python benchmarks/machine.py
"""

from __future__ import annotations

import json
import statistics
from time import perf_counter

# A step of 3,200 positions through one layer of width 128, and the machine at its best.
PRODUCTS = {"3200x128x128": (3200, 128, 128), "2048x2048x2048": (2048, 2048, 2048)}
SECONDS_EACH = 0.5


def gemm_gflops() -> dict[str, float]:
    """GFLOP/s of each product in fp32, from the median time; a multiply-add counts as 2."""
    import torch

    speeds = {}
    for name, (rows, inner, columns) in PRODUCTS.items():
        a, b = torch.rand(rows, inner), torch.rand(inner, columns)
        out = torch.empty(rows, columns)
        times: list[float] = []
        torch.mm(a, b, out=out)
        until = perf_counter() + SECONDS_EACH
        while perf_counter() < until or len(times) < 3:
            started = perf_counter()
            torch.mm(a, b, out=out)
            times.append(perf_counter() - started)
        speeds[name] = 2 * rows * inner * columns / statistics.median(times) / 1e9
    return speeds


if __name__ == "__main__":
    print(json.dumps(gemm_gflops()))
