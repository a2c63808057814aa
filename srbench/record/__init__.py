"""What a run leaves behind: one JSON record, its arrays beside it, and where they are kept."""
