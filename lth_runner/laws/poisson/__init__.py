"""The local Poisson law of subset sums: near a target the 2^n sums lie as independent random points.

So the number of sums within epsilon of a target is Poisson, the error of the best one is exponential, and both follow
from one number, the sums per unit of length there. Nothing in it is fitted.

`quenched` is the law given the numbers, `averaged` over them; `reach`, `sizes`, `coverage` and `variants` are what
follows from it; `numbers` turns distributions into moments.

Reference: Borgs, Chayes, Mertens and Nair, "Proof of the local REM conjecture for number partitioning" (2009), for the
Poisson law of the spectrum near a fixed energy; Borgs, Chayes and Pittel (2001) for the threshold of partitioning.
"""
