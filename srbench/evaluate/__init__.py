"""From scores to ranks, from ranks to metrics, each number with its signature."""
