"""The settings of constructions that choose weight by weight, unless somebody chooses others, as the YAML has them."""

from typing import Any

from lth_runner.construct.compensation import Compensation

ONE_BY_ONE: dict[str, Any] = {
    "compensate": "none",
    "compensation": Compensation(order="inputs", damping=0.01, samples=4096, follow="pruned"),
}
