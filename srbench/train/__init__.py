"""From prefixes to a trained model: losses, loop, checkpoints."""
