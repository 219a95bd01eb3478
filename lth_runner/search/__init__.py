"""Methods that search: scores are trained, weights stay as they were drawn."""
