"""Three networks of torchvision, whole: substituted, saved, read back by anybody, and verified."""

import math
from pathlib import Path
from typing import Any

import pytest
import torch
from recorders import Memory

import lth_runner as lth
from lth_runner.core.streams import Streams
from lth_runner.networks.imported import Imported
from lth_runner.networks.interface import filled, parameter_shapes
from lth_runner.targets.own import OwnTarget

pytestmark = pytest.mark.slow

# builder: its arguments, numbers offered per weight, side of an image
NETWORKS: dict[str, tuple[dict[str, Any], int, int]] = {
    "resnet18": ({"num_classes": 10}, 4, 32),
    "mobilenet_v3_small": ({"num_classes": 10}, 4, 64),
    "vit_b_16": ({"num_classes": 10, "image_size": 32}, 2, 32),
}


@pytest.mark.parametrize("name", NETWORKS)
def test_substitution_from_end_to_end(name: str, tmp_path: Path) -> None:
    arguments, n, side = NETWORKS[name]
    network = Imported(builder=f"torchvision.models.{name}", arguments=arguments, output=None, pool="none")
    target = OwnTarget().weights(network, None, Streams(0), "cpu", Memory())
    data = (torch.rand(4, 3, side, side, generator=torch.Generator().manual_seed(0)), torch.zeros(4, dtype=torch.int64))
    found = lth.find("subset_sum", network, target=target, data=data, n=n, seed=0, progress=False)
    ticket = found.ticket.ticket
    shapes = parameter_shapes(ticket.architecture)  # with the batch norms folded
    assert ticket.offered() == n * sum(math.prod(shapes[key]) for key in ticket.masks)
    assert found.measured["output_difference_max"] < float("inf")
    weights = found.measured["weight_error_median"]
    assert 0 < weights < 0.05, "half of the weights are near a sum of a few random numbers"
    found.ticket.save(tmp_path / "ticket.safetensors")
    verified = lth.verify(tmp_path / "ticket.safetensors", target=target, data=data)  # no trust: torchvision is listed
    assert verified and not [finding for finding in verified.findings if finding.needs]
    assert (
        filled(network, target)(data[0]).shape
        == (4, 10)
        == lth.load(tmp_path / "ticket.safetensors").module()(data[0]).shape
    )
