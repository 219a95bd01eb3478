"""Settings of a training: any optimizer and schedule of torch, and refusals of what does not fit together."""

import math
import subprocess
import sys
from dataclasses import replace
from typing import Any

import pytest
import torch
from plain_recipe import PLAIN

from lth_runner.core.errors import ConfigError
from lth_runner.training.recipe import Recipe

RECIPE = Recipe(length="6ep", batch=10, learning_rate=0.1, momentum=0.9, weight_decay=0.01, **PLAIN)


def rates(per_epoch: int = 4, **changes: Any) -> list[float]:
    recipe = replace(RECIPE, **changes)
    rate = recipe.rates(per_epoch)
    return [rate(step) for step in range(recipe.steps(per_epoch))]


def test_the_cosine_changes_once_a_unit() -> None:
    by_epoch = [0.1 * (1 + math.cos(math.pi * epoch / 6)) / 2 for epoch in range(6)]
    assert rates() == [by_epoch[step // 4] for step in range(24)]
    assert rates(schedule_unit="step") == [0.1 * (1 + math.cos(math.pi * step / 24)) / 2 for step in range(24)]
    assert rates(length="24it") == rates()


def test_the_constant_is_one() -> None:
    assert rates(schedule="constant") == [0.1] * 24


def test_schedules_of_torch_are_its_own() -> None:
    """What torch's object says when it is driven beside an optimizer, in either unit."""
    for unit, every in (("epoch", 4), ("step", 1)):
        arguments = {"milestones": [2, 5], "gamma": 0.1}
        found = rates(schedule="MultiStepLR", schedule_arguments=arguments, schedule_unit=unit)
        optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=0.1)
        scheduler = torch.optim.lr_scheduler.MultiStepLR(optimizer, **arguments)
        for step, rate in enumerate(found):
            assert rate == optimizer.param_groups[0]["lr"]
            if (step + 1) % every == 0:
                optimizer.step()
                scheduler.step()
    one_cycle = {"max_lr": 0.5, "total_steps": 24, "cycle_momentum": False}
    cycle = rates(schedule="OneCycleLR", schedule_arguments=one_cycle, schedule_unit="step")
    assert cycle[0] == pytest.approx(0.5 / 25)
    assert max(cycle) == pytest.approx(0.5, rel=0.01)  # the peak lies between two steps
    halved = rates(schedule="torch.optim.lr_scheduler.ExponentialLR", schedule_arguments={"gamma": 0.5})
    assert halved[::4] == [0.1 / 2**epoch for epoch in range(6)]


def test_a_plain_recipe_is_checked_without_the_imports_of_an_optimizer() -> None:
    """torch imports its compiler when it makes its first optimizer: a second, for nothing where a target is cached."""
    settings = ", ".join(f"{name}={value!r}" for name, value in vars(RECIPE).items())
    made = f"import sys; from lth_runner.training.recipe import Recipe; recipe = Recipe({settings})"
    seen = "print('torch._dynamo' in sys.modules)"
    build = "import torch; recipe.build([torch.nn.Parameter(torch.zeros(1))])"
    command = [sys.executable, "-c", f"{made}; {seen}; {build}; {seen}"]
    found = subprocess.run(command, capture_output=True, text=True, check=True)
    assert found.stdout.split() == ["False", "True"]  # the second says that the first can fail


def test_momentum_and_decay_reach_the_optimizer_that_has_them() -> None:
    parameter = torch.nn.Parameter(torch.zeros(2, 2))
    group = replace(RECIPE, optimizer="RMSprop").build([parameter]).param_groups[0]
    assert (group["lr"], group["momentum"], group["weight_decay"]) == (0.1, 0.9, 0.01)
    adam = replace(RECIPE, optimizer="torch.optim.AdamW", momentum=0.0, optimizer_arguments={"betas": [0.5, 0.6]})
    group = adam.build([parameter]).param_groups[0]
    assert (tuple(group["betas"]), group["weight_decay"]) == ((0.5, 0.6), 0.01)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"optimizer": "Adam"}, "optimizer=Adam has no momentum: set momentum=0"),
        ({"optimizer": "Rprop", "momentum": 0}, "optimizer=Rprop has no weight_decay: set weight_decay=0"),
        ({"optimizer": "Adma"}, "no class of torch.optim.*did you mean Adam"),
        ({"optimizer": "nowhere.Sgd"}, "optimizer=nowhere.Sgd is no class"),
        ({"optimizer": "torch.nn.Linear"}, "is no Optimizer"),
        ({"optimizer": 3}, "optimizer=3 is no class"),
        ({"optimizer": "LBFGS"}, "optimizer=LBFGS needs closure at every step"),
        ({"optimizer_arguments": {"nestrov": True}}, r"optimizer_arguments.nestrov.*did you mean nesterov"),
        ({"optimizer_arguments": {"lr": 1}}, r"optimizer_arguments.lr is no argument of SGD"),
        ({"optimizer_arguments": [1]}, "must be names and values"),
        ({"optimizer_arguments": {"dampening": 0.5, "nesterov": True}}, "optimizer=SGD refuses its settings"),
        ({"schedule": "cosin"}, "schedule=cosin is no class of torch.optim.lr_scheduler"),
        ({"schedule_arguments": {"gamma": 1}}, "schedule=cosine has no arguments: set schedule_arguments=null"),
        ({"schedule": "MultiStepLR"}, "schedule=MultiStepLR refuses its arguments.*milestones"),
        ({"schedule": "ReduceLROnPlateau"}, "schedule=ReduceLROnPlateau needs metrics at every step"),
        (
            {"schedule": "OneCycleLR", "schedule_arguments": {"max_lr": 0.5, "total_steps": 6}},
            "changes momentum too.*cycle_momentum=false",
        ),
        ({"schedule_unit": "batch"}, "schedule_unit must be one of epoch, step"),
        ({"length": "3"}, "length must be a number of steps"),
        ({"batch": 0}, "batch must be at least 1"),
        ({"learning_rate": 0.0}, "learning_rate must be above 0"),
        ({"momentum": 1.5}, "momentum must lie in"),
        ({"weight_decay": -1.0}, "weight_decay must be 0 or more"),
    ],
)
def test_what_does_not_fit_together_is_refused_in_one_sentence(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        replace(RECIPE, **changes)
    assert "\n" not in str(caught.value)
