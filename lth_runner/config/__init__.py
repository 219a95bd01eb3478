"""Configs as plain values, and the objects they name."""
