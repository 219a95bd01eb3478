"""The `lth-export` command: a ticket's pruned network, or its masks, as a file that other programs read."""

import argparse
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from safetensors.torch import save_file

from lth_runner.api import Loaded, load
from lth_runner.cli.arguments import Arguments
from lth_runner.cli.interruptible import interruptible
from lth_runner.core.errors import ConfigError, LthError
from lth_runner.core.files import replace_file
from lth_runner.record.terminal import Terminal

FORMATS = (".pt", ".safetensors")
CLOSE = 1e-4  # largest difference to torch's outputs, as a share of the largest output, that an ONNX file may show


def main() -> None:
    """Runs `lth-export`."""
    asked = arguments(sys.argv[1:])
    try:
        with interruptible("lth-export: interrupted"):
            export(asked, Terminal())
    except LthError as error:
        sys.exit(f"lth-export: {error}")


def arguments(words: Sequence[str]) -> argparse.Namespace:
    """The command line."""
    parser = Arguments(
        prog="lth-export",
        description="Writes a ticket's pruned network as a plain state dict, its masks, or an ONNX file.",
        epilog="example: lth-export ticket.safetensors --to net.pt --masks masks.safetensors",
    )
    parser.add_argument("ticket", type=Path, help="a ticket.safetensors of a run folder")
    parser.add_argument("--to", type=Path, metavar="FILE", help="the pruned network's state dict (.pt or .safetensors)")
    parser.add_argument(
        "--at", default="end", choices=("end", "start"), help="of a winning ticket: trained, or not yet"
    )
    parser.add_argument("--masks", type=Path, metavar="FILE", help="named bool tensors (.pt or .safetensors)")
    parser.add_argument("--onnx", type=Path, metavar="FILE", help="the network (pip install 'lth_runner[onnx]')")
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
    if not (asked.to or asked.masks or asked.onnx):
        raise ConfigError("nothing to write: add --to net.pt, --masks masks.safetensors or --onnx net.onnx")
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


def write_tensors(path: Path, tensors: Mapping[str, torch.Tensor]) -> None:
    """Named tensors as a .pt or .safetensors file.

    Raises:
        ConfigError: another ending.
        DataError: the file cannot be written.
    """
    if path.suffix not in FORMATS:
        raise ConfigError(f"{path} ends neither in .pt nor in .safetensors: choose one of them")
    own = {name: tensor.detach().clone().contiguous() for name, tensor in tensors.items()}  # shared memory is refused
    with replace_file(path) as temporary:
        torch.save(own, temporary) if path.suffix == ".pt" else save_file(own, temporary)


def write_onnx(path: Path, loaded: Loaded, at: str, shape: str | None) -> float:
    """The network as an ONNX file; gives the largest difference of its outputs to torch's on random inputs.

    Raises:
        ConfigError: no input shape, the extra is not installed, or outputs that differ.
    """
    try:
        import onnxruntime  # pyright: ignore[reportMissingImports]
        import onnxscript  # noqa: F401  # pyright: ignore[reportMissingImports]
    except ImportError as error:
        raise ConfigError(f"--onnx needs {error.name}: pip install 'lth_runner[onnx]'") from error
    if shape is None or not all(part.strip().isdigit() for part in shape.split(",")):
        raise ConfigError("--onnx needs the shape of one input: add --shape 1,28,28")
    module = loaded.module(at=at)
    inputs = torch.rand(2, *map(int, shape.split(",")), generator=torch.Generator().manual_seed(0))
    batch = torch.export.Dim("batch")
    with replace_file(path) as temporary:
        program = torch.onnx.export(module, (inputs,), dynamo=True, dynamic_shapes=({0: batch},), verbose=False)
        assert program is not None, "dynamo=True gives a program"
        program.save(temporary)
        session = onnxruntime.InferenceSession(str(temporary), providers=["CPUExecutionProvider"])
        (found,) = session.run(None, {session.get_inputs()[0].name: inputs.numpy()})
    expected = module(inputs)
    difference = float((torch.from_numpy(found) - expected).abs().max())
    if difference > CLOSE * max(1.0, float(expected.abs().max())):
        raise ConfigError(f"{path} computes something else than torch: outputs differ by {difference:.1e}")
    return difference
