"""A point of a training, counted in steps or in epochs: "500it", "3ep", "3ep50it"."""

import re
from dataclasses import dataclass
from typing import Any, Self

from lth_runner.core import checks
from lth_runner.core.errors import ConfigError

TEXT = re.compile(r"(?:(\d+)ep)?(?:(\d+)it)?")


@dataclass(frozen=True, kw_only=True)
class Step:
    """So many epochs, and so many steps after them: an epoch is a pass over the data, a step one update.

    Attributes:
        epochs: 0 or more.
        updates: 0 or more; may exceed an epoch.
    """

    epochs: int
    updates: int

    def __post_init__(self) -> None:
        checks.integer("epochs", self.epochs, at_least=0)
        checks.integer("updates", self.updates, at_least=0)

    @classmethod
    def parse(cls, name: str, value: Any) -> Self:
        """The point that a setting names.

        Args:
            name: of the setting, for the message.
            value: "500it", "3ep", "3ep50it", or an int of steps.

        Raises:
            ConfigError: it is none of these.
        """
        if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
            return cls(epochs=0, updates=value)
        found = TEXT.fullmatch(value) if isinstance(value, str) and value else None
        if found is None:
            raise ConfigError(
                f'{name} must be a number of steps ("500it" or 500), of epochs ("3ep") or of both ("3ep50it"), '
                f"got {value!r}"
            )
        epochs, updates = found.groups(default="0")
        return cls(epochs=int(epochs), updates=int(updates))

    def steps(self, steps_per_epoch: int) -> int:
        """The number of steps up to this point."""
        return self.epochs * steps_per_epoch + self.updates

    def __str__(self) -> str:
        """The text that `parse` takes: "3ep", "3ep50it", "500it", and "0it" for the start."""
        epochs = f"{self.epochs}ep" if self.epochs else ""
        return epochs + (f"{self.updates}it" if self.updates or not self.epochs else "")
