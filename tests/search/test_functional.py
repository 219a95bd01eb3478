"""Functional score training: networks trained together against each alone, and any module against the definition."""

import copy
from dataclasses import fields, replace
from typing import Any

import pytest
import torch
from modules import MODULES, inputs_of
from oracle import Oracle
from searching import EDGE_POPUP, scored_lenet5

from lth_runner.core.errors import ConfigError
from lth_runner.distributions.uniform import Uniform
from lth_runner.networks.fc import FullyConnected
from lth_runner.networks.lenet5 import LeNet5
from lth_runner.networks.redundant import RedundantFullyConnected
from lth_runner.search.biprop import Biprop
from lth_runner.search.fast_cpu.training import ScoreTraining
from lth_runner.search.functional import FunctionalTraining
from lth_runner.search.gem_miner import GemMiner
from lth_runner.search.scored import ScoredNetwork
from lth_runner.search.together import why_apart
from lth_runner.training.fit import reproducible

GENERATOR = torch.Generator().manual_seed(0)
SMALL = [(torch.randn(8, 1, 6, 6, generator=GENERATOR), torch.arange(8)) for _ in range(5)]
LARGE = [(torch.randn(8, 1, 28, 28, generator=GENERATOR), torch.arange(8)) for _ in range(5)]
DENSITIES = (0.0, 0.05, 0.5, 1.0)
SIZES = {"inputs": 36, "hidden": 20, "outputs": 10, "depth": 3}
PLAIN = FullyConnected(**SIZES, biases=True)
LINEAR = RedundantFullyConnected(**SIZES, redundancy=3, relu=False)
RELU = RedundantFullyConnected(**SIZES, redundancy=3, relu=True)
CONVOLUTIONS = LeNet5(hidden=(12,), outputs=10, redundancy=0, relu=False, biases=True)
COMMON = {field.name: getattr(EDGE_POPUP, field.name) for field in fields(EDGE_POPUP)}
RULES = {
    "edge_popup": EDGE_POPUP,
    "biprop": Biprop(**COMMON),
    "gem_miner": GemMiner(**{**COMMON, "scores": Uniform(low=0.0, high=1.0)}, penalty=1e-3, period=1),
}
SGD: dict[str, Any] = {"rate": 0.1, "momentum": EDGE_POPUP.momentum, "decay": EDGE_POPUP.weight_decay}
WITHOUT_GPU = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
DEVICES = pytest.mark.parametrize("device", ["cpu", pytest.param("cuda", marks=[pytest.mark.gpu, WITHOUT_GPU])])


def network(kind: Any, density: float, seed: int, scope: str = "layer") -> ScoredNetwork:
    """A network with scores in [0, 1], whose biases are the same for every seed."""
    module, generator, scores = kind.module(), torch.Generator().manual_seed(seed), {}
    for name, value in module.requires_grad_(False).eval().named_parameters():
        if name.endswith("bias"):
            value.fill_(0.1)
        else:
            value.normal_(0, 0.3, generator=generator)
            scores[name] = torch.rand(value.shape, generator=generator)
    return ScoredNetwork(module=module, scores=scores, density=density, scope=scope)


@pytest.mark.slow
@pytest.mark.parametrize("kind", [PLAIN, LINEAR, RELU, CONVOLUTIONS])
@pytest.mark.parametrize("scope", ["layer", "global"])
@pytest.mark.parametrize("rule", RULES.values(), ids=RULES)
@DEVICES
def test_together_as_alone(kind: Any, scope: str, rule: Any, device: str) -> None:
    """Networks differ in weights, scores and density."""
    with reproducible():
        check_together(kind, scope, rule, device)


def check_together(kind: Any, scope: str, rule: Any, device: str) -> None:
    networks = [network(kind, density, seed, scope) for seed, density in enumerate(DENSITIES)]
    alone = [rule.trainer([one], "cpu") for one in networks]
    together = FunctionalTraining(networks, rule, device)
    for run, training in enumerate(alone):
        masks = together.masks(run)
        assert all(torch.equal(masks[name].cpu(), mask) for name, mask in training.masks(0).items())
    batches = LARGE if kind is CONVOLUTIONS else SMALL
    for epoch in (1, 2):
        for images, labels in batches:
            losses = together.losses(images.to(device), labels.to(device), rate=0.1)
            for run, training in enumerate(alone):
                loss = training.step(images, labels, rate=0.1)
                torch.testing.assert_close(losses[run].cpu(), loss, atol=1e-5, rtol=1e-4)
        for training in (*alone, together):
            training.end_epoch(epoch)
    for run, training in enumerate(alone):
        scores = training.state()["scores"].view(-1)
        torch.testing.assert_close(together.scores[run].cpu(), scores, atol=1e-5, rtol=1e-4)
        outputs = training.outputs(batches[0][0]).view(len(batches[0][0]), -1)
        torch.testing.assert_close(together.outputs(batches[0][0].to(device))[run].cpu(), outputs, atol=1e-4, rtol=1e-3)
    measured = together.accuracies(batches[0][0].to(device), batches[0][1].to(device), batch=3)
    assert measured == [training.accuracies(*batches[0], batch=8)[0] for training in alone]


@pytest.mark.slow
@pytest.mark.parametrize("rule", RULES.values(), ids=RULES)
@pytest.mark.parametrize("build", MODULES.values(), ids=MODULES)
def test_any_module_together_as_alone(build: Any, rule: Any) -> None:
    """Statistics of batch norms included, each network its own; and what is torch's alone does not warn."""
    networks = [any_network(build, density) for density in (0.2, 0.7)]
    names, batches = networks[0].scores.keys(), inputs_of(build)
    assert why_apart(networks[0].module, names, batches[0][0]) is None
    alone, together = [rule.trainer([one], "cpu") for one in networks], FunctionalTraining(networks, rule, "cpu")
    for batch in batches:
        losses = together.losses(*batch, rate=0.1)
        for run, training in enumerate(alone):
            torch.testing.assert_close(losses[run], training.step(*batch, rate=0.1), atol=1e-5, rtol=1e-4)
    for run, training in enumerate(alone):
        torch.testing.assert_close(together.scores[run], training.state()["scores"].view(-1), atol=1e-5, rtol=1e-4)
        for name, buffer in training.statistics(0).items():
            torch.testing.assert_close(together.statistics(run)[name], buffer, atol=1e-5, rtol=1e-4)
        outputs = training.outputs(batches[0][0]).view(len(batches[0][0]), -1)
        torch.testing.assert_close(together.outputs(batches[0][0])[run], outputs, atol=1e-4, rtol=1e-3)


@pytest.mark.slow
@pytest.mark.parametrize("build", MODULES.values(), ids=MODULES)
@pytest.mark.parametrize("binary", [False, True])
@pytest.mark.parametrize("scope", ["layer", "global"])
def test_any_module_trains_as_defined(build: Any, binary: bool, scope: str) -> None:
    """Both paths: masks to the bit, losses and scores up to rounding, statistics of batch norms as the module's own."""
    net = replace(any_network(build, 0.4), scope=scope)
    defined = replace(net, module=copy.deepcopy(net.module))
    oracle = Oracle(defined, binary=binary, **SGD)
    compiled = ScoreTraining(net, SGD["momentum"], SGD["decay"], binary=binary)
    functional = FunctionalTraining([net], RULES["biprop" if binary else "edge_popup"], "cpu")
    for batch in inputs_of(build):
        loss = oracle.step(*batch)
        assert compiled.step(*batch, rate=0.1).item() == pytest.approx(loss, rel=1e-4)
        assert functional.step(*batch, rate=0.1).item() == pytest.approx(loss, rel=1e-4)
    for name, mask in oracle.masks().items():
        assert torch.equal(compiled.masks()[name], mask)
        assert torch.equal(functional.masks()[name], mask)
    assert torch.equal(compiled.scores, functional.scores[0])
    state = defined.module.state_dict()
    for training in (compiled, functional):
        for name, buffer in training.statistics().items():
            torch.testing.assert_close(buffer, state[name], atol=1e-6, rtol=1e-4)
    assert all(not part.training for part in net.module.modules() if not isinstance(part, torch.nn.BatchNorm2d))


def any_network(build: Any, density: float) -> ScoredNetwork:
    """A module of the tests, with random weights and scores in [0, 1]; batch norms gather statistics."""
    module, generator, scores = build().requires_grad_(False).eval(), torch.Generator().manual_seed(3), {}
    for name, value in module.named_parameters():
        if value.ndim >= 2:
            value.normal_(0, 0.3, generator=generator)
            scores[name] = torch.rand(value.shape, generator=generator)
        elif "bias" in name:
            value.fill_(0.1)
    for part in module.modules():
        part.train(isinstance(part, torch.nn.BatchNorm2d))
    return ScoredNetwork(module=module, scores=scores, density=density, scope="layer")


@pytest.mark.slow
def test_the_functional_path_is_the_definition() -> None:
    for redundancy, relu in ((0, False), (3, False), (3, True)):
        net = scored_lenet5(redundancy, relu)
        oracle, training = Oracle(net, **SGD), FunctionalTraining([net], EDGE_POPUP, "cpu")
        for batch in LARGE:
            assert training.step(*batch, rate=0.1).item() == pytest.approx(oracle.step(*batch), rel=1e-4)
        for name, mask in oracle.masks().items():
            assert torch.equal(training.masks()[name], mask)


@pytest.mark.slow
@pytest.mark.parametrize("rule", RULES.values(), ids=RULES)
@pytest.mark.parametrize("build", [MODULES["residual"], RELU.module])
def test_a_copy_of_the_state_is_a_checkpoint(rule: Any, build: Any) -> None:
    """Batch norms included, whose statistics go on too."""
    batches = SMALL if build == RELU.module else inputs_of(build)
    through, first, resumed = (
        FunctionalTraining([any_network(build, density) for density in DENSITIES], rule, "cpu") for _ in range(3)
    )

    def advance(training: FunctionalTraining, epochs: range) -> None:
        for epoch in epochs:
            for batch in batches:
                training.step(*batch, rate=0.1)
            training.end_epoch(epoch)

    advance(through, range(1, 4))
    advance(first, range(1, 2))
    resumed.load(first.state())
    advance(resumed, range(2, 4))
    for name, tensor in through.state().items():
        assert torch.equal(tensor, resumed.state()[name])
    for run in range(len(DENSITIES)):
        for name, buffer in through.statistics(run).items():
            assert torch.equal(buffer, resumed.statistics(run)[name])


def test_networks_are_left_alone() -> None:
    networks = [network(LINEAR, density, 1) for density in DENSITIES]
    before = [copy.deepcopy(one.module.state_dict()) for one in networks]
    FunctionalTraining(networks, EDGE_POPUP, "cpu").step(*SMALL[0], rate=0.1)
    for one, state in zip(networks, before, strict=True):
        assert all(torch.equal(value, state[name]) for name, value in one.module.state_dict().items())


def test_networks_that_cannot_be_trained_together_are_refused() -> None:
    scopes = [network(LINEAR, 0.5, 1, scope) for scope in ("layer", "global")]
    biases = [network(PLAIN, 0.5, seed) for seed in (1, 2)]
    biases[1].module.get_parameter("fc1.bias").zero_()
    for networks, words in ((scopes, "one scope"), (biases, "equal biases")):
        with pytest.raises(ConfigError, match=words):
            FunctionalTraining(networks, EDGE_POPUP, "cpu")


class _Undecided(torch.nn.Module):
    """Its way depends on its numbers."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = torch.nn.Linear(36, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.layer(x.flatten(1))
        return y if float(y.sum()) > 0 else -y


def test_why_a_module_is_called_once_for_each_network_is_said() -> None:
    reason = why_apart(_Undecided(), ["layer.weight"], SMALL[0][0])
    assert reason is not None
    assert "item()" in reason


def test_a_parameter_that_is_not_used_keeps_its_weight_decay_alone() -> None:
    module = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(36, 10)).requires_grad_(False)
    module.register_parameter("spare", torch.nn.Parameter(torch.ones(2, 2), requires_grad=False))
    scores = {"1.weight": torch.rand(10, 36), "spare": torch.ones(2, 2)}
    net = ScoredNetwork(module=module, scores=scores, density=0.5, scope="layer")
    for training in (FunctionalTraining([net], EDGE_POPUP, "cpu"), ScoreTraining(net, 0.9, 5e-4, binary=False)):
        training.step(*SMALL[0], rate=0.1)
        first = training.state()["scores"].view(-1)[net.columns["spare"]]
        torch.testing.assert_close(first, torch.full((4,), 1 - 0.1 * 5e-4))
