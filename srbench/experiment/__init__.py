"""One run from data to record, and grids of such runs."""
