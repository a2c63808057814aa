"""FMLP-Rec as published: pads are events like any other.

The computation of Woeee/FMLP-Rec, `models.py` and `modules.py` at 51acc8c. Same parameters and
equations as `fmlprec`; what differs: a history is padded to the full length L with the pad row of
the item table and the positions before the first event, and these enter the filters. The published
code pads on the left; as the filters are circular, pads on the right with those positions give the
same. The pad row is no class of the soft-max, as the published loss has none.
"""

from __future__ import annotations

from pydantic import model_validator

from srbench.models.base import Info
from srbench.models.fmlprec import FilterBlock, FMLPRec, FMLPRecSettings


class FMLPRecOfficialSettings(FMLPRecSettings):
    """Those of `fmlprec`, with filters alone."""

    @model_validator(mode="after")
    def _filters(self) -> FMLPRecOfficialSettings:
        if not self.filters:
            raise ValueError("filters must be true: without them use fmlprec, pads are masked")
        return self


class FMLPRecOfficial(FMLPRec):
    """FMLP-Rec with the pads of the published code."""

    info = Info(
        family="MLP",
        year=2022,
        paper="Zhou et al., Filter-enhanced MLP is All You Need, WWW 2022",
        reference="Woeee/FMLP-Rec, models.py and modules.py at 51acc8c",
        summary="FMLP-Rec with pads as published.",
    )
    Settings = FMLPRecOfficialSettings
    pad_invariant = False

    def __init__(self, settings: FMLPRecOfficialSettings, n_items: int, length: int) -> None:
        super().__init__(settings, n_items, length)
        for block in self.blocks:
            assert isinstance(block, FilterBlock)
            block.pads_enter = True
