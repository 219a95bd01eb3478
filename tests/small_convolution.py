"""A convolutional network small enough for exhaustive tests: stride, padding, pooling and biases included."""

from collections import OrderedDict
from dataclasses import dataclass

import torch


@dataclass(frozen=True, kw_only=True)
class SmallConvolution:
    """conv 2 -> 3 (padding 1), ReLU, pool, conv 3 -> 2 (stride 2), ReLU, linear to 3; images are 2 x 8 x 8."""

    biases: bool

    def module(self) -> torch.nn.Module:
        return torch.nn.Sequential(
            OrderedDict(
                conv1=torch.nn.Conv2d(2, 3, 3, padding=1, bias=self.biases),
                relu1=torch.nn.ReLU(),
                pool=torch.nn.MaxPool2d(2),
                conv2=torch.nn.Conv2d(3, 2, (3, 2), stride=2, bias=self.biases),
                relu2=torch.nn.ReLU(),
                flatten=torch.nn.Flatten(),
                fc=torch.nn.Linear(4, 3, bias=self.biases),
            )
        )
