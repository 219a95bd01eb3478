"""Networks that hold codes compute with what the codes say, and with nothing else."""

import copy
from typing import Any

import numpy as np
import pytest
import torch
from small_networks import SMALL, dataset, inputs, target

import lth_runner as lth
from lth_runner.core.errors import ConfigError, DataError
from lth_runner.networks.interface import Expansion, Packed, filled, state_shapes
from lth_runner.networks.levels import WholeLevels
from lth_runner.networks.lfsr_code import LfsrCode
from lth_runner.networks.quantised import Code, Quantised
from lth_runner.networks.scalar_code import ScalarCode

CODES: dict[str, Any] = {
    "scalar": ScalarCode(levels=WholeLevels(bits=3), group=5, escapes=2),
    "lfsr": LfsrCode(register=5, block=4, basis=2),
}


def parts(code: Code, shape: tuple[int, ...]) -> dict[str, np.ndarray]:
    """Random ones that the code could have written."""
    generator = np.random.default_rng(0)
    most = {"indices": 8, "zeros": 8, "escape_places": 15, "seeds": 31, "exponents": 16, "coefficients": 8}
    found = {}
    for name, (size, kind) in code.parts(shape).items():
        numbers = generator.normal(size=size) if kind == np.float16 else generator.integers(most[name], size=size)
        found[name] = (numbers + (name == "seeds")).astype(kind)
    return found


@pytest.mark.parametrize("name", ["fc", "conv", "vit", "language", "tied_layers"])
def test_a_quantised_module_computes_what_its_decoded_weights_do(name: str) -> None:
    """Wherever a weight is used, tied or packed, as a copy too, and after its codes have changed."""
    small = SMALL[name]
    found = lth.find("round_to_nearest", small.make(), target=target(small), data=dataset(small), progress=False)
    ticket = found.ticket.ticket
    network = ticket.architecture
    assert isinstance(network, Quantised) and isinstance(network, Expansion) and isinstance(network, Packed)
    arrays: dict[str, Any] = {key: getattr(source, "array") for key, source in ticket.weights.items()}  # noqa: B009
    module, x = filled(network, arrays), inputs(small, 4)
    assert set(module.state_dict()) >= set(state_shapes(network)), "what is decoded is no part of the state"
    assert not set(network.codes) & set(state_shapes(network))
    with torch.no_grad():
        expected = found.ticket.module()(x)
        torch.testing.assert_close(module(x), expected)
        torch.testing.assert_close(copy.deepcopy(module)(x), expected)
        scales = next(buffer for key, buffer in module.named_buffers() if key.endswith("scales"))
        scales.zero_()
        assert not torch.equal(module(x), expected)


@pytest.mark.parametrize("kind", CODES)
def test_a_code_that_nobody_wrote_is_refused(kind: str) -> None:
    code, shape = CODES[kind], (3, 5)
    honest = parts(code, shape)
    assert code.decoded(honest, shape).shape == shape
    wrong = {"indices": 8, "escape_places": 15, "seeds": 0, "exponents": 16}
    for part in honest.keys() & wrong.keys():
        broken = {key: array.copy() for key, array in honest.items()}
        broken[part].reshape(-1)[0] = wrong[part]
        with pytest.raises(DataError, match="altered"):
            code.decoded(broken, shape)


def test_codes_of_other_weights_are_refused() -> None:
    with pytest.raises(ConfigError, match="fc9"):
        Quantised(target=SMALL["fc"].make(), codes={"fc9.weight": CODES["lfsr"]})


def test_a_width_is_that_of_a_part() -> None:
    network = Quantised(target=SMALL["fc"].make(), codes={"fc1.weight": CODES["scalar"]})
    widths = {name: network.entry_bits(name) for name in state_shapes(network)}
    assert widths == {
        "fc1.bias": None, "fc1.weight_code.indices": 3, "fc1.weight_code.scales": 16, "fc1.weight_code.zeros": 3,
        "fc1.weight_code.escape_places": 9, "fc1.weight_code.escape_values": 16, "fc2.weight": None, "fc2.bias": None,
    }  # fmt: skip
