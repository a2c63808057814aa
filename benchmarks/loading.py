"""Times one `srbench.data.load`, without the imports it needs, and prints the seconds as JSON.

    SRBENCH_CACHE=FOLDER python benchmarks/loading.py ml-1m.inter.gz

The first call with an empty folder prepares from the file, the next one reads the cache.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path
from time import perf_counter

SMALL = "user_id:token\titem_id:token\ttimestamp:float\n" + "".join(
    f"u{user}\ti{item}\t{item}\n" for user in range(3) for item in range(4)
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("dataset")
    dataset = parser.parse_args().dataset

    from srbench.config.settings import DataSettings
    from srbench.data import load

    with tempfile.TemporaryDirectory() as folder:
        small = Path(folder) / "small.inter"
        small.write_text(SMALL)
        for _ in range(2):  # once prepared, once from the cache: all modules are then imported
            load(str(small), DataSettings(k_core=0))
    started = perf_counter()
    loaded = load(dataset, DataSettings())
    seconds = perf_counter() - started
    print(json.dumps({"seconds": seconds, "interactions": loaded.n_interactions}))


if __name__ == "__main__":
    main()
