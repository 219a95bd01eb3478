"""Run folders in, tables and figures out: pure functions that need neither torch nor W&B."""
