"""Points of a training: what is read is what is written, and the rest is refused."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lth_runner.core.errors import ConfigError
from lth_runner.core.step import Step


@pytest.mark.parametrize(
    ("given", "text", "steps"),
    [
        ("500it", "500it", 500),
        (500, "500it", 500),
        ("3ep", "3ep", 30),
        ("3ep50it", "3ep50it", 80),
        ("0ep7it", "7it", 7),
        ("3ep0it", "3ep", 30),
        (0, "0it", 0),
        ("0ep", "0it", 0),
    ],
)
def test_epochs_of_ten_steps(given: str | int, text: str, steps: int) -> None:
    step = Step.parse("rewind", given)
    assert (str(step), step.steps(10)) == (text, steps)


@given(st.integers(0, 10**9), st.integers(0, 10**9), st.integers(1, 10**6))
def test_the_text_says_it_all(epochs: int, updates: int, steps_per_epoch: int) -> None:
    step = Step(epochs=epochs, updates=updates)
    assert Step.parse("stop", str(step)) == step
    assert step.steps(steps_per_epoch) == epochs * steps_per_epoch + updates


@pytest.mark.parametrize(
    "wrong", ["", "5", "it", "ep", "-1it", "50it3ep", "3 ep", "1.5ep", -1, 2.0, True, None, "3ep\n"]
)
def test_anything_else_is_refused_in_one_sentence(wrong: Any) -> None:
    with pytest.raises(ConfigError, match=r'^rewind must be a number of steps.*"3ep50it"') as caught:
        Step.parse("rewind", wrong)
    assert repr(wrong) in str(caught.value)
    assert "\n" not in str(caught.value)
