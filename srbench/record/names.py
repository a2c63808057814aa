"""Names of measurements, so that who writes a number and who reads it mean the same.

kind.what: `time.*` in seconds, `memory.<phase>.<which>` in bytes, `flops.*` in FLOP.
"""

from __future__ import annotations

TIME_EPOCH = "time.epoch"  # training, median over epochs, without validation
TIME_EVALUATE = "time.evaluate"  # all test users under all protocols
FLOPS_REQUEST = "flops.request"  # encoding one history of length L and scoring all items

MEMORY_PROCESS_PEAK = "memory.process.peak"  # resident set of the process over its whole life
MEMORY_TRAIN = "memory.train"  # with .peak (CPU, resident set above the level before the model),
MEMORY_EVALUATE = "memory.evaluate"  # .allocated and .reserved (CUDA, torch's allocator)
