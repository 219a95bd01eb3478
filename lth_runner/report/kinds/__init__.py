"""One file per kind of figure: `figure(points, description)` draws the points of a folder as its description says."""
