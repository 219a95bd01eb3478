"""The library: everything the commands do, in three lines of a notebook, as `import lth_runner as lth` gives it."""

import contextlib
import tempfile
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from lth_runner.config.compose import load_data, method_of, source_of
from lth_runner.core import checks
from lth_runner.core.devices import device as available_device
from lth_runner.core.errors import ConfigError, DataError
from lth_runner.core.recorder import Progress, Recorder
from lth_runner.core.streams import Streams
from lth_runner.data.interface import Dataset, from_tensors
from lth_runner.measure.bits import bits
from lth_runner.measure.claims import claimed
from lth_runner.measure.layer_use import layer_uses, numbers, told_layer_uses
from lth_runner.measure.ticket import measure_ticket
from lth_runner.measure.verification import Finding, findings
from lth_runner.networks.instance import Instance
from lth_runner.networks.interface import Architecture, tensors_of
from lth_runner.problem import Method, Problem, check_fit
from lth_runner.prune.retraining import Retrained, retrained
from lth_runner.prune.retraining import check as check_retraining
from lth_runner.record.terminal import Terminal
from lth_runner.targets.checkpoint import matched
from lth_runner.targets.state_dict import read_state_dict
from lth_runner.ticket.file import read_ticket, save_ticket
from lth_runner.ticket.materialise import materialise, original_architecture
from lth_runner.ticket.names import recipe
from lth_runner.ticket.plain import KIND
from lth_runner.ticket.ticket import Ticket

Target = torch.nn.Module | Mapping[str, Any] | str | Path

EPSILON = 0.01  # that weight errors are counted with where a method has none of its own


@dataclass(frozen=True)
class Loaded:
    """A ticket at hand.

    Attributes:
        ticket: its sources, masks, facts, claims and origin.
    """

    ticket: Ticket

    def module(self, at: str = "end", dtype: torch.dtype = torch.float32) -> torch.nn.Module:
        """The network as an ordinary module: pruned, not trainable, in evaluation mode.

        Args:
            at: "end", the network that the ticket is; or "start", a winning ticket where its training started.
        """
        return materialise(self.ticket, at).module(dtype)

    def masks(self) -> dict[str, torch.Tensor]:
        """Named bool tensors, True = kept, of the shape of the places there are: for a training loop of one's own."""
        places = {name: self.ticket.places(name) for name in self.ticket.masks}
        dense = {name: mask.dense() for name, mask in self.ticket.masks.items()}
        return {name: torch.from_numpy(np.broadcast_to(dense[name], places[name]).copy()) for name in places}

    def save(self, path: str | Path, *, coded: bool = False) -> None:
        """Writes the ticket file, whole or not at all; where it is asked for with masks and indices entropy-coded."""
        save_ticket(self.ticket, path, coded)

    def bits(self) -> dict[str, float]:
        """What the ticket takes in bits, in all and per weight, raw and entropy-coded; see `measure.bits.bits`."""
        return bits(self.ticket)

    def measure(self, *, target: Target | None = None, data: Any = None, epsilon: float = EPSILON) -> dict[str, Any]:
        """Accuracy, counts and errors, the columns of a run's table, and what each layer keeps and has on a path.

        Args:
            target, data: as in `find`.
            epsilon: larger weight errors are counted.
        """
        architecture = original_architecture(self.ticket)
        with _recorder(False) as recorder:
            weights = None if target is None else _weights(target, architecture, recorder.say)
            dataset = _dataset(data, recorder)
        problem = Problem(network=architecture, target=weights, data=dataset, streams=Streams(0), device="cpu")
        approximates = target is not None
        network = materialise(self.ticket)
        found = measure_ticket(network, problem, epsilon, outputs=approximates, approximates=approximates)
        return found | numbers(layer_uses(network, dataset))


@dataclass(frozen=True)
class FoundTicket:
    """What `find` found.

    Attributes:
        ticket: ready to be used and saved.
        measured: accuracy, counts and errors, as in a run's table.
    """

    ticket: Loaded
    measured: dict[str, Any]


@dataclass(frozen=True)
class Verified:
    """What `verify` found: each claim beside what is true.

    Attributes:
        findings: one per claim.
    """

    findings: list[Finding]

    @property
    def holds(self) -> bool:
        """Whether no claim was found to be false; those that could not be checked say what they need."""
        return all(finding.agrees for finding in self.findings)

    def __bool__(self) -> bool:
        return self.holds


def load(path: str | Path, *, module: torch.nn.Module | None = None, trust: Collection[str] = ()) -> Loaded:
    """The ticket in a file.

    Args:
        module: where the ticket was made from a module in memory: one of the same parameters; a copy of it is filled.
        trust: top-level packages outside lth_runner whose code may run to build the network.

    Raises:
        DataError: no ticket, an altered one, or one that needs the module or the trust.
    """
    return Loaded(read_ticket(path, trust, module))


def find(
    method: str | Method,
    module: torch.nn.Module | Architecture | None = None,
    *,
    target: Target | None = None,
    data: Any = None,
    seed: int = 0,
    device: str = "cpu",
    output: str | None = None,
    progress: bool = True,
    **settings: Any,
) -> FoundTicket:
    """A ticket of a network, found by any method, with what was measured of it.

    Args:
        method: name of a method ("pensia", "edge_popup"), with the defaults of its YAML file; or a method.
        module: the network; its own weights are the target unless another is given.
        target: weights to approximate: a module, a state dict, or the path of one.
        data: a dataset; the name of one ("mnist"); a pair of inputs and labels, used for training and for measuring;
            four tensors (training inputs and labels, test inputs and labels); or a DataLoader of pairs.
        seed: of every stream of randomness.
        output: name of the output, where the module returns several.
        progress: whether to show bars and lines.
        settings: of the method, by their names; a distribution or a solver by its name or as an object.

    Raises:
        ConfigError: a setting that the method does not have, or a problem it cannot take.
    """
    chosen = method_of(method, settings)
    checks.integer("seed", seed, at_least=0)
    device = available_device(device)
    network = _architecture(module, output)
    if target is None and isinstance(module, torch.nn.Module):
        target = module
    with _recorder(progress) as recorder:
        weights = None if target is None else _weights(target, network, recorder.say)
        dataset = _dataset(data, recorder)
        if dataset is not None:
            dataset = dataset.to(device)
            check_fit(network, dataset)
        problem = Problem(network=network, target=weights, data=dataset, streams=Streams(seed), device=device)
        found = chosen.find(problem, recorder)
        epsilon = float(recipe(chosen).get("epsilon", EPSILON))
        approximates = chosen.needs_target
        pruned = materialise(found.ticket, bars=recorder.progress)
        measured = measure_ticket(pruned, problem, epsilon, outputs=approximates, approximates=approximates)
        uses = told_layer_uses("the ticket", pruned, problem.data, recorder.say)
    ticket = claimed(found.ticket, measured, chosen, problem, epsilon)
    return FoundTicket(ticket=Loaded(ticket), measured={**measured, **numbers(uses), **found.times})


def verify(
    path: str | Path | Loaded,
    *,
    target: Target | None = None,
    data: Any = None,
    trust: Collection[str] = (),
    module: torch.nn.Module | None = None,
) -> Verified:
    """Draws a ticket's network again and checks every claim that its file makes.

    Args:
        target: the weights that it claims to approximate: a module, a state dict, or the path of one.
        data: the dataset its accuracy was measured on; by default the one that the ticket names.
        trust, module: see `load`; a target module stands for `module` too.

    Raises:
        DataError: no ticket, an altered one, or a target or dataset other than the ticket's.
    """
    if module is None and isinstance(target, torch.nn.Module):
        module = target
    loaded = path if isinstance(path, Loaded) else load(path, module=module, trust=trust)
    with _recorder(False) as recorder:
        dataset = (
            _dataset(data, recorder) if data is not None else claimed_dataset(loaded.ticket, {}, trust, recorder.say)
        )
        weights = None if target is None else _weights(target, original_architecture(loaded.ticket), recorder.say)
    return Verified(list(findings(materialise(loaded.ticket), weights, dataset)))


def retrain(
    path: str | Path | Loaded,
    *,
    data: Any = None,
    trust: Collection[str] = (),
    module: torch.nn.Module | None = None,
    progress: bool = True,
) -> Retrained:
    """Trains a winning ticket again from its start, by its own recipe, and compares the weights that come out.

    Args:
        data, trust, module: see `verify`.
        progress: whether a bar is shown.

    Raises:
        ConfigError: it has no training that can be done again.
        DataError: no ticket, an altered one, or one that names no dataset.
    """
    loaded = path if isinstance(path, Loaded) else load(path, module=module, trust=trust)
    check_retraining(loaded.ticket, trust)
    with _recorder(progress) as recorder:
        chosen = _dataset(data, recorder) or claimed_dataset(loaded.ticket, {}, trust, recorder.say)
        if chosen is None:
            raise DataError("the ticket names no dataset to be trained on: give --data")
        return retrained(loaded.ticket, chosen, recorder, trust)


def claimed_dataset(
    ticket: Ticket, changes: Mapping[str, Any], trust: Collection[str], say: Callable[[str], None]
) -> Dataset | None:
    """The dataset that a ticket names, loaded; None where it names none or claims no accuracy.

    Args:
        changes: settings that say where its files lie.

    Raises:
        DataError: what stands in the ticket cannot be loaded.
        ConfigError: the changes are what cannot be done.
    """
    made_by = ticket.origin.data
    if made_by is None or "accuracy" not in ticket.claims:
        return None
    try:
        source = source_of(made_by, {}, trust)
        if not changes:
            return source.load(say)
    except ConfigError as error:
        raise DataError(f"the ticket's dataset cannot be loaded ({error}): give --data") from error
    return source_of(made_by, changes, trust).load(say)


def _weights(target: Target, architecture: Architecture, say: Callable[[str], None]) -> dict[str, np.ndarray]:
    """The target's tensors under the architecture's names, float64 but for whole numbers; `say` tells what moved."""
    if isinstance(target, str | Path):
        return matched(architecture, read_state_dict(str(target)), {}, str(target), say)
    if not isinstance(target, torch.nn.Module | Mapping):
        raise ConfigError(f"target must be a module, a state dict or the path of one, got {type(target).__name__}")
    tensors = tensors_of(target) if isinstance(target, torch.nn.Module) else target
    arrays = {name: _array(value) for name, value in tensors.items()}
    if damaged := [name for name, array in arrays.items() if not np.isfinite(array).all()]:
        raise ConfigError(f"the target's {damaged[0]} has NaN or infinite values, so it cannot be approximated")
    return matched(architecture, arrays, {}, "the target", say)


def _architecture(module: torch.nn.Module | Architecture | None, output: str | int | None) -> Architecture:
    if isinstance(module, torch.nn.Module):
        _check_values(module)
        return Instance.of(module, output)
    if not isinstance(module, Architecture):
        raise ConfigError(f"find needs a network: a torch.nn.Module or an architecture, got {type(module).__name__}")
    if output is not None:
        raise ConfigError("output is for a torch.nn.Module: an architecture has its own setting")
    return module


def _check_values(module: torch.nn.Module) -> None:
    """Refuses a module that cannot be traced and copied with its numbers."""
    if isinstance(module, torch.jit.ScriptModule):
        raise ConfigError("a scripted module cannot be traced: give the module that it was made from")
    tensors = {**dict(module.named_parameters()), **dict(module.named_buffers())}
    for name, tensor in tensors.items():
        if torch.nn.parameter.is_lazy(tensor):
            raise ConfigError(f"{name} has no shape yet: call the module on one batch first")
        if tensor.is_meta:
            raise ConfigError(f"{name} has no values, it is on the meta device: give a module with its weights")
        if tensor.ndim > 1 and not tensor.numel():
            raise ConfigError(
                f"{name} of shape {tuple(tensor.shape)} is empty: give layers of one input and output or more"
            )
    for path, part in module.named_modules():
        for name, value in vars(part).items():
            if isinstance(value, torch.Tensor) and not value.is_leaf:
                raise ConfigError(
                    f"{f'{path}.{name}'.lstrip('.')} is computed from other tensors, so the module cannot be copied: "
                    "make it a parameter again (torch.nn.utils.remove_weight_norm or torch.nn.utils.prune.remove), or "
                    "use torch.nn.utils.parametrizations"
                )


def _array(value: Any) -> np.ndarray:
    array = value.detach().cpu() if isinstance(value, torch.Tensor) else torch.as_tensor(value)
    return array.to(torch.float64).numpy() if array.is_floating_point() else array.numpy()


def _dataset(data: Any, recorder: Recorder) -> Dataset | None:
    if data is None or isinstance(data, Dataset):
        return data
    if isinstance(data, str):
        return load_data(source_of({KIND: data}, {}, ()), recorder.say)
    if isinstance(data, torch.utils.data.DataLoader):
        batches = list(data)
        if not all(isinstance(batch, list | tuple) and len(batch) == 2 for batch in batches):
            raise ConfigError("a DataLoader must give pairs of inputs and labels: give tensors instead")
        data = tuple(torch.cat([batch[i] for batch in batches]) for i in range(2))
    if isinstance(data, list | tuple) and len(data) in (2, 4):
        parts = [_tensor(part) for part in data]
        return from_tensors(parts[0], _labels(parts[1]), parts[-2], _labels(parts[-1]))
    raise ConfigError(
        "data must be a dataset, its name, a pair or four of tensors, or a DataLoader of pairs, got "
        f"{type(data).__name__}{f' of {len(data)}' if isinstance(data, list | tuple) else ''}"
    )


def _tensor(part: Any) -> torch.Tensor:
    if not isinstance(part, torch.Tensor | np.ndarray):
        raise ConfigError(f"inputs and labels must be tensors or arrays, got {type(part).__name__}")
    return torch.as_tensor(part)


def _labels(part: torch.Tensor) -> torch.Tensor:
    """Whole numbers of any type as int64; others as they are, and refused by the dataset."""
    return part if part.is_floating_point() or part.is_complex() else part.long()


class _Notebook:
    """A recorder for a call: bars and lines where they are asked for, checkpoints in a temporary folder."""

    def __init__(self, folder: Path, terminal: Terminal) -> None:
        self._folder, self._terminal = folder, terminal

    def progress(self, label: str, total: int) -> contextlib.AbstractContextManager[Progress]:
        return self._terminal.progress(label, total)

    def metrics(self, **values: float | int | str) -> None:
        del values

    def say(self, line: str) -> None:
        self._terminal.say(line)

    def checkpoint(self, name: str, *, shared: bool = False) -> Path:
        del shared
        return self._folder / f"{name}.safetensors"


@contextlib.contextmanager
def _recorder(progress: bool) -> Iterator[Recorder]:
    with tempfile.TemporaryDirectory() as folder:
        yield _Notebook(Path(folder), Terminal(quiet=not progress))
