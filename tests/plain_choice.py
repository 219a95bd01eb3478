"""The settings of constructions that choose weight by weight, unless somebody chooses others, as the YAML has them."""

from typing import Any

from lth_runner.construct.compensation import Compensation
from lth_runner.construct.matching import Matching
from lth_runner.distributions.uniform import Uniform
from lth_runner.networks.activations import RELU
from lth_runner.subset_sum.meet_in_middle import MeetInMiddle

ONE_BY_ONE: dict[str, Any] = {
    "compensate": "none",
    "compensation": Compensation(order="inputs", damping=0.01, samples=4096, follow="pruned"),
}
DOUBLED: dict[str, Any] = {  # of Pensia and Attention, in tests
    "objective": "closest", "epsilon": 0.01, "c": 3, "stored": [], "halves": "both", "signs": "as_drawn",
    "gains": "fitted", "max_paths": 24, "distribution": Uniform(low=-1.0, high=1.0), "solver": MeetInMiddle(),
}  # fmt: skip
MATCHING = Matching(factor=1.7, reach=0.5, group=64)
UNMATCHED: dict[str, Any] = {"mask": "zero_one", "centred": False, "match": "none", "matching": MATCHING}
RELUS: dict[str, Any] = {"activation": RELU, "scale": 1.0}
PLAIN_PATHS: dict[str, Any] = {**ONE_BY_ONE, **RELUS, "matching": MATCHING}
COPIES: dict[str, Any] = {**RELUS, "first_n": None, "gains": "none", "matching": MATCHING}
