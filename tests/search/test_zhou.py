"""Zhou et al.'s supermask: masks are drawn with the probabilities trained, and the ticket's is as asked for."""

import math
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from recorders import Memory
from searching import DATA, EDGE_POPUP, bits, check_cut_runs, problem, scored_lenet5
from torch.func import functional_call
from torch.nn.functional import cross_entropy

from lth_runner.core.errors import ConfigError
from lth_runner.core.streams import Streams
from lth_runner.distributions.constant import Constant
from lth_runner.search.functional import FunctionalTraining
from lth_runner.search.scored import views
from lth_runner.search.zhou import Zhou
from lth_runner.ticket.file import read_ticket, save_ticket
from lth_runner.ticket.materialise import materialise

COMMON = {field.name: getattr(EDGE_POPUP, field.name) for field in fields(EDGE_POPUP)}
COMMON |= {"density": 0.5, "scores": Constant(value=0.0), "learning_rate": 30.0, "weight_decay": 0.0}
RULE = Zhou(**COMMON, final="likeliest", rescaled=False)
GENERATOR = torch.Generator().manual_seed(0)
BATCHES = [(torch.randn(8, 1, 28, 28, generator=GENERATOR), torch.arange(8)) for _ in range(4)]


@pytest.mark.parametrize("rescaled", [False, True])
def test_steps_are_those_of_autograd_through_the_probability(rescaled: bool) -> None:
    """The plain twin: the mask is u < p for the stream's u, and p - p.detach() carries the gradient."""
    network = scored_lenet5()
    training = FunctionalTraining([network], replace(RULE, rescaled=rescaled), "cpu")
    scores = {name: part.clone().requires_grad_() for name, part in network.scores.items()}
    optimizer = torch.optim.SGD(scores.values(), lr=20.0, momentum=0.9)
    for step, batch in enumerate(BATCHES):
        level = torch.from_numpy(Streams(0).uniform(("noise", str(step)), 0, training.scores.shape[1]))
        drawn = {name: 1 - part for name, part in views(level, network).items()}  # s + logit(u) > 0: 1 - u < p
        used = {}
        for name, own in scores.items():
            p = torch.sigmoid(own)
            mask = (drawn[name] < p.detach().double()).float()
            factor = mask.numel() / mask.sum() if rescaled else 1.0
            used[name] = network.module.get_parameter(name) * factor * mask
            used[name] = used[name] + network.module.get_parameter(name) * (p - p.detach())
        loss = cross_entropy(functional_call(network.module, used, (batch[0],)), batch[1])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        assert training.step(*batch, rate=20.0).item() == pytest.approx(loss.item(), rel=1e-4)
    for name, reached in views(training.scores[0], network).items():
        torch.testing.assert_close(reached, scores[name].detach(), atol=1e-4, rtol=1e-3)


@pytest.mark.parametrize("probability", [0.1, 0.5, 0.8])
def test_before_each_step_weights_are_kept_with_their_probability(probability: float) -> None:
    """Counts of 20 x 24,000 drawings are within five standard deviations."""
    rule = replace(RULE, density=probability)
    network = scored_lenet5()
    zero = {name: rule.first_scores(torch.zeros_like(part), probability) for name, part in network.scores.items()}
    change = rule.change([replace(network, scores=zero)], "cpu")
    scores = torch.cat([part.flatten() for part in zero.values()])
    kept = 0
    for _ in range(20):
        assert change.before_step(lambda: pytest.fail("masks play no part")) and change.noise is not None
        kept += int(rule.mask(scores + change.noise, torch.ones(1, 1, dtype=torch.bool), torch.zeros(1)).sum())
    total = 20 * scores.numel()
    assert abs(kept - probability * total) < 5 * math.sqrt(total * probability * (1 - probability))
    change.finish()
    assert change.noise is not None and not change.noise.any()


@pytest.mark.parametrize("final", ["likeliest", "sampled"])
@pytest.mark.parametrize("rescaled", [False, True])
def test_a_ticket_is_the_network_whose_accuracy_was_measured(tmp_path: Path, final: str, rescaled: bool) -> None:
    method, recorder = replace(RULE, final=final, rescaled=rescaled), Memory(tmp_path)
    ticket = method.find(problem(), recorder).ticket
    save_ticket(ticket, tmp_path / "ticket.safetensors")
    ticket = read_ticket(tmp_path / "ticket.safetensors")
    module = materialise(ticket).module()
    right = (module(DATA.test_inputs).argmax(1) == DATA.test_labels).float().mean()
    assert float(right) == pytest.approx(recorder.lines[-1]["test_accuracy"], abs=1e-6)
    for name, mask in ticket.masks.items():
        drawn = method.space(problem()).drawn[name].draw(0) * mask.dense()
        expected = drawn * (mask.size / mask.kept() if rescaled else 1)
        np.testing.assert_allclose(module.get_parameter(name), expected, rtol=1e-6)
    assert float(recorder.lines[-1]["test_accuracy"]) > 0.3  # ten classes


def test_a_drawn_mask_is_not_the_likeliest(tmp_path: Path) -> None:
    found = [replace(RULE, final=final).find(problem(), Memory(tmp_path)).ticket for final in ("likeliest", "sampled")]
    assert bits(found[0]) != bits(found[1])


@pytest.mark.parametrize("final", ["likeliest", "sampled"])
def test_a_run_cut_after_any_epoch_ends_with_the_same_masks(tmp_path: Path, final: str) -> None:
    check_cut_runs(replace(RULE, final=final, epochs=3), tmp_path)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"density": 1.0}, "between 0 and 1"),
        ({"density": 0.0}, "between 0 and 1"),
        ({"final": "best"}, "final"),
        ({"scope": "global"}, "scope=global would do nothing"),
    ],
)
def test_what_it_cannot_start_from_is_refused(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        replace(RULE, **changes)
