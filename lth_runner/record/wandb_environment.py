"""W&B's own environment variables, as the settings of a run that they stand for."""

from collections.abc import Mapping

SETTINGS = {
    "WANDB_MODE": "mode",
    "WANDB_PROJECT": "project",
    "WANDB_ENTITY": "entity",
    "WANDB_DIR": "dir",
    "WANDB_RUN_ID": "id",
}
DISABLED = "WANDB_DISABLED"
NAMES = (*SETTINGS, DISABLED)
MODES = {"run": "online", "dryrun": "offline"}  # what W&B called them once
YES = ("1", "true", "t", "yes", "y", "on")


def from_environment(environment: Mapping[str, str]) -> dict[str, str]:
    """The settings below `wandb` that the environment sets; an empty variable sets none.

    WANDB_DISABLED beats WANDB_MODE.
    """
    found = {key: environment[name] for name, key in SETTINGS.items() if environment.get(name)}
    if "mode" in found:
        found["mode"] = MODES.get(found["mode"], found["mode"])
    if environment.get(DISABLED, "").lower() in YES:
        found["mode"] = "disabled"
    return found
