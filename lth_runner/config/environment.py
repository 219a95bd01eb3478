"""Settings that come from the environment: they beat every config file, and lose to what is typed."""

import os
from collections.abc import Iterable
from typing import Any

from lth_runner.config.switched import key_of
from lth_runner.core.errors import ConfigError
from lth_runner.record.wandb import Wandb
from lth_runner.record.wandb_environment import NAMES, from_environment


def with_environment(config: dict[str, Any], words: Iterable[str]) -> dict[str, Any]:
    """The settings with those of W&B's own variables (WANDB_MODE, WANDB_PROJECT and the like) that were not typed.

    Args:
        words: the overrides that were typed.

    Raises:
        ConfigError: a variable has an impossible value.
    """
    typed = {key_of(word) for word in words}
    found = {key: value for key, value in from_environment(os.environ).items() if not {"wandb", f"wandb.{key}"} & typed}
    if not found:
        return config
    try:
        Wandb(**{**config["wandb"], **found})
    except ConfigError as error:
        given = ", ".join(f"{name}={os.environ[name]}" for name in NAMES if os.environ.get(name))
        raise ConfigError(f"the environment has {given}: {error}") from error
    return {**config, "wandb": {**config["wandb"], **found}}
