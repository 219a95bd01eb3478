"""The plan of a run or a sweep: its jobs, and what they will take. Nothing is run and no folder is opened."""

import shutil
import statistics
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass
from pathlib import Path
from typing import Any, TypeVar

from hydra.core.config_loader import ConfigLoader

from lth_runner.config.build import build
from lth_runner.config.switched import choice_of
from lth_runner.construct.substitution import offered_per_weight
from lth_runner.core.finished import is_finished
from lth_runner.forecast.header import header_of
from lth_runner.forecast.times import estimate
from lth_runner.networks.interface import Architecture, num_parameters
from lth_runner.problem import Method, Offers
from lth_runner.record.terminal import duration
from lth_runner.resources import largest, machine_memory
from lth_runner.run import build_methods, build_parts, check_parts, place
from lth_runner.subset_sum.interface import SizeLimited
from lth_runner.ticket.names import recipe

FLOAT64 = 8  # bytes of a weight
Kind = TypeVar("Kind")


@dataclass(frozen=True, kw_only=True)
class Planned:
    """One job that would be run.

    Attributes:
        label: what tells it from the others; "" for one alone.
        words: its overrides.
        config: resolved.
    """

    label: str
    words: Sequence[str]
    config: dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Built:
    """The parts of a job, and where its run will be."""

    folder: Path
    methods: dict[str, Method]
    networks: dict[str, Architecture]

    def offered(self) -> dict[str, int]:
        """Random numbers on offer to each method that can say so."""
        own = {name: self.networks.get(f"study.networks.{name}", self.networks.get("network")) for name in self.methods}
        return {
            name: method.offered(network)
            for name, method in self.methods.items()
            if isinstance(method, Offers) and (network := own[name]) is not None
        }


def plan_lines(jobs: Sequence[Planned], loader: ConfigLoader) -> Iterator[str]:
    """The plan, line by line.

    Raises:
        LthError: a job would be refused; what would be its message.
    """
    built = [_built(job) for job in jobs]
    yield "this is the plan, nothing is run (dry_run=true)"
    todo = [(job, b) for job, b in zip(jobs, built, strict=True) if job.config["rerun"] or not is_finished(b.folder)]
    yield f"jobs: {len(todo)} to run, {len(jobs) - len(todo)} finished before"
    for job, b in zip(jobs, built, strict=True):
        done = "" if any(job is other for other, _ in todo) else "  finished before"
        yield "  ".join(["", *([job.label] if job.label else []), str(b.folder)]) + done
    yield from _weights(built)
    yield _memory(jobs, built, loader)
    yield _disk(jobs, built)
    if todo:
        yield time_line([job for job, _ in todo], loader) or "time: not known"
    yield from dict.fromkeys(line for job, b in zip(jobs, built, strict=True) for line in _licences(job.config, b))


def _built(job: Planned) -> Built:
    config = job.config
    study, methods, parts = build(config["study"], "study"), build_methods(config), build_parts(config)
    study.check(methods)
    check_parts(methods, parts)
    own = {} if parts["network"] is None else {"network": parts["network"]}
    networks = own | dict(_within(study, Architecture, "study"))
    return Built(folder=place(config), methods=methods, networks=networks)


def _within(part: Any, kind: type[Kind], where: str) -> Iterator[tuple[str, Kind]]:
    """Everything of a kind among the settings of a part, by its dotted key."""
    if isinstance(part, kind):
        yield where, part
        return
    inner: Iterable[tuple[str, Any]] = ()
    if isinstance(part, Mapping):
        inner = part.items()
    elif is_dataclass(part):
        inner = ((field.name, getattr(part, field.name)) for field in fields(part))
    for key, value in inner:
        yield from _within(value, kind, f"{where}.{key}")


def _weights(built: Sequence[Built]) -> Iterator[str]:
    counted = dict.fromkeys(f"{key} {num_parameters(network):,}" for b in built for key, network in b.networks.items())
    if counted:
        yield f"weights: {', '.join(counted)}"
    offered = dict.fromkeys(f"{name} {count:,}" for b in built for name, count in b.offered().items())
    if offered:
        yield f"random weights on offer, fewer where inputs are never negative: about {', '.join(offered)}"


def _memory(jobs: Sequence[Planned], built: Sequence[Built], loader: ConfigLoader) -> str:
    facts = []
    counts = [num_parameters(network) for b in built for network in b.networks.values()]
    if counts:
        facts.append(f"the weights of the largest network take {size(FLOAT64 * max(counts))} in float64")
    names = dict.fromkeys(name for job in jobs if (name := choice_of(job.words, "experiment")))
    for name in names:
        header = header_of(name, loader)
        if header is not None and header.memory:
            facts.append(f"{name} was measured at {header.memory} with its own settings")
    methods = [method for b in built for method in b.methods.values()]
    if methods:
        facts.append(f"a cluster is asked for {largest(method.resources for method in methods).memory_gb} GB")
    facts.append(f"this machine has {size(machine_memory())}")
    return f"memory: {'; '.join(facts)}"


def _disk(jobs: Sequence[Planned], built: Sequence[Built]) -> str:
    """From what finished runs of the same name take, which nobody has to guess."""
    runs = {b.folder.parent: job.config["name"] for job, b in zip(jobs, built, strict=True)}
    sizes = [
        sum(file.stat().st_size for file in run.rglob("*") if file.is_file())
        for folder, name in runs.items()
        for run in folder.glob(f"{name}-*")
        if is_finished(run)
    ]
    bits = max((sum(b.offered().values()) for b in built), default=0)
    known = f"about {size(bits / 8)} of tickets in each run, a bit for each of these" if bits else "not known"
    if sizes:
        known = f"a finished run of this name takes {size(statistics.median(sizes))}"
    folder = next(iter(runs)).absolute()
    there = next(parent for parent in (folder, *folder.parents) if parent.exists())
    return f"disk: {known}; {size(shutil.disk_usage(there).free)} are free at {there}"


def time_line(todo: Sequence[Planned], loader: ConfigLoader) -> str | None:
    """How long these jobs take; None where nothing is known."""
    known = [found for job in todo if (found := estimate(job.config, job.words, loader)) is not None]
    if not known:
        return None
    each = "; ".join(dict.fromkeys(one.sentence for one in known))
    if len(todo) == 1 or len(known) < len(todo):
        return f"time: {each}"
    return f"time: about {duration(sum(one.seconds for one in known))} one after the other; each {each}"


def _licences(config: Mapping[str, Any], built: Built) -> Iterator[str]:
    """Of every solver that has one, with the most numbers that one of its models will have."""
    study = config["study"]
    varied = study.get("values", []) if study.get("axis") == "n" else []
    for name, method in built.methods.items():
        settings = recipe(method)
        for _, solver in _within(method, SizeLimited, name):
            given = offered_per_weight(settings.get("n"), settings.get("c", 1), settings.get("epsilon", 0.5))
            yield f"{name}: {solver.licence(max([given, *varied, settings.get('max_paths', 0)]))}"


def size(count: float) -> str:
    """Bytes for a person: 950 B, 3.2 MB, 1.4 GB."""
    for unit, scale in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if count >= scale:
            return f"{count / scale:,.1f} {unit}"
    return f"{count:,.0f} B"
