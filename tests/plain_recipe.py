"""The settings that a training has unless somebody chooses others, as the YAML has them."""

from typing import Any

PLAIN: dict[str, Any] = {
    "optimizer": "SGD",
    "optimizer_arguments": None,
    "schedule": "cosine",
    "schedule_arguments": None,
    "schedule_unit": "epoch",
}
