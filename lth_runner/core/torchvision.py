"""torchvision where its compiled operators fit torch, and where they do not."""

import importlib
import sys
from types import ModuleType

_declared: list[object] = []  # a library that is collected takes its operators with it


def import_torchvision(module: str = "torchvision.datasets") -> ModuleType:
    """A module of torchvision, also where a CUDA build of it meets a CPU build of torch.

    Its compiled operators then fail to load, and the import stops at the declaration of a shape rule for `nms`.
    Declaring the operators, which datasets never call, lets it pass; on a healthy install that would break it, so the
    plain import comes first (pytorch/vision#9077).
    """
    try:
        return importlib.import_module(module)
    except RuntimeError as error:
        if "torchvision::nms" not in str(error):
            raise
    import torch

    for name in [name for name in sys.modules if name.split(".")[0] == "torchvision"]:
        del sys.modules[name]
    library = torch.library.Library("torchvision", "DEF")
    for operator in ("nms", "qnms"):
        library.define(f"{operator}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    _declared.append(library)
    return importlib.import_module(module)
