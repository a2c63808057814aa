"""Names of measurements, so that who writes a number and who reads it mean the same.

phase.what: `memory.<phase>.<which>` in bytes, times in seconds, `request.*` of one history alone.
"""

from __future__ import annotations

TRAIN_EPOCH = "train.epoch"  # s, median over epochs, without validation
EVALUATE_TEST = "evaluate.test"  # s, all test users under all protocols
REQUEST_FLOPS = "request.flops"  # FLOP, encoding one history of length L and scoring all items

MEMORY_PROCESS_PEAK = "memory.process.peak"  # B, resident set of the process over its whole life
MEMORY_TRAIN = "memory.train"  # with .peak (CPU, resident set above the level before the model),
MEMORY_EVALUATE = "memory.evaluate"  # .allocated and .reserved (CUDA), .nvml_process (CUDA)
