"""Kaiming laws: their spread by fan and density, against the quantile function itself on a fine grid."""

import math

import numpy as np
import pytest

from lth_runner.core.errors import ConfigError
from lth_runner.distributions.kaiming import KaimingNormal, KaimingUniform, SignedConstant

LEVELS = (np.arange(100_000) + 0.5) / 100_000  # the mean over these is an integral over the law


@pytest.mark.parametrize("law", [KaimingNormal, KaimingUniform, SignedConstant])
@pytest.mark.parametrize("density", [1.0, 0.25])
@pytest.mark.parametrize("shape", [(10, 50), (6, 2, 5, 5)])
def test_standard_deviation_is_gain_over_root_of_kept_fan(law: type, density: float, shape: tuple[int, ...]) -> None:
    weights = law(gain=1.5, density=density).fitted(shape, None).quantile(LEVELS)
    assert np.std(weights) == pytest.approx(1.5 / math.sqrt(density * 50), rel=1e-3)
    assert np.mean(weights) == pytest.approx(0, abs=1e-9)


def test_the_shapes_differ() -> None:
    drawn = [
        law(gain=1.0, density=1.0).fitted((3, 4), None).quantile(LEVELS) for law in (KaimingUniform, SignedConstant)
    ]
    assert np.abs(drawn[0]).max() == pytest.approx(math.sqrt(3) / 2, rel=1e-4)
    assert np.unique(drawn[1]).tolist() == [-0.5, 0.5]
    normal = KaimingNormal(gain=1.0, density=1.0).fitted((3, 4), None).quantile(np.array([0.158655254]))
    assert normal[0] == pytest.approx(-0.5)  # one standard deviation below 0


@pytest.mark.parametrize("law", [KaimingNormal, KaimingUniform, SignedConstant])
def test_impossible_settings_are_refused(law: type) -> None:
    with pytest.raises(ConfigError, match="density must be above 0"):
        law(gain=1.0, density=0.0)
    with pytest.raises(ConfigError, match="gain must be above 0"):
        law(gain=0, density=1.0)
    with pytest.raises(ConfigError, match="before it is fitted"):
        law(gain=1.0, density=1.0).quantile(LEVELS)
