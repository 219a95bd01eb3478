"""Whom a stranger's file may call: listed models without weights, and what the reader trusts."""

import importlib
from typing import Any

import pytest

from lth_runner.core.errors import DataError
from lth_runner.core.torchvision import import_torchvision
from lth_runner.networks.trusted import TORCHVISION, check_builder

RESNET = "torchvision.models.resnet18"
FCN = "torchvision.models.segmentation.fcn_resnet50"


def test_the_list_is_torchvisions_own() -> None:
    models = import_torchvision("torchvision.models")
    listed = set(models.list_models(module=models))
    for group in ("segmentation", "detection", "optical_flow", "video"):
        part = importlib.import_module(f"torchvision.models.{group}")
        listed |= {f"{group}.{name}" for name in models.list_models(module=part)}
    assert listed == TORCHVISION


@pytest.mark.parametrize(
    ("builder", "arguments", "trust"),
    [
        (RESNET, {}, ()),
        ("torchvision.models:resnet18", {"weights": None, "num_classes": 10, "zero_init_residual": True}, ()),
        (RESNET, {"replace_stride_with_dilation": [False, True, False]}, ()),
        (FCN, {"weights_backbone": None}, ()),
        (FCN, {}, ["torchvision"]),
        (RESNET, {"weights": "DEFAULT"}, {"torchvision"}),
        ("my_lab.nets.Net", {"layer": object()}, ["my_lab"]),
        ("torch.nn.Linear", {"in_features": 2, "out_features": 3}, ("torch",)),
    ],
)
def test_passes(builder: str, arguments: dict[str, Any], trust: Any) -> None:
    check_builder(builder, arguments, trust)


@pytest.mark.parametrize(
    "builder",
    [
        "torch.hub.load",
        "torch.load",
        "torch.ops.load_library",
        "torch.nn.Linear",
        "os.system",
        "builtins.exec",
        "my_lab.nets.Net",
        "my_lab:Net",
        "lth_runner.networks.imported.import_builder",
        "torchvision.models.get_model",
        "torchvision.models.resnet.load_state_dict_from_url",
        "torchvision.models.resnet18.__globals__",
        "torchvision.models.segmentation.resnet18",
        "resnet18",
        "",
    ],
)
def test_other_builders_are_refused_with_the_remedy(builder: str) -> None:
    package = builder.replace(":", ".").split(".")[0]
    with pytest.raises(DataError, match=f'add --trust {package} .or trust=."{package}".. if you trust'):
        check_builder(builder, {}, ["my", "my_lab2", "tor", "torch.hub", "o", "built"])


@pytest.mark.parametrize(
    ("builder", "arguments"),
    [
        (RESNET, {"weights": "DEFAULT"}),
        (RESNET, {"weights": False}),
        (RESNET, {"weights": "a.pth"}),
        (RESNET, {"pretrained": True}),
        (RESNET, {"norm_layer": {"_target_": "os.system"}}),
        (RESNET, {"norm_layer": print}),
        (RESNET, {"replace_stride_with_dilation": [[True]]}),
        (FCN, {}),  # would fetch a backbone
        (FCN, {"weights_backbone": "DEFAULT"}),
    ],
)
def test_arguments_that_are_not_plain_or_load_weights_are_refused(builder: str, arguments: dict[str, Any]) -> None:
    with pytest.raises(DataError, match="--trust torchvision"):
        check_builder(builder, arguments, ())
