"""Names completed in the shell. Light: a Tab must not load torch."""

from __future__ import annotations


def model_names(incomplete: str) -> list[str]:
    from srbench.registry import names

    return [name for name in names() if name.startswith(incomplete)]


def dataset_names(incomplete: str) -> list[str]:
    from srbench.data.catalogue import NAMES
    from srbench.data.locate import imported

    return [name for name in (*NAMES, *imported(), "synthetic") if name.startswith(incomplete)]
