"""What a block ticket of a large network takes: time and memory, and how far these are from what has to be held.

    python scripts/bench_block.py --out results/bench_block.md

The networks are those of bench_scale.py: vision transformers of 8 blocks with torch's own random weights, as wide as
the number of weights asks for. Inputs to calibrate on are random images. Every row is made in a process of its own, so
that its peak of memory is its own. What has to be held is the target in float64, the ticket, and of one layer: the
second moments of its inputs, or of a plain one its weights once; "beyond" is what the peak is above the target and the
ticket, with Python, torch and the codebook's 2^20 points taken off. Where other programs keep the machine busy, CPU
seconds say more than the clock.
"""

import argparse
import multiprocessing
import sys
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
import torch
from bench_scale import MIB, Bars, Clock, Row, machine, network, peak, random_target, through_file

from lth_runner.config.compose import method_of
from lth_runner.construct.block import Block
from lth_runner.construct.block_coding import sizes_of
from lth_runner.construct.codebook import Codebook
from lth_runner.core.streams import Streams
from lth_runner.data.interface import from_tensors
from lth_runner.networks.layers import weight_layers
from lth_runner.problem import Problem, Share
from lth_runner.report.tables import markdown

WAYS = ("none", "target", "pruned")


def measured(millions: float, way: str, samples: int, parts: int) -> Row:
    """One row of the table, in the process that this is called in.

    Args:
        way: whose inputs count: "target", "pruned", or nobody's ("none").
        samples: to calibrate on.
        parts: 1 for the whole ticket; else the first of so many parts is made.
    """
    architecture = network(millions)
    weights = random_target(architecture)
    images = torch.rand(samples, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    labels = torch.arange(samples) % 10
    data = from_tensors(images, labels, images, labels)
    problem = Problem(network=architecture, target=weights, data=data, streams=Streams(0), device="cpu")
    follow = {"compensation": {"follow": way, "samples": samples}} if way != "none" else {}
    method = method_of("block", {"compensate": "none" if way == "none" else "inputs", **follow})
    assert isinstance(method, Block), "as its file says"
    Codebook(np.random.default_rng(0).normal(size=(method.n, method.block)))  # once, so that it is no part of the peak
    before, clock, layers = peak(), Clock(), weight_layers(architecture)
    with clock("find"):
        ticket = method.find(problem, Bars()).ticket if parts == 1 else None
        tensors = {} if ticket else method.make(problem, Bars(), Share(index=0, count=parts))
    after, size = peak(), sum(tensor.nbytes for tensor in tensors.values()) / MIB
    row = {
        "weights": f"{sum(array.size for array in weights.values()) / 1e6:.1f} M",
        "inputs": way,
        "samples": "" if way == "none" else str(samples),
        "made": "all" if parts == 1 else f"part 0 of {parts}",
        "find, s": f"{clock.wall['find']:,.0f}",
        "CPU s": f"{clock.cpu['find']:,.0f}",
    }
    if ticket is not None:
        _, size = through_file(ticket, clock)
    inputs = max(inputs for _, inputs in sizes_of(layers).values())
    largest = max(rows * inputs for rows, inputs in sizes_of(layers).values())
    return row | {
        "peak of find, MiB": f"{after:,.0f}",
        "target": f"{sum(array.nbytes for array in weights.values()) / MIB:,.0f}",
        "ticket": f"{size:,.1f}",
        "one layer": f"{8 * (largest if way == 'none' else inputs**2) / MIB:,.0f}",
        "beyond": f"{after - before - size:,.0f}",
        "save, read, s (CPU)": "" if parts > 1 else f"{clock.cpu['save']:.1f}, {clock.cpu['read']:.1f}",
    }


def rows(options: argparse.Namespace) -> Iterator[Row]:
    """The rows in turn, each from a process of its own."""
    spawn = multiprocessing.get_context("spawn")
    for millions in options.millions:
        for way in options.inputs:
            with ProcessPoolExecutor(1, mp_context=spawn) as pool:
                yield pool.submit(measured, millions, way, options.samples, options.parts).result()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--millions", type=float, nargs="+", default=[10, 100], help="weights of the networks")
    parser.add_argument("--inputs", nargs="+", choices=WAYS, default=["none", "target"])
    parser.add_argument("--samples", type=int, default=64, help="images of 65 positions to calibrate on")
    parser.add_argument("--parts", type=int, default=1, help="more: only the first of so many parts is made")
    parser.add_argument("--out", type=Path, help="the .md file to write; none: print only")
    options = parser.parse_args()
    found: list[Row] = []
    text = ""
    for row in rows(options):
        found.append(row)
        text = (
            f"{machine()}; n = 20 for blocks of 5.\n\n{markdown(list(row), [list(each.values()) for each in found])}\n"
        )
        if options.out:
            options.out.write_text(f"# Scale of block tickets\n\n    python {' '.join(sys.argv)}\n\n{text}")
    print(text)


if __name__ == "__main__":
    main()
