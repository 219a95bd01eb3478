"""The small network and the methods that tests of direct substitution share."""

from dataclasses import replace

from plain_choice import ONE_BY_ONE, UNMATCHED

from lth_runner.construct.malach import Malach
from lth_runner.construct.subset_sum import SubsetSum
from lth_runner.distributions.uniform import Uniform
from lth_runner.networks.fc import FullyConnected
from lth_runner.subset_sum.exhaustive import Exhaustive

NETWORK = FullyConnected(inputs=5, hidden=4, outputs=3, depth=2, biases=False)
METHOD = SubsetSum(
    **ONE_BY_ONE,
    stored=[],
    objective="closest",
    epsilon=0.01,
    c=3,
    n=8,
    sharing="weight",
    **UNMATCHED,
    threshold_small=False,
    distribution=Uniform(low=-1.0, high=1.0),
    solver=Exhaustive(max_n=20),
)
MALACH = Malach(
    **ONE_BY_ONE, stored=[], epsilon=0.01, c=3, n=8, sharing="weight", distribution=Uniform(low=-1.0, high=1.0)
)


SIGNS = replace(METHOD, mask="signs")


SIGNED = replace(METHOD, mask="signed", n=5)
