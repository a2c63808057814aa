"""RecBLR as published: rows of zeros in front of the convolution, not of the recurrence.

chengkai-liu/RecBLR, `RecBLR.py` at d01e5c9. Its kernel scans a power of two of events, so a window
of L positions is filled up in front by P = 2^ceil(log2 L) - L rows of zeros. The paper puts them
where they do nothing, before the recurrence; the code puts them before the convolution, whose bias
c makes u = silu(c) of each. So a history starts not from a state of 0 but from what P such events
leave behind, the same for every user:

    h = b_0 (1 + a_0 + ... + a_0^(P-1))      a_0, b_0: decay and input of an event with u = silu(c)

Which it is hangs on the length of the window (P is 56 for 200 and 14 for 50), so it is that of the
run, as in the code, whatever a batch is padded to. Everything else is `recblr`; as in RecBole, the
pad row is a class of the soft-max.
"""

from __future__ import annotations

from typing import ClassVar

from srbench.models.base import Info
from srbench.models.recblr import RecBLR, RecBLRSettings


class RecBLROfficial(RecBLR):
    """RecBLR from the state that the published code starts from."""

    info = Info(
        family="RNN",
        year=2024,
        paper=RecBLR.info.paper,
        reference=RecBLR.info.reference,
        summary="RecBLR as published: zeros in front of each history warm the state up.",
    )
    pad_is_class: ClassVar[bool] = True

    def __init__(self, settings: RecBLRSettings, n_items: int, length: int) -> None:
        warm_up = (1 << (length - 1).bit_length()) - length
        super().__init__(settings, n_items, length, warm_up)
