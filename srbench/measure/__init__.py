"""Time, memory and arithmetic of a model on this machine."""
