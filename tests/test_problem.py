"""What is refused before a run begins."""

import pytest

from lth_runner import problem
from lth_runner.core.errors import ConfigError
from lth_runner.data.synthetic import Synthetic
from lth_runner.networks.fc import FullyConnected


def test_weights_are_counted_before_there_are_any(monkeypatch: pytest.MonkeyPatch) -> None:
    """Else a network of many layers takes one layer after the other until the system kills somebody."""
    network = FullyConnected(inputs=16, hidden=5, outputs=4, depth=3, biases=False)  # 16 * 5 + 5 * 5 + 5 * 4 weights
    data = Synthetic(train_count=8, test_count=8, side=4, classes=4, seed=0, noise=0.2).load(lambda line: None)
    monkeypatch.setattr(problem, "machine_memory", lambda: 4 * 125)
    problem.check_fit(network, data)
    monkeypatch.setattr(problem, "machine_memory", lambda: 4 * 125 - 1)
    with pytest.raises(ConfigError, match=r"the network has 125 weights, 0\.0 GiB in float32, and there is not enough"):
        problem.check_fit(network, data)
