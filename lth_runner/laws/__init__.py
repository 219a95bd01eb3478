"""SubsetSum without networks: curves, closed forms, statistics."""
