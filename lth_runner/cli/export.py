"""The `lth-export` command: a ticket's pruned network, or its masks, as a file that other programs read."""

import argparse
import io
import os
import re
import sys
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path

import torch
from safetensors.torch import save

from lth_runner.api import Loaded, load
from lth_runner.cli.arguments import Arguments, named_path
from lth_runner.cli.ending import ending
from lth_runner.core.errors import ConfigError
from lth_runner.core.files import replace_file
from lth_runner.record.terminal import Terminal

FORMATS = (".pt", ".safetensors")
CLOSE = 1e-4  # largest difference to torch's outputs, as a share of the largest output, that an ONNX file may show


def main() -> None:
    """Runs `lth-export`."""
    terminal = Terminal()
    with ending("lth-export", terminal):
        export(arguments(sys.argv[1:]), terminal)


def arguments(words: Sequence[str]) -> argparse.Namespace:
    """The command line."""
    parser = Arguments(
        prog="lth-export",
        description="Writes a ticket's pruned network as a plain state dict, its masks, or an ONNX file.",
        epilog="example: lth-export ticket.safetensors --to net.pt --masks masks.safetensors",
    )
    parser.add_argument("ticket", type=named_path, help="a ticket.safetensors of a run folder")
    parser.add_argument(
        "--to", type=named_path, metavar="FILE", help="the pruned network's state dict (.pt or .safetensors)"
    )
    parser.add_argument(
        "--at", default="end", choices=("end", "start"), help="of a winning ticket: trained, or not yet"
    )
    parser.add_argument("--masks", type=named_path, metavar="FILE", help="named bool tensors (.pt or .safetensors)")
    parser.add_argument("--onnx", type=named_path, metavar="FILE", help="the network (pip install 'lth_runner[onnx]')")
    parser.add_argument("--shape", metavar="C,H,W", help="of one input, for --onnx: 1,28,28")
    parser.add_argument(
        "--trust", metavar="PACKAGE", action="append", default=[], help="whose code may run to build it"
    )
    return parser.parse_args(words)


def export(asked: argparse.Namespace, terminal: Terminal) -> None:
    """Writes what was asked for; each file appears whole or not at all.

    Raises:
        LthError: nothing was asked for, no such ticket, or a file that cannot be written.
    """
    check(asked)
    loaded = load(asked.ticket, trust=asked.trust)
    if asked.to:
        write_tensors(asked.to, loaded.module(at=asked.at).state_dict())
        terminal.say(f"state dict: {asked.to}")
    if asked.masks:
        write_tensors(asked.masks, loaded.masks())
        terminal.say(f"masks: {asked.masks}")
    if asked.onnx:
        difference = write_onnx(asked.onnx, loaded, asked.at, asked.shape)
        terminal.say(f"ONNX: {asked.onnx}, outputs within {difference:.1e} of torch's")


def check(asked: argparse.Namespace) -> None:
    """Refuses what cannot all be written, before anything is.

    Raises:
        ConfigError: nothing was asked for, an ending or a shape is none, a package is missing, or a file would take the
            place of another one of this command.
    """
    tensors, onnx = [file for file in (asked.to, asked.masks) if file], [asked.onnx] if asked.onnx else []
    if not tensors and not onnx:
        raise ConfigError("nothing to write: add --to net.pt, --masks masks.safetensors or --onnx net.onnx")
    for file in tensors:
        if file.suffix not in FORMATS:
            raise ConfigError(f"{file} ends neither in .pt nor in .safetensors: choose one of them")
    places = [os.path.realpath(file) for file in (asked.ticket, *tensors, *onnx)]
    for i, file in enumerate([*tensors, *onnx], start=1):
        if places[i] in places[:i]:
            raise ConfigError(f"{file} is named twice, and what is written would replace it: choose another name")
    if onnx:
        _check_onnx(asked.shape)
    elif asked.shape is not None:
        raise ConfigError("--shape is of the input for --onnx: leave it out, or add --onnx net.onnx")


def _check_onnx(shape: str | None) -> None:
    for package in ("onnxruntime", "onnxscript"):
        if find_spec(package) is None:
            raise ConfigError(f"--onnx needs {package}: pip install 'lth_runner[onnx]'")
    if shape is None or not re.fullmatch(r"\s*[1-9]\d*\s*(,\s*[1-9]\d*\s*)*", shape, re.ASCII):
        raise ConfigError("--onnx needs the shape of one input: add --shape 1,28,28")


def write_tensors(path: Path, tensors: Mapping[str, torch.Tensor]) -> None:
    """Named tensors as a .pt or .safetensors file.

    Raises:
        DataError: the file cannot be written.
    """
    own = {name: tensor.detach().clone().contiguous() for name, tensor in tensors.items()}  # shared memory is refused
    content = _pickled(own) if path.suffix == ".pt" else save(own)
    with replace_file(path) as temporary:
        temporary.write_bytes(content)  # so that a full disk is refused in the same words for both


def _pickled(tensors: Mapping[str, torch.Tensor]) -> bytes:
    content = io.BytesIO()
    torch.save(dict(tensors), content)
    return content.getvalue()


def write_onnx(path: Path, loaded: Loaded, at: str, shape: str) -> float:
    """The network as an ONNX file; gives the largest difference of its outputs to torch's on random inputs.

    Raises:
        ConfigError: inputs of that shape are none of the network's, or outputs differ.
    """
    module = loaded.module(at=at)
    inputs = torch.rand(2, *map(int, shape.split(",")), generator=torch.Generator().manual_seed(0))
    try:
        expected = module(inputs)
    except (RuntimeError, TypeError, ValueError, IndexError) as error:
        raise ConfigError(f"the network takes no input of --shape {shape} ({str(error).splitlines()[0]})") from error
    import onnxruntime  # pyright: ignore[reportMissingImports]

    batch = torch.export.Dim("batch")
    with replace_file(path) as temporary:
        program = torch.onnx.export(module, (inputs,), dynamo=True, dynamic_shapes=({0: batch},), verbose=False)
        assert program is not None, "dynamo=True gives a program"
        program.save(temporary)
        session = onnxruntime.InferenceSession(str(temporary), providers=["CPUExecutionProvider"])
        (found,) = session.run(None, {session.get_inputs()[0].name: inputs.numpy()})
    difference = float((torch.from_numpy(found) - expected).abs().max())
    if difference > CLOSE * max(1.0, float(expected.abs().max())):
        raise ConfigError(f"{path} computes something else than torch: outputs differ by {difference:.1e}")
    return difference
