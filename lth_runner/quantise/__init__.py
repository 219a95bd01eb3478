"""Rivals of random networks: weights of a target rounded to codes, and the codes stored."""
