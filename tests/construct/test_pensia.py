"""The theorem's network: its forward pass, its weights and the certified sums are one and the same thing."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from construct.pensias import LAW, images, pensia, problem
from hypothesis import given, settings
from hypothesis import strategies as st
from plain_choice import PLAIN_PATHS
from recorders import Memory
from small_convolution import SmallConvolution

from lth_runner.construct import expansion, paths, sums
from lth_runner.construct.expansion import expand
from lth_runner.construct.malach_pairs import MalachPairs
from lth_runner.construct.orseau import Orseau
from lth_runner.core.errors import ConfigError, DataError
from lth_runner.distributions.hyperbolic import Hyperbolic
from lth_runner.distributions.uniform import Uniform
from lth_runner.measure.approximation import weight_errors
from lth_runner.networks.activations import RELU
from lth_runner.networks.fc import FullyConnected
from lth_runner.networks.interface import Architecture, filled
from lth_runner.networks.layers import WeightLayer, weight_layers
from lth_runner.networks.two_layer_expansion import TwoLayerExpansion
from lth_runner.problem import Method
from lth_runner.subset_sum.exhaustive import Exhaustive
from lth_runner.subset_sum.interface import Subsets
from lth_runner.ticket import masked_tensor
from lth_runner.ticket.file import read_ticket, save_ticket
from lth_runner.ticket.mask import Mask
from lth_runner.ticket.materialise import materialise
from lth_runner.ticket.ticket import Ticket

EXHAUSTIVE = Exhaustive(max_n=16)


def dense_arrays(ticket: Ticket) -> dict[str, np.ndarray]:
    """The masked random tensors, whole."""
    return {name: ticket.random[name].draw(ticket.seed) * mask.dense() for name, mask in ticket.masks.items()}


def forward_of(effective: dict[str, np.ndarray], network: Architecture, x: torch.Tensor) -> torch.Tensor:
    """What the target would compute with the effective weights: W+ relu(x) - W- relu(-x) + bias, layer by layer."""
    layers = {layer.name: layer for layer in weight_layers(network)}
    for name, part in network.module().named_children():
        if name not in layers:
            x = part(x)
            continue
        weights = [torch.from_numpy(weight) for weight in effective[layers[name].weight]]
        weights += [torch.zeros_like(weights[0])] * (2 - len(weights))
        bias = layers[name].bias
        total = apply(layers[name], weights[0], x.relu()) - apply(layers[name], weights[1], (-x).relu())
        if bias:
            total += torch.from_numpy(effective[bias][0]).view(1, -1, *[1] * (x.ndim - 2))
        x = total
    return x


def apply(layer: WeightLayer, weight: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
    if isinstance(layer.part, torch.nn.Linear):
        return x @ weight.T
    return torch.nn.functional.conv2d(x, weight, stride=layer.part.stride, padding=layer.part.padding)  # pyright: ignore


NETWORKS = st.one_of(
    st.builds(
        FullyConnected,
        inputs=st.integers(1, 5),
        hidden=st.integers(1, 19),
        outputs=st.integers(1, 4),
        depth=st.integers(1, 3),
        biases=st.booleans(),
    ),
    st.builds(SmallConvolution, biases=st.booleans()),
)
CHOICES = st.fixed_dictionaries(
    {
        "n": st.integers(1, 6),
        "max_paths": st.integers(1, 8),
        "halves": st.sampled_from(expansion.HALVES),
        "signs": st.sampled_from(expansion.SIGNS),
        "gains": st.sampled_from(expansion.GAINS),
        "objective": st.sampled_from(["closest", "sparsest"]),
    }
)


@pytest.mark.slow
@given(network=NETWORKS, choices=CHOICES, seed=st.integers(0, 2**32), zeros=st.sampled_from([0.0, 0.5, 1.0]))
@settings(max_examples=60, deadline=None)
def test_network_weights_and_certified_sums_agree(
    network: Architecture, choices: dict[str, Any], seed: int, zeros: float
) -> None:
    certified: list[tuple[np.ndarray, float]] = []
    made = pensia(solver=EXHAUSTIVE, **choices)
    posed = problem(network, seed, zeros=zeros)
    ticket = expand(posed, Memory(), made._layout(), "", keeping(made._choose, certified)).ticket
    assert posed.target is not None and isinstance(ticket.architecture, TwoLayerExpansion)

    assert {epsilon for _, epsilon in certified} <= {0.01 / gain for gain in ticket.architecture.gains.values()}
    effective = materialise(ticket).readings
    unserved = [w for layer in weight_layers(network) for w in unserved_targets(ticket, layer, posed.target)]
    found = [
        np.abs(reading - posed.target[name]) / ticket.architecture.gains[name.replace("bias", "weight")]
        for name, readings in effective.items()
        for reading in (readings[:1] if name.endswith("bias") else readings)
    ]
    sums = np.sort(np.concatenate([error for error, _ in certified] + [np.array(unserved)]))
    np.testing.assert_allclose(np.sort(np.concatenate([f.ravel() for f in found])), sums, rtol=0, atol=1e-14)

    x = images(network, seed)
    output = materialise(ticket).module(torch.float64)(x)
    scale = max(1.0, float(output.abs().max()))
    dense = filled(ticket.architecture, dense_arrays(ticket), torch.float64)
    torch.testing.assert_close(output, dense(x), rtol=0, atol=1e-12 * scale)
    torch.testing.assert_close(output, forward_of(effective, network, x), rtol=0, atol=1e-12 * scale)


def keeping(choose: sums.Choose, certified: list[tuple[np.ndarray, float]]) -> sums.Choose:
    def chosen(values: np.ndarray, targets: np.ndarray, epsilon: float) -> Subsets:
        answer = choose(values, targets, epsilon)
        certified.append((answer.error, epsilon))
        return answer

    return chosen


def unserved_targets(ticket: Ticket, layer: WeightLayer, target: dict[str, np.ndarray]) -> list[float]:
    """|w| / gain of the weights whose coordinate has no hidden neuron of the right sign: no sum was sought for them."""
    network = ticket.architecture
    assert isinstance(network, TwoLayerExpansion)
    split = dense_arrays(ticket)[f"{layer.name}.split.weight"]
    split = split.reshape(split.shape[:2])
    missing: list[float] = []
    for sign in (1, -1) if layer.weight in network.twins else (1,):
        for coordinate in np.flatnonzero(~(sign * split > 0).any(axis=0)):
            if coordinate < layer.inputs:
                missing += list(np.abs(target[layer.weight][:, coordinate]).ravel() / network.gains[layer.weight])
            elif layer.bias and sign == 1:
                missing += list(np.abs(target[layer.bias]) / network.gains[layer.weight])
    return missing


@pytest.mark.parametrize("biases", [False, True])
@pytest.mark.parametrize("network", ["fc", "convolution"])
def test_with_enough_neurons_the_network_computes_its_target(network: str, biases: bool) -> None:
    fc = FullyConnected(inputs=6, hidden=7, outputs=3, depth=3, biases=biases)
    posed = problem(fc if network == "fc" else SmallConvolution(biases=biases), seed=4, size=0.15)
    assert posed.network is not None and posed.target is not None
    ticket = pensia(n=32, signs="as_drawn").find(posed, Memory()).ticket
    x = images(posed.network, 0)
    output, wanted = (
        m(x) for m in (materialise(ticket).module(torch.float64), filled(posed.network, posed.target, torch.float64))
    )
    assert float((output - wanted).abs().max()) < 1e-3 * float(wanted.abs().max())


def test_the_masks_are_those_of_the_theorem() -> None:
    posed = problem(FullyConnected(inputs=4, hidden=9, outputs=2, depth=2, biases=False), seed=1)
    ticket = pensia(n=8).find(posed, Memory()).ticket
    assert {name: mask.shape for name, mask in ticket.masks.items()} == {
        "fc1.split.weight": (2 * 8 * 4, 4),
        "fc1.sum.weight": (9, 2 * 8 * 4),
        "fc2.split.weight": (2 * 8 * 9, 9),
        "fc2.sum.weight": (2, 2 * 8 * 9),
    }
    assert ticket.drawn() == ticket.offered() == 64 * 4 + 9 * 64 + 144 * 9 + 2 * 144
    weight, mask = ticket.random["fc2.split.weight"].draw(ticket.seed), ticket.masks["fc2.split.weight"].dense()
    own = np.arange(144)[:, None] // 16 == np.arange(9)
    right_sign = np.where(np.arange(144)[:, None] % 16 < 8, weight > 0, weight < 0)
    np.testing.assert_array_equal(mask, own & right_sign)
    assert not ticket.masks["fc2.sum.weight"].dense()[:, ~mask.any(axis=1)].any()  # no path through a pruned neuron


@pytest.mark.parametrize("halves", expansion.HALVES)
def test_without_negative_inputs_the_twin_is_not_needed(halves: str) -> None:
    network = FullyConnected(inputs=4, hidden=6, outputs=2, depth=3, biases=True)
    ticket = pensia(halves=halves).find(problem(network, seed=1), Memory()).ticket
    assert isinstance(
        ticket.architecture, TwoLayerExpansion
    )  # nothing is known of the images, so the first layer keeps its twin
    assert ticket.architecture.twins == ["fc1.weight", *(["fc2.weight", "fc3.weight"] if halves == "both" else [])]


def test_memory_blocks_do_not_change_the_ticket(monkeypatch: pytest.MonkeyPatch) -> None:
    posed = problem(FullyConnected(inputs=3, hidden=19, outputs=9, depth=2, biases=True), seed=2)
    whole = pensia().find(posed, Memory()).ticket
    monkeypatch.setattr(sums, "BLOCK", 1)
    monkeypatch.setattr(expansion, "BLOCK", 1)
    blocks = pensia().find(posed, Memory()).ticket
    for name, mask in whole.masks.items():
        np.testing.assert_array_equal(mask.dense(), blocks.masks[name].dense())
    assert posed.network is not None
    x, before = images(posed.network, 0), materialise(whole).readings
    output = materialise(whole).module(torch.float64)(x)
    monkeypatch.setattr(masked_tensor, "CHUNK", 1)
    torch.testing.assert_close(materialise(whole).module(torch.float64)(x), output)
    for name, weight in materialise(whole).readings.items():
        np.testing.assert_allclose(weight, before[name], rtol=0, atol=1e-14)


def test_gains_bring_large_weights_within_reach_and_are_facts() -> None:
    posed = problem(FullyConnected(inputs=3, hidden=4, outputs=2, depth=2, biases=False), seed=3, size=30)
    fitted, plain = pensia(n=20).find(posed, Memory()).ticket, pensia(n=20, gains="none").find(posed, Memory()).ticket
    assert posed.target is not None
    assert fitted.facts["gain/fc1.weight"] > 10 and not [fact for fact in plain.facts if fact.startswith("gain")]
    for name, weight in posed.target.items():  # out of reach, a weight is missed by about its size
        near, far = (float(np.median(np.abs(materialise(t).readings[name] - weight))) for t in (fitted, plain))
        assert near < 1 < 5 < far


def test_matched_gains_give_sums_the_size_of_the_weights() -> None:
    """Of U[-1, 1]: about half of the neurons serve a sign, and E[(a b)^2 | a > 0] = 1 / 9."""
    network = FullyConnected(inputs=30, hidden=20, outputs=2, depth=2, biases=False)
    posed = problem(network, seed=3, size=0.01)
    assert posed.target is not None
    matching = replace(PLAIN_PATHS["matching"], reach=None)
    fitted, matched = (
        pensia(n=16, signs="as_drawn", gains=gains, matching=matching).find(posed, Memory()).ticket
        for gains in ("fitted", "matched")
    )
    assert not [fact for fact in fitted.facts if fact.startswith("gain")], "all weights are within reach"
    for name, weight in posed.target.items():
        expected = 1.7 * np.sqrt(np.mean(weight**2)) / np.sqrt(16 / 9 / 4)
        assert matched.facts[f"gain/{name}"] == pytest.approx(expected, rel=1e-3)
        near, far = (float(np.median(np.abs(materialise(t).readings[name] - weight))) for t in (matched, fitted))
        assert near < 0.3 * far
    layer = weight_layers(network)[0]
    both, reached = (
        paths.products(LAW, LAW, 32, 24, True, RELU.behaviour())[1],
        paths.reach(LAW, LAW, 32, 24, True, RELU.behaviour()),
    )
    assert reached == 0.5 * both
    assert paths.LayerTargets.of(layer, posed.target).size == pytest.approx(0.01, rel=0.1)


def test_no_sum_uses_more_paths_than_allowed() -> None:
    network = FullyConnected(inputs=3, hidden=4, outputs=2, depth=2, biases=False)
    ticket = pensia(n=12, max_paths=3).find(problem(network, seed=3), Memory()).ticket
    split, total = (ticket.masks[f"fc1.{which}.weight"].dense() for which in ("split", "sum"))
    assert split.reshape(3, 2, 12, 3).any(axis=3).sum(axis=2).max() == 3  # (coordinate, sign)
    assert total.reshape(4, 3, 2, 12).sum(axis=3).max() <= 3


def test_the_ticket_survives_its_file(tmp_path: Path) -> None:
    posed = problem(FullyConnected(inputs=3, hidden=4, outputs=2, depth=2, biases=True), seed=3)
    ticket = pensia().find(posed, Memory()).ticket
    save_ticket(ticket, tmp_path / "ticket.safetensors")
    found = read_ticket(tmp_path / "ticket.safetensors")
    assert found.architecture == ticket.architecture
    for name, weight in materialise(ticket).readings.items():
        np.testing.assert_array_equal(materialise(found).readings[name], weight)


def test_masks_that_are_no_gadget_are_refused() -> None:
    posed = problem(FullyConnected(inputs=3, hidden=4, outputs=2, depth=1, biases=True), seed=3)
    ticket = pensia().find(posed, Memory()).ticket
    every = {name: Mask.pack(np.ones(mask.shape, bool)) for name, mask in ticket.masks.items()}
    with pytest.raises(DataError, match="several edges"):
        _ = materialise(replace(ticket, masks=every)).readings
    x = images(FullyConnected(inputs=3, hidden=4, outputs=2, depth=1, biases=True), 0)
    whole = replace(ticket, masks=every)  # yet it is a network, and its forward pass is that of the dense arrays
    torch.testing.assert_close(
        materialise(whole).module(torch.float64)(x), filled(ticket.architecture, dense_arrays(whole), torch.float64)(x)
    )
    other = TwoLayerExpansion(
        target=FullyConnected(inputs=3, hidden=4, outputs=3, depth=1, biases=True),
        n=5,
        twins=["fc1.weight"],
        gains={"fc1.weight": 1.0},
    )
    with pytest.raises(DataError, match="has shape"):
        replace(ticket, architecture=other)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"halves": "all"}, "halves must be one of"),
        ({"signs": "drawn"}, "signs must be one of"),
        ({"gains": "all"}, "gains must be one of"),
        ({"max_paths": 0}, "max_paths must be at least 1"),
        ({"n": 0}, "n must be at least 1"),
        ({"objective": "best"}, "objective must be one of"),
    ],
)
def test_settings_are_checked(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        pensia(**change)


@pytest.mark.parametrize(
    "method",
    [
        MalachPairs(stored=[], epsilon=0.01, c=3, n=300, halves="both", signs="as_drawn", distribution=LAW),
        Orseau(
            stored=[],
            epsilon=0.01,
            c=3,
            n=300,
            halves="both",
            signs="as_drawn",
            distribution=Hyperbolic(low=0.01, high=1.0),
        ),
    ],
)
def test_other_choices_in_the_same_network_come_close_too(method: Method) -> None:
    posed = problem(SmallConvolution(biases=True), seed=5, size=0.15)
    ticket = method.find(posed, Memory()).ticket
    assert posed.target is not None and posed.network is not None
    found = weight_errors(materialise(ticket).readings, posed.target, 0.01)
    assert found["weight_error_median"] < 0.002
    x = images(posed.network, 0)
    torch.testing.assert_close(
        materialise(ticket).module(torch.float64)(x), forward_of(materialise(ticket).readings, posed.network, x)
    )
    most = max(int(mask.dense().sum(axis=1).max()) for name, mask in ticket.masks.items() if "fc.sum" in name)
    assert most <= 2 * 4 + 1 if isinstance(method, MalachPairs) else most > 2 * 4 + 1  # 4 inputs, both signs, a bias


def test_problems_it_cannot_take_are_refused() -> None:
    posed = problem(FullyConnected(inputs=3, hidden=4, outputs=2, depth=2, biases=False), seed=3)
    with pytest.raises(ConfigError, match="add target=trained"):
        pensia().find(replace(posed, target=None), Memory())
    with pytest.raises(ConfigError, match="one sign only"):
        pensia(distribution=Uniform(low=0.1, high=1.0)).find(posed, Memory())
