"""How long a run will take: what its experiment's file says, in proportion where the study knows to what."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from hydra.core.config_loader import ConfigLoader
from omegaconf import open_dict

from lth_runner.config.build import build, settings
from lth_runner.config.switched import choice_of, composed_by, key_of
from lth_runner.core.finished import is_finished
from lth_runner.core.identity import NEUTRAL
from lth_runner.forecast.header import Header, header_of
from lth_runner.record.terminal import duration
from lth_runner.run import place
from lth_runner.study import Scales

WITHOUT_EFFECT = (*NEUTRAL, "seed", "device", "experiment")  # on the time; another device is said by the file's words
OF_THE_STUDY = ("grid", "study")  # settings of which the study knows what they change


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """How long a run will take.

    Attributes:
        seconds: about.
        sentence: the same for a person, with what it rests on.
    """

    seconds: float
    sentence: str


def estimate(config: Mapping[str, Any], words: Sequence[str], loader: ConfigLoader) -> Estimate | None:
    """Of a run with these overrides; None where its experiment's file says nothing.

    Args:
        config: resolved.
    """
    name = choice_of(words, "experiment")
    header = header_of(name, loader) if name else None
    if header is None or header.seconds is None:
        return None
    changed = [word for word in words if word not in header.command and not _has_no_effect(word)]
    left_out = [word for word in header.command if word not in words and not _has_no_effect(word)]
    now: Mapping[str, float] = {}
    then: Mapping[str, float] = {}
    if any(_is_the_studys(word) for word in (*changed, *left_out)):
        now, then = _amounts(config), _own_amounts(header, loader)
    ratio = math.prod(now[key] / then[key] for key in then if then[key] and key in now)
    unknown = [key_of(word) for word in changed if not _is_known(word, then)]
    scaled = [f"{key} {then[key]:g} (here {now[key]:g})" for key in then if now.get(key, then[key]) != then[key]]
    return Estimate(seconds=header.seconds * ratio, sentence=_sentence(header, header.seconds * ratio, scaled, unknown))


def announcement(config: dict[str, Any], words: Sequence[str], loader: ConfigLoader) -> str | None:
    """What to say at the start of a run; None where nothing is known, or the run is finished already."""
    found = estimate(config, words, loader)
    if found is None or (is_finished(place(config)) and not config["rerun"]):
        return None
    return f"time: {found.sentence}"


def _sentence(header: Header, seconds: float, scaled: Sequence[str], unknown: Sequence[str]) -> str:
    found = f"{header.time}"
    if scaled:
        found = f"about {duration(seconds)}: {header.time} with {', '.join(scaled)}"
    if unknown:
        found += f"; how that changes with {' and '.join(dict.fromkeys(unknown))} is not known"
    return found


def _amounts(config: Mapping[str, Any]) -> Mapping[str, float]:
    study = build(config["study"], "study")
    return study.amounts() if isinstance(study, Scales) else {}


@lru_cache
def _own_amounts(header: Header, loader: ConfigLoader) -> Mapping[str, float]:
    """Those of the command that was timed."""
    config = composed_by(loader, list(header.command))
    with open_dict(config):
        del config["hydra"]
    return _amounts(settings(config))


def _has_no_effect(word: str) -> bool:
    key = key_of(word)
    return any(key == other or key.startswith(f"{other}.") for other in WITHOUT_EFFECT) or key.startswith("hydra")


def _is_the_studys(word: str) -> bool:
    return key_of(word).partition(".")[0] in OF_THE_STUDY


def _is_known(word: str, amounts: Mapping[str, float]) -> bool:
    """Whether what this word changes is among the amounts."""
    return bool(amounts) and _is_the_studys(word) and key_of(word).rpartition(".")[2] in ("grid", *amounts)
