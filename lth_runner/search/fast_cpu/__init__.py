"""The fast path of score training on a CPU."""
