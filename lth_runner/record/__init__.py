"""The record of a run: its folder is the truth, the terminal and W&B show copies."""
