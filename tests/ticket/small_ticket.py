"""A ticket of a few weights for tests of its file."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import safe_open
from safetensors.numpy import save_file

from lth_runner.distributions.uniform import Uniform
from lth_runner.networks.fc import FullyConnected
from lth_runner.networks.interface import parameter_shapes
from lth_runner.ticket import file as module
from lth_runner.ticket.file import to_bytes
from lth_runner.ticket.mask import Mask
from lth_runner.ticket.source import Drawn
from lth_runner.ticket.ticket import Ticket

NETWORK = FullyConnected(inputs=4, hidden=3, outputs=2, depth=2, biases=False)
CLAIMS = {"accuracy": 0.1 + 0.2, "kept": 31.0}


def ticket() -> Ticket:
    law = Uniform(low=-0.3, high=1 / 3)
    tensors = {
        name: Drawn(shape=(*shape, 5), distribution=law, stream=("coefficients", name))
        for name, shape in parameter_shapes(NETWORK).items()
    }
    masks = {name: Mask.pack(np.random.default_rng(0).random(tensor.shape) < 0.5) for name, tensor in tensors.items()}
    return Ticket(architecture=NETWORK, seed=2**62 + 1, weights=tensors, masks=masks, facts={"n": 5}, claims=CLAIMS)


def forged(
    path: Path, change: Callable[[dict[str, Any], dict[str, np.ndarray]], None], honest: bytes | None = None
) -> None:
    """Writes a ticket file with another content and a digest that agrees."""
    path.write_bytes(honest or to_bytes(ticket()))
    with safe_open(path, framework="np") as file:
        _, _, text = file.metadata()["ticket"].partition("\n")
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a dict)
    recipe = json.loads(text)
    change(recipe, tensors)
    text = json.dumps(recipe, sort_keys=True)
    save_file(tensors, path, {"ticket": f"{module._digest(text, tensors)}\n{text}"})
