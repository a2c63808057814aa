"""What a run leaves behind: one JSON document and the arrays beside it."""
