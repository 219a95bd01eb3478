"""The settings of constructions that choose weight by weight, unless somebody chooses others, as the YAML has them."""

from typing import Any

from lth_runner.construct.compensation import Compensation
from lth_runner.construct.matching import Matching
from lth_runner.networks.activations import RELU

ONE_BY_ONE: dict[str, Any] = {
    "compensate": "none",
    "compensation": Compensation(order="inputs", damping=0.01, samples=4096, follow="pruned"),
}
MATCHING = Matching(factor=1.7, reach=0.5, group=64)
UNMATCHED: dict[str, Any] = {"mask": "zero_one", "centred": False, "match": "none", "matching": MATCHING}
RELUS: dict[str, Any] = {"activation": RELU, "scale": 1.0}
PLAIN_PATHS: dict[str, Any] = {**ONE_BY_ONE, **RELUS, "matching": MATCHING}
COPIES: dict[str, Any] = {**RELUS, "first_n": None, "gains": "none", "matching": MATCHING}
