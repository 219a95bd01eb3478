"""Tickets: sources, masks, files, and the networks they are."""
