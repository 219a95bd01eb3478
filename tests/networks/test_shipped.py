"""The networks of the lottery papers and the small transformer: published sizes, forward passes, traces."""

import math
from typing import Any

import pytest
import torch

from lth_runner.core.errors import ConfigError
from lth_runner.networks.conv import Conv
from lth_runner.networks.interface import Architecture, parameter_shapes
from lth_runner.networks.resnet import PaddedShortcut, ResNet
from lth_runner.networks.vgg import VGG
from lth_runner.networks.vit import ViT

STAGES = ((64, 64), (128, 128), (256, 256))
CONV: dict[str, Any] = {"channels": 3, "side": 32, "hidden": (256, 256), "outputs": 10}
RESNET: dict[str, Any] = {"channels": 3, "width": 16, "blocks": 3, "outputs": 10, "shortcut": "projection"}
VIT: dict[str, Any] = {
    "channels": 1, "side": 28, "patch": 7, "width": 64, "heads": 4, "depth": 2, "hidden": 256, "outputs": 10,
    "class_token": True,
}  # fmt: skip


def vgg(*depths: int, **changes: Any) -> VGG:
    widths = (64, 128, 256, 512, 512)
    stages = tuple((width,) * depth for width, depth in zip(widths, depths, strict=True))
    return VGG(**{"channels": 3, "convolutions": stages, "outputs": 10, "batch_norm": True, **changes})


def size(network: Architecture, only: str = "") -> int:
    return sum(math.prod(shape) for name, shape in parameter_shapes(network).items() if only in name)


@pytest.mark.parametrize(("stages", "whole", "convolutions"), [(1, 4_300_992, 38_592), (2, 2_425_024, 259_776)])
def test_conv_2_and_4_have_the_published_sizes(stages: int, whole: int, convolutions: int) -> None:
    """4.3M and 38K, 2.4M and 260K."""
    network = Conv(**CONV, convolutions=STAGES[:stages], biases=False)
    assert (size(network), size(network, "conv")) == (whole, convolutions)


def test_conv_6_has_the_published_convolutions() -> None:
    """1.1M; the paper's 1.7M for all layers does not follow from the layers that it lists."""
    network = Conv(**CONV, convolutions=STAGES, biases=False)
    assert (size(network), size(network, "conv")) == (2_261_184, 1_144_512)
    biases = sum((64, 64, 128, 128, 256, 256, 256, 256, 10))
    assert size(Conv(**CONV, convolutions=STAGES, biases=True)) == 2_261_184 + biases


def test_resnet20_has_the_published_size() -> None:
    """270K in convolutions and 274K with the statistics of its norms; 0.27M without projections."""
    network = ResNet(**RESNET)
    assert size(network, "conv") == 270_256
    assert size(network) == 272_474
    statistics = sum(buffer.numel() for name, buffer in network.module().named_buffers() if "running" in name)
    assert size(network) + statistics == 274_042
    assert size(ResNet(**{**RESNET, "shortcut": "padding"})) == 269_722


def test_vgg_has_the_published_size() -> None:
    """20.0M for VGG-19."""
    assert size(vgg(2, 2, 4, 4, 4)) == 20_035_018
    assert size(vgg(2, 2, 3, 3, 3)) == 14_724_042
    assert size(vgg(2, 2, 3, 3, 3), "conv") == 14_710_464


def test_the_small_transformer_has_the_stated_size() -> None:
    assert size(ViT(**VIT)) == 105_098
    assert size(ViT(**VIT), "attention") == 2 * 4 * 64 * 65


SMALL: dict[str, Architecture] = {
    "conv": Conv(channels=2, side=8, convolutions=((4, 5), (6,)), hidden=(7,), outputs=3, biases=True),
    "conv, odd side": Conv(channels=2, side=9, convolutions=((4,), (6,)), hidden=(7,), outputs=3, biases=False),
    "vgg": VGG(channels=2, convolutions=((4,), (6, 6)), outputs=3, batch_norm=True),
    "vgg without norm": VGG(channels=2, convolutions=((4,), (6, 6)), outputs=3, batch_norm=False),
    "resnet": ResNet(channels=2, width=4, blocks=2, outputs=3, shortcut="projection"),
    "resnet, padding": ResNet(channels=2, width=3, blocks=1, outputs=3, shortcut="padding"),
    "vit": ViT(channels=2, side=8, patch=4, width=16, heads=2, depth=2, hidden=12, outputs=3, class_token=True),
    "vit, mean": ViT(channels=2, side=8, patch=4, width=16, heads=4, depth=1, hidden=12, outputs=3, class_token=False),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", SMALL)
@pytest.mark.parametrize("training", [True, False])
def test_forward_pass_and_its_trace_agree_in_float64(name: str, training: bool) -> None:
    torch.manual_seed(0)
    side = 9 if "odd" in name else 8
    module = SMALL[name].module().double().train(training)
    for parameter in module.parameters():
        torch.nn.init.normal_(parameter)
    x = torch.randn(5, 2, side, side, dtype=torch.float64)
    outputs = module(x)
    assert outputs.shape == (5, 3) and outputs.dtype == torch.float64
    torch.testing.assert_close(torch.fx.symbolic_trace(module)(x), outputs)
    module(x).square().sum().backward()
    assert all(parameter.grad is not None for parameter in module.parameters())


@pytest.mark.parametrize("name", SMALL)
def test_every_kind_has_a_name_for_files(name: str) -> None:
    assert SMALL[name].kind == name.split(",")[0].split()[0]  # pyright: ignore[reportAttributeAccessIssue]


def test_padded_shortcut_takes_every_second_position_and_adds_zeros() -> None:
    x = torch.arange(32.0).reshape(1, 2, 4, 4)
    y = PaddedShortcut(3)(x)
    assert y.shape == (1, 5, 2, 2)
    torch.testing.assert_close(y[:, 1:3], x[:, :, ::2, ::2])
    assert y[:, [0, 3, 4]].count_nonzero() == 0


def test_a_transformer_without_positions_does_not_see_the_order_of_patches() -> None:
    module = SMALL["vit, mean"].module().eval()  # positions start at 0
    x = torch.randn(2, 2, 8, 8)
    swapped = torch.cat((x[..., 4:], x[..., :4]), dim=-1)
    torch.testing.assert_close(module(swapped), module(x))
    torch.nn.init.normal_(module.get_parameter("positions"))
    assert not torch.allclose(module(swapped), module(x), atol=1e-3)


@pytest.mark.parametrize(
    ("kind", "settings", "message"),
    [
        (Conv, {**CONV, "convolutions": [[64]], "biases": True, "side": 1}, "network.side must be at least 2"),
        (Conv, {**CONV, "convolutions": [64, 64], "biases": True}, "at least one width in each list"),
        (Conv, {**CONV, "convolutions": [], "biases": True}, "list of lists of widths"),
        (Conv, {**CONV, "convolutions": [[64]], "hidden": [0], "biases": True}, "network.hidden must be at least 1"),
        (ResNet, {**RESNET, "blocks": 0}, "network.blocks must be at least 1"),
        (ResNet, {**RESNET, "shortcut": "paddin"}, r"did you mean padding\?"),
        (ViT, {**VIT, "depth": 10_001}, "network.depth must be at most 10000, got 10001"),
        (ViT, {**VIT, "patch": 8}, "network.side must be a multiple of network.patch=8"),
        (ViT, {**VIT, "heads": 5}, "network.width must be a multiple of network.heads=5"),
    ],
)
def test_impossible_settings_are_refused(kind: Any, settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        kind(**settings)
