"""Tickets that are trained after pruning, or before it: winning tickets, and pruning at initialisation."""
