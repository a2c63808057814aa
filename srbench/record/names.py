"""Names of measurements, so that who writes a number and who reads it mean the same.

kind.what: `time.*` in seconds, `memory.<phase>.<which>` in bytes, `flops.*` in FLOP.
"""

from __future__ import annotations

TIME_EPOCH = "time.epoch"  # training, median over epochs, without validation
TIME_EVALUATE = "time.evaluate"  # all test users under all protocols
FLOPS_REQUEST = "flops.request"  # encoding one history of length L and scoring all items, products
FLOPS_SCANS = "flops.request.scans"  # beside the products: scans, running sums, transforms

TIME_ENCODE = "time.encode"  # with .p50, .p95, .p99, .iqr: histories to representations
TIME_SCORE = "time.score"  # representations to the best items of the whole catalogue
TIME_REQUEST = "time.request"  # both
SPREAD_REQUEST = "time.request.spread"  # between processes, as a share
TIME_STEP = "time.step"  # one event more, from the state of the history before it
TIME_TRAINING_STEP = "time.training.step"
THROUGHPUT = "throughput.request"  # histories a second
ENERGY_REQUEST = "energy.request"  # of a batch
MEMORY_STATE = "memory.state"  # what step keeps of a user
TIME_SHARE = "time.request.share"  # of what the machine could do at best, 0 to 1
PROBE_GEMM = "probe.gemm"  # with .fp32 and .bf16: what the machine does in products, FLOP/s
PROBE_COPY = "probe.copy"  # and in copying from main memory to main memory, B/s

MEMORY_PROCESS_PEAK = "memory.process.peak"  # resident set of the process over its whole life
MEMORY_TRAIN = "memory.train"  # with .peak (CPU, resident set above the level before the model),
MEMORY_EVALUATE = "memory.evaluate"  # .allocated and .reserved (CUDA, torch's allocator)

# In processes of their own, with .peak (CPU) or .allocated, .reserved and .nvml_process (CUDA).
MEMORY_INFERENCE = "memory.inference"  # a request for a batch, top items included
MEMORY_TRAINING = "memory.training"  # steps of the training, the optimiser's state included
MEMORY_CONTEXT = "memory.context.nvml"  # what CUDA takes of the device before any model
