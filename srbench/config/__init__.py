"""Validated settings and where each of their values came from."""

from srbench.config.layers import Resolved, Setting, data_settings, presets, resolve
from srbench.config.sentences import allowed
from srbench.config.settings import (
    CUTOFFS,
    DataSettings,
    EvaluateSettings,
    MeasureSettings,
    RunSettings,
    TrainSettings,
)

__all__ = [
    "CUTOFFS",
    "DataSettings",
    "EvaluateSettings",
    "MeasureSettings",
    "Resolved",
    "RunSettings",
    "Setting",
    "TrainSettings",
    "allowed",
    "data_settings",
    "presets",
    "resolve",
]
