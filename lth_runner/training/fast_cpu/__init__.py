"""The fast path of masked training on a CPU: steps that touch nothing but kept weights."""
