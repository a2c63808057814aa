"""Sequential recommenders compared fairly: one harness, one protocol, time and memory measured.

`run` trains, ranks and measures one model on one dataset and returns the record of it; `records`
reads the records of a folder into a DataFrame. Everything heavy is imported when it is used.
"""

from __future__ import annotations

__version__ = "0.1.0"
