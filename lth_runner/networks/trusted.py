"""Which builders a file of somebody else may name: building a module runs its code, and code can do anything."""

from collections.abc import Collection, Mapping
from typing import Any

from lth_runner.core.errors import ConfigError, DataError

# `torchvision.models.list_models()` of torchvision 0.28 by where the builders stand behind "torchvision.models.",
# without the quantised ones, whose weights are no parameters.
NAMES = """
    alexnet convnext_base convnext_large convnext_small convnext_tiny densenet121 densenet161 densenet169
    densenet201 efficientnet_b0 efficientnet_b1 efficientnet_b2 efficientnet_b3 efficientnet_b4 efficientnet_b5
    efficientnet_b6 efficientnet_b7 efficientnet_v2_l efficientnet_v2_m efficientnet_v2_s googlenet inception_v3
    maxvit_t mnasnet0_5 mnasnet0_75 mnasnet1_0 mnasnet1_3 mobilenet_v2 mobilenet_v3_large mobilenet_v3_small
    regnet_x_16gf regnet_x_1_6gf regnet_x_32gf regnet_x_3_2gf regnet_x_400mf regnet_x_800mf regnet_x_8gf
    regnet_y_128gf regnet_y_16gf regnet_y_1_6gf regnet_y_32gf regnet_y_3_2gf regnet_y_400mf regnet_y_800mf
    regnet_y_8gf resnet101 resnet152 resnet18 resnet34 resnet50 resnext101_32x8d resnext101_64x4d resnext50_32x4d
    shufflenet_v2_x0_5 shufflenet_v2_x1_0 shufflenet_v2_x1_5 shufflenet_v2_x2_0 squeezenet1_0 squeezenet1_1 swin_b
    swin_s swin_t swin_v2_b swin_v2_s swin_v2_t vgg11 vgg11_bn vgg13 vgg13_bn vgg16 vgg16_bn vgg19 vgg19_bn vit_b_16
    vit_b_32 vit_h_14 vit_l_16 vit_l_32 wide_resnet101_2 wide_resnet50_2
    segmentation.deeplabv3_mobilenet_v3_large segmentation.deeplabv3_resnet101 segmentation.deeplabv3_resnet50
    segmentation.fcn_resnet101 segmentation.fcn_resnet50 segmentation.lraspp_mobilenet_v3_large
    detection.fasterrcnn_mobilenet_v3_large_320_fpn detection.fasterrcnn_mobilenet_v3_large_fpn
    detection.fasterrcnn_resnet50_fpn detection.fasterrcnn_resnet50_fpn_v2 detection.fcos_resnet50_fpn
    detection.keypointrcnn_resnet50_fpn detection.maskrcnn_resnet50_fpn detection.maskrcnn_resnet50_fpn_v2
    detection.retinanet_resnet50_fpn detection.retinanet_resnet50_fpn_v2 detection.ssd300_vgg16
    detection.ssdlite320_mobilenet_v3_large
    optical_flow.raft_large optical_flow.raft_small
    video.mc3_18 video.mvit_v1_b video.mvit_v2_s video.r2plus1d_18 video.r3d_18 video.s3d video.swin3d_b
    video.swin3d_s video.swin3d_t
"""
TORCHVISION = frozenset(NAMES.split())
LOADS_A_BACKBONE = ("segmentation.", "detection.")  # fetch weights unless told weights_backbone=None


def is_trusted(package: str, trust: Collection[str]) -> bool:
    """Whether the reader of a file consents to run the code of a top-level package.

    Raises:
        ConfigError: see `check_trust`.
    """
    check_trust(trust)
    return package in trust


def check_trust(trust: Collection[str]) -> None:
    """Refuses what names no packages.

    Raises:
        ConfigError: one text, whose every part would count as a package, or a name that no package can have.
    """
    if isinstance(trust, str):
        raise ConfigError(f'trust must be a list of packages, got {trust!r}: write trust=["{trust}"]')
    for name in trust:
        if not isinstance(name, str) or not all(part.isidentifier() for part in name.split(".")):
            raise ConfigError(
                f'trust must name packages, got {name!r}: write --trust my_lab (trust=["my_lab"] in Python), or leave '
                "it out"
            )


def check_builder(builder: str, arguments: Mapping[str, Any], trust: Collection[str]) -> None:
    """Lets pass a listed model of torchvision that loads no weights, and what is in a trusted package.

    Args:
        builder: "package.module.name" or "package.module:name".
        arguments: of the builder.
        trust: top-level packages whose code the reader consents to run.

    Raises:
        DataError: anything else, torch's own functions included.
    """
    path = builder.replace(":", ".")
    package, _, _ = path.partition(".")
    name = path.removeprefix("torchvision.models.")
    if is_trusted(package, trust):
        return
    if name == path or name not in TORCHVISION:
        raise DataError(
            f"this file's network is built by {builder}, which can run any code: add --trust {package} "
            f'(or trust=["{package}"]) if you trust that code'
        )
    refused = _refused(name, arguments)
    if refused:
        raise DataError(
            f"this file's network is built by {builder} with {refused}, which may load other files: add "
            f'--trust {package} (or trust=["{package}"]) if you trust that'
        )


def is_listed(builder: str, arguments: Mapping[str, Any]) -> bool:
    """Whether everybody can have the network built: it needs no trust."""
    try:
        check_builder(builder, arguments, ())
    except DataError:
        return False
    return True


def _refused(name: str, arguments: Mapping[str, Any]) -> str | None:
    """The first argument of a torchvision model that is not plain or loads weights; None if all are harmless."""
    for key, value in arguments.items():
        loads = key.startswith(("weights", "pretrained")) and value is not None
        if loads or not all(map(_plain, value if isinstance(value, list | tuple) else [value])):
            return f"{key}={value!r}"
    if name.startswith(LOADS_A_BACKBONE) and "weights_backbone" not in arguments:
        return "its own weights_backbone"
    return None


def _plain(value: Any) -> bool:
    return value is None or type(value) in (bool, int, float, str)
