"""Block tickets: exact codewords, errors as the law of their code has them, and a network that is what it says."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from plain_choice import ONE_BY_ONE
from recorders import Bar, Memory
from small_networks import SMALL, dataset, inputs, target

import lth_runner as lth
from lth_runner.construct import block_code
from lth_runner.construct.block import Block
from lth_runner.construct.block_code import BlockCoder, Codebooks, Scaling, block_by_block
from lth_runner.construct.codebook import Codebook, along_curve, check_vectors, signed_sums
from lth_runner.construct.compensation import compensated
from lth_runner.construct.second_moments import calibrated, calibration_inputs, second_moments
from lth_runner.core.errors import ConfigError
from lth_runner.core.streams import Streams
from lth_runner.data.interface import moved
from lth_runner.distributions.kaiming import KaimingUniform
from lth_runner.distributions.orthonormal import Orthonormal
from lth_runner.distributions.target_range import TargetRange
from lth_runner.distributions.uniform import Uniform
from lth_runner.networks.block_expansion import BlockExpansion, BlockLayer
from lth_runner.networks.interface import Architecture
from lth_runner.problem import Offers, Problem
from lth_runner.ticket.file import save_ticket
from lth_runner.ticket.materialise import materialise
from lth_runner.ticket.source import Stored
from lth_runner.ticket.ticket import Ticket

METHOD = Block(
    n=10, block=4, factor=1.2, group=None, escape=4.0, rotate=False, stored=[], distribution=Orthonormal(), **ONE_BY_ONE
)
PLAIN = Scaling(factor=1.2, group=None, escape=None)


def problem(name: str) -> Problem:
    small = SMALL[name]
    return Problem(network=small.make(), target=target(small), data=dataset(small), streams=Streams(0), device="cpu")


def random_matrix(n: int, block: int, seed: int = 0) -> np.ndarray:
    return Orthonormal().tensor(np.random.default_rng(seed).random((n, block)))


def test_signed_sums_are_all_of_them_and_their_bits_say_which() -> None:
    book = Codebook(random_matrix(5, 3))
    signs = 2.0 * book.bits(np.arange(32, dtype=np.uint32)) - 1
    assert len({tuple(row) for row in signs.tolist()}) == 32
    np.testing.assert_allclose(book.points, signs @ random_matrix(5, 3), atol=1e-14)


@pytest.mark.parametrize(("n", "block"), [(8, 3), (11, 5), (6, 1), (7, 7)])
def test_the_nearest_codeword_is_the_nearest(n: int, block: int) -> None:
    rng = np.random.default_rng(n)
    book, targets = Codebook(random_matrix(n, block)), rng.normal(size=(300, block))
    every = ((targets[:, None] - signed_sums(random_matrix(n, block))) ** 2).sum(-1)
    found = book.nearest(targets, 1)
    np.testing.assert_allclose(every[np.arange(300), found], every.min(1), rtol=0, atol=1e-14)
    np.testing.assert_array_equal(found, np.concatenate([book.nearest(row[None], 1) for row in targets]))


def test_the_curve_takes_targets_of_any_kind() -> None:
    for targets in (np.zeros((3, 2)), np.full((3, 2), 1e30), np.random.default_rng(0).normal(size=(3, 70))):
        assert along_curve(targets).shape == (3,)


# mean squared error over variance of normal weights at 2, 3 and 4 bits: the mean over seeds of an independent
# computation, and a margin for the seed and for 200,000 weights
TABLE = [
    pytest.param(16, 8, 0.1015, 0.008),
    pytest.param(18, 6, 0.0275, 0.0035),
    pytest.param(20, 5, 0.0074, 0.0004, marks=pytest.mark.slow),
]


@pytest.mark.parametrize(("n", "block", "expected", "margin"), TABLE)
def test_the_error_of_normal_weights(n: int, block: int, expected: float, margin: float) -> None:
    weights = np.random.default_rng(1).normal(0, 0.05, (500, 408))
    orthonormal, independent = (
        relative_error(weights, matrix, block)
        for matrix in (random_matrix(n, block), np.random.default_rng(0).uniform(-1, 1, (n, block)))
    )
    assert abs(orthonormal - expected) < margin
    assert independent > orthonormal


def relative_error(weights: np.ndarray, matrix: np.ndarray, block: int) -> float:
    coder = BlockCoder(weights, np.arange(weights.shape[1]), Codebooks(matrix, 1), block, PLAIN, Bar())
    found = block_by_block(weights, coder, block)
    return float(((found - weights) ** 2).sum() / (weights**2).sum())


@pytest.mark.parametrize("escape", [None, 2.0])
@pytest.mark.parametrize("group", [None, 8])
@pytest.mark.parametrize("inputs", [3, 4, 22, 24])
def test_what_is_coded_is_what_the_code_says(
    monkeypatch: pytest.MonkeyPatch, inputs: int, group: int | None, escape: float | None
) -> None:
    weights = np.random.default_rng(2).standard_t(3, (9, inputs))
    scaling, random = Scaling(factor=1.1, group=group, escape=escape), random_matrix(6, 4)
    answers = []
    for together in (1, 20, 10**6):
        monkeypatch.setattr(block_code, "TOGETHER", together)
        bar = Bar()
        coder = BlockCoder(weights, np.arange(inputs), Codebooks(random, 1), 4, scaling, bar)
        answers.append((block_by_block(weights, coder, 4), coder.code()))
        assert bar.done == weights.size
    found, code = answers[0]
    for other, again in answers[1:]:
        np.testing.assert_array_equal(found, other)
        np.testing.assert_array_equal(code.mask.bits, again.mask.bits)
        np.testing.assert_array_equal(code.place, again.place)
    groups = np.arange(-(-inputs // 4)) * 4 // (group or inputs)
    signs = 2.0 * code.mask.dense() - 1
    expected = (code.scale.astype(float)[:, groups, None] * (signs @ random)).reshape(9, -1)[:, :inputs]
    expected = np.ascontiguousarray(expected)
    expected.reshape(-1)[code.place] += code.value
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-13)
    limit = np.inf if escape is None else escape * 1.4826 * np.median(np.abs(weights), axis=1, keepdims=True)
    np.testing.assert_array_equal(code.place, np.flatnonzero(np.abs(weights) > limit))
    assert (len(code.place) > 0) == (escape is not None)
    np.testing.assert_allclose(found.ravel()[code.place], weights.ravel()[code.place], rtol=1e-3)


def test_scales_are_those_of_the_weights_that_do_not_escape() -> None:
    weights = np.random.default_rng(3).normal(size=(4, 1000)) * np.array([[1e-3], [1.0], [50.0], [0.0]])
    weights[:3, 7] *= 1e3 / np.abs(weights[:3, 7])
    scales = Scaling(factor=1.2, group=None, escape=4.0).scales(weights, 1.0).astype(float)
    np.testing.assert_allclose(scales[:, 0], [1.2e-3, 1.2, 60.0, 0.0], rtol=0.08)
    sparse = np.zeros((1, 100))
    sparse[0, :10] = 1.0
    assert Scaling(factor=1.0, group=None, escape=4.0).limits(sparse) == pytest.approx(4 * 0.1**0.5)
    with pytest.raises(ConfigError, match="float16"):
        Scaling(factor=1.2, group=None, escape=None).scales(1e6 * weights, 1.0)


def ticket(name: str, **changes: Any) -> Ticket:
    return replace(METHOD, **changes).find(problem(name), Memory()).ticket


@pytest.mark.parametrize("name", ["fc", "conv", "language", "tied_layers", "convolutions"])
@pytest.mark.parametrize(("aware", "rotate"), [(False, False), (True, False), (False, True), (True, True)])
def test_the_network_is_the_targets_with_the_weights_that_are_read(name: str, aware: bool, rotate: bool) -> None:
    """The two layers compute what one with their readings does, and every block is the nearest for plain choices."""
    found = ticket(name, escape=2.0, group=8, rotate=rotate, compensate="inputs" if aware else "none")
    network = materialise(found)
    assert isinstance(found.architecture, BlockExpansion) and found.architecture.permuted == aware
    x = moved(inputs(SMALL[name], 5), torch.float64)
    own = network.module(torch.float64)
    expected = network.module(torch.float64)
    for layer in found.architecture.layers:
        part = expected.get_submodule(layer.name)
        assert isinstance(part, BlockLayer)
        plain = layer.part.to_empty(device="cpu").double().requires_grad_(False)
        plain.weight.copy_(torch.from_numpy(part.matrix()).reshape(plain.weight.shape))
        if part.bias is not None and plain.bias is not None:
            plain.bias.copy_(part.bias)
        expected.set_submodule(layer.name, plain)
    torch.testing.assert_close(own(x), expected(x), rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize(
    ("name", "rotate"),
    [("fc", False), ("conv", False), ("vit", False), ("language", False), ("fc", True), ("vit", True)],
)
def test_compensation_lowers_the_error_of_the_outputs_of_the_first_layer(name: str, rotate: bool) -> None:
    """On the inputs that calibrate, for which it is meant."""
    posed = problem(name)
    assert posed.target is not None and posed.data is not None
    errors = []
    for compensate in ("none", "inputs"):
        method = replace(METHOD, compensate=compensate, rotate=rotate)
        found = method.find(posed, Memory()).ticket
        layer = found.architecture.layers[0] if isinstance(found.architecture, BlockExpansion) else None
        assert layer is not None
        error = (materialise(found).readings[layer.weight][0] - posed.target[layer.weight]).reshape(layer.outputs, -1)
        moments = moments_of(posed, layer)
        errors.append(np.einsum("oi,ij,oj", error, moments, error))
    assert errors[1] < 0.75 * errors[0]


def moments_of(posed: Problem, layer: Any) -> np.ndarray:
    given, real = calibration_inputs(posed, 4096)
    return second_moments(calibrated(posed), [layer], given, real, 100)[layer.weight][0]


def test_rotated_weights_are_coded_as_normal_ones_whatever_they_were() -> None:
    """As the law says of normal weights, where nearly all weights are 0: those would have a scale of 0 otherwise."""
    posed = problem("fc")
    rng = np.random.default_rng(4)
    sparse = {name: w * (rng.random(w.shape) < 0.05) for name, w in target(SMALL["fc"]).items()}
    found = replace(METHOD, rotate=True, escape=None).find(replace(posed, target=sparse), Memory()).ticket
    readings = materialise(found).readings
    layer = max(readings, key=lambda name: readings[name][0].size)
    error = np.linalg.norm(readings[layer][0] - sparse[layer]) / np.linalg.norm(sparse[layer])
    rows = rng.normal(size=(2000, 16))
    assert error == pytest.approx(relative_error(rows, random_matrix(10, 4), 4) ** 0.5, rel=0.25)


def test_compensated_blocks_are_what_the_definition_says() -> None:
    rng = np.random.default_rng(5)
    weights, x = rng.normal(size=(6, 10)), rng.normal(size=(40, 3)) @ rng.normal(size=(3, 10))
    columns = np.argsort(-(x**2).sum(0), kind="stable")
    coder = BlockCoder(weights, columns, Codebooks(random_matrix(8, 4), 1), 4, PLAIN, Bar())
    found = compensated(weights, x.T @ x, coder, block=4, order="inputs", damping=0.1)
    code = coder.code()
    signs = 2.0 * code.mask.dense() - 1
    expected = (code.scale.astype(float)[:, :, None] * (signs @ random_matrix(8, 4))).reshape(6, -1)[:, :10]
    np.testing.assert_allclose(found[:, code.columns], expected, atol=1e-13)


@pytest.mark.parametrize(
    "law", [Uniform(low=-3.0, high=3.0), KaimingUniform(gain=1.0, density=1.0), TargetRange(), Orthonormal()]
)
def test_the_scale_of_the_random_matrix_does_not_matter(law: Any) -> None:
    posed = problem("fc")
    assert posed.target is not None
    weights = materialise(replace(METHOD, distribution=law).find(posed, Memory()).ticket).readings
    for name, found in weights.items():
        assert np.linalg.norm(found[0] - posed.target[name]) < 0.6 * np.linalg.norm(posed.target[name])


def test_what_is_stored_and_what_is_not() -> None:
    found = ticket("conv", stored=["conv1.*"], escape=2.0)
    assert isinstance(found.architecture, BlockExpansion)
    names = [layer.name for layer in found.architecture.layers]
    assert "conv1" not in names and names
    for layer in names:
        assert isinstance(found.weights[f"{layer}.bias"], Stored)
        assert not isinstance(found.weights[f"{layer}.split.weight"], Stored)
        assert isinstance(found.weights[f"{layer}.scale"], Stored)
    assert found.facts["escaped"] == sum(found.architecture.escapes.values())
    every = {name: source.array.dtype for name, source in found.weights.items() if isinstance(source, Stored)}
    assert {dtype for name, dtype in every.items() if "scale" in name or "value" in name} == {np.dtype(np.float16)}


@pytest.mark.parametrize("name", ["fc", "conv", "resnet"])
def test_what_is_offered_is_what_the_masks_have(name: str) -> None:
    found = ticket(name)
    assert METHOD.offered(SMALL[name].make()) == sum(mask.size for mask in found.masks.values())
    assert isinstance(METHOD, Offers)


def test_grouped_convolutions_are_stored_and_said_so() -> None:
    memory = Memory()
    found = METHOD.find(problem("convolutions"), memory).ticket
    assert any("grouped convolutions are stored: grouped, depthwise" in line for line in memory.said)
    assert isinstance(found.weights["grouped.weight"], Stored)


@pytest.mark.parametrize("aware", [False, True])
def test_a_file_says_it_all_and_a_tampered_one_does_not_pass(tmp_path: Path, aware: bool) -> None:
    small, path = SMALL["conv"], tmp_path / "ticket.safetensors"
    method = replace(METHOD, escape=1.0, rotate=aware, compensate="inputs" if aware else "none")
    given = {"target": target(small), "data": dataset(small)}
    found = lth.find(method, small.make(), progress=False, **given)
    found.ticket.save(path)
    assert lth.verify(path, **given)
    own = found.ticket.ticket
    for name in ("scale", "escape_value", *(["columns"] if aware else [])):
        whole = f"{own.architecture.layers[0].name}.{name}"  # type: ignore[attr-defined]
        source = own.weights[whole]
        assert isinstance(source, Stored)
        array = source.array.copy()
        if name == "columns":
            array[:2] = array[1::-1]
        else:
            array.flat[0] *= 3
        changed = replace(own, weights={**own.weights, whole: replace(source, array=array)})
        save_ticket(changed, path)
        assert not lth.verify(path, **given)


def test_refusals() -> None:
    with pytest.raises(ConfigError, match=r"at most n=22 are searched: take a smaller n with a smaller method\.block"):
        check_vectors(23)
    for changes, said in [
        ({"group": 6}, "group must be a multiple of block=4, got 6: take 4"),
        ({"group": 2}, "group must be at least 4"),
        ({"factor": 0}, "factor must be above 0"),
        ({"escape": -1.0}, "escape must be above 0"),
        ({"compensate": "maybe"}, "compensate must be one of none, inputs"),
        ({"n": 30}, "at most n=22"),
    ]:
        with pytest.raises(ConfigError, match=said):
            replace(METHOD, **changes)
    with pytest.raises(ConfigError, match="escapes must name weight layers of the target"):
        BlockExpansion(
            target=SMALL["fc"].make(), n=6, block=4, group=None, permuted=False, rotated=False, escapes={"fc9": 0}
        )
    network: Architecture = SMALL["fc"].make()
    with pytest.raises(ConfigError, match="orthonormal is for matrices of at least as many rows as columns"):
        replace(METHOD, n=3).find(replace(problem("fc"), network=network), Memory())
