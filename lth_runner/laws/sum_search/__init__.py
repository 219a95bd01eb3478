"""Searches for a mask whose sums come near given targets: what is known to be there is put to those who look for it."""
