"""Searches that change something between steps, and those with masks of another kind: together as alone."""

from dataclasses import fields
from typing import Any

import pytest
import torch
from searching import DATA, EDGE_POPUP, problem

from lth_runner.distributions.constant import Constant
from lth_runner.distributions.uniform import Uniform
from lth_runner.search.functional import FunctionalTraining
from lth_runner.search.iterand import IteRand
from lth_runner.search.multicoated import Multicoated
from lth_runner.search.signed_supermask import SignedSupermask
from lth_runner.search.slot_machine import SlotMachine
from lth_runner.search.zhou import Zhou

COMMON: dict[str, Any] = {field.name: getattr(EDGE_POPUP, field.name) for field in fields(EDGE_POPUP)}
RULES: dict[str, Any] = {
    "iterand": IteRand(**COMMON, period=2, probability=0.5, draws=3),
    "multicoated": Multicoated(**COMMON, coats=[1.0, 0.5]),
    "signed": SignedSupermask(**COMMON),
    "slots": SlotMachine(**{**COMMON, "scores": Uniform(low=0.0, high=0.1)}, values=3),
    "zhou, likeliest": Zhou(**{**COMMON, "scores": Constant(value=0.0)}, final="likeliest", rescaled=True),
    "zhou, sampled": Zhou(**{**COMMON, "scores": Constant(value=0.0)}, final="sampled", rescaled=False),
}
GPU = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")


@pytest.mark.parametrize("device", ["cpu", pytest.param("cuda", marks=[pytest.mark.gpu, GPU])])
@pytest.mark.parametrize("rule", RULES.values(), ids=RULES)
def test_together_as_alone(rule: Any, device: str) -> None:
    space = rule.space(problem())
    networks = [rule._scored(space.module(0), space, density, 0) for density in (0.2, 0.7)]
    alone = [FunctionalTraining([one], rule, "cpu") for one in networks]
    together = FunctionalTraining(networks, rule, device)
    for epoch in (1, 2):
        for start in range(0, 60, 10):
            x, y = DATA.train_inputs[start : start + 10], DATA.train_labels[start : start + 10]
            losses = together.losses(x.to(device), y.to(device), rate=0.1)
            for run, training in enumerate(alone):
                loss = training.losses(x, y, rate=0.1)[0]
                torch.testing.assert_close(losses[run].cpu(), loss, atol=1e-5, rtol=1e-4)
        for training in (*alone, together):
            training.end_epoch(epoch)
    for run, training in enumerate(alone):
        torch.testing.assert_close(together.scores[run].cpu(), training.scores[0], atol=1e-5, rtol=1e-4)
        for name, mask in training.masks().items():
            same = (together.masks(run)[name].cpu() == mask).float().mean()
            assert float(same) > 0.99  # of scores that roundings could have brought to the other side of a cut
