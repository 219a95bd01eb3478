"""Neural tangent transfer: a sparse network that starts like a dense one, found without labels (Liu and Zenke 2020)."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import torch

from lth_runner.core import checks
from lth_runner.core.recorder import Named, Recorder
from lth_runner.core.step import Step
from lth_runner.data.interface import select
from lth_runner.problem import Found, Problem
from lth_runner.prune.selection import SCOPES, counts, density, masks
from lth_runner.prune.tangent_kernels import kernel_of
from lth_runner.prune.trained_ticket import TrainedTicket, summary
from lth_runner.prune.trainings import Line
from lth_runner.prune.transfer import Pruned, TransferLoss
from lth_runner.training.fit import reproducible
from lth_runner.training.recipe import Recipe
from lth_runner.training.train import train
from lth_runner.training.training import Training

PURPOSE = "transfer"  # of the streams: the order of the images while the kernel is transferred
KERNELS = ("all", "kept")


@dataclass(frozen=True, kw_only=True)
class NeuralTangentTransfer(TrainedTicket):
    """Fits the outputs and the tangent kernel of a pruned network to those of the dense one, then trains it.

    The transfer needs images alone. It trains m * w from the dense network's w, with masks m of the largest |w| that
    are renewed now and then: a pruned weight gets no gradient but is not forgotten, and may come back. The loss is that
    of `transfer.TransferLoss`, its l2_weight divided by the density. Then m * w, transferred, is the start of an
    ordinary training with labels. Dropout is off, and batch norms keep their first statistics, while it is transferred.

    Reference: arXiv:2006.08228 and its published code. Differs from the code: masks keep an exact number of weights;
    biases start at 0; the images that are held out for validation are seen by neither of the two stages.

    Attributes:
        transfer: how the kernel is transferred; `training` is how the ticket is trained afterwards.
        scope: "layer", each keeps the density; "global", all layers together.
        kernel: of the pruned network: "all", the Jacobian at m * w in all weights, those that are pruned included, as
            in the published code; "kept", in the kept weights alone, and in what is never pruned: the kernel that
            governs the training of the ticket. The dense network's is of all its weights. Biases count in all of them.
        kernel_weight: of the kernels' mean squared difference; that of the outputs has weight 1.
        l2_weight: of the sum of the squares of the kept weights, before it is divided by the density.
        renew_every: steps of the transfer after which masks are renewed, as long as as many are left to come.
        measured: images on which the distances that the facts tell are measured: of those held out for validation, or
            test images where there are none.
    """

    transfer: Recipe
    scope: str
    kernel: str
    kernel_weight: float
    l2_weight: float
    renew_every: int
    measured: int

    def __post_init__(self) -> None:
        super().__post_init__()
        checks.positive("density", self.density)
        checks.choice("scope", self.scope, SCOPES)
        checks.choice("kernel", self.kernel, KERNELS)
        checks.not_negative("kernel_weight", self.kernel_weight)
        checks.not_negative("l2_weight", self.l2_weight)
        checks.integer("renew_every", self.renew_every, at_least=1)
        checks.integer("measured", self.measured, at_least=1)

    def find_each(self, problem: Problem, recorder: Recorder, densities: Sequence[float]) -> list[Found]:
        """One ticket per density, each with a transfer of its own; see `Method.find`.

        Facts of a ticket are ntk_distance_before and ntk_distance_after, the mean squared difference of the two
        kernels, over all entries between the two halves of the measured images, with the masks of the dense network's
        weights and with the last ones; and alike output_distance_..., of the outputs.
        """
        return [Transfer(replace(self, density=density), problem, recorder).found() for density in densities]


class Transfer:
    """One transfer on one problem, and the ticket that comes of it."""

    def __init__(self, method: NeuralTangentTransfer, problem: Problem, recorder: Recorder) -> None:
        self.method, self.streams, self.recorder = method, problem.streams, recorder
        self.trainings = method.trainings(problem, recorder)
        self.images = self.trainings.split.train[0]
        parts = self.trainings.split.measured
        self.held_out = select(parts.get("validation", parts["test"])[0], slice(method.measured))
        self.every = Step.parse("evaluate_every", method.evaluate_every)

    def found(self) -> Found:
        """The ticket, transferred and trained."""
        pruned, lines = self._transferred()
        kept = {name: mask.cpu().numpy() for name, mask in pruned.masks.items()}
        start = self.trainings.state(pruned.prune_())
        trained = self.trainings.train(f"density {self.method.density:g}", kept, start)
        facts = {"density": density(kept), **told(lines), **summary(trained.evaluations)}
        accuracy = trained.evaluations[-1]["test_accuracy"]
        self.recorder.say(
            f"{100 * facts['density']:.3g} % kept: kernel distance {facts['ntk_distance_before']:.4g}, after the "
            f"transfer {facts['ntk_distance_after']:.4g}; test accuracy {100 * accuracy:.2f} %"
        )
        return self.trainings.found(kept, trained, self.trainings.stored(start, "transferred"), facts)

    def masks(self, network: torch.nn.Module) -> dict[str, np.ndarray]:
        """Those of a network's largest weights."""
        weights, prunable = dict(network.named_parameters()), self.trainings.prunable
        scores = {name: weights[name].detach().abs().cpu().numpy() for name in prunable}
        return masks(scores, counts(prunable, self.method.density, self.method.scope))

    def _transferred(self) -> tuple[Pruned, list[Line]]:
        """The network at the end of the transfer, and what was measured from before the first step to the last."""
        trainings, name = self.trainings, f"transfer to density {self.method.density:g}"
        dense, network = trainings.module().requires_grad_(False).eval(), trainings.module()
        first = {key: torch.from_numpy(mask) for key, mask in self.masks(network).items()}
        pruned, loss = Pruned(network, first).to(trainings.device), self._loss(dense)
        with reproducible():
            end = train(
                pruned,
                (self.images, None),
                self.method.transfer,
                self.streams,
                PURPOSE,
                Named(self.recorder, name),
                on_step=[partial(self._renew, pruned), partial(self._measure, pruned, loss)],
                loss=loss,
                checkpoint=self.recorder.checkpoint(f"{name.replace(' ', '-')}-{trainings.key}"),
            )
        return pruned, end.history

    def _loss(self, dense: torch.nn.Module) -> TransferLoss:
        method = self.method
        return TransferLoss(
            kernel=kernel_of(dense, select(self.images, slice(2))),
            dense=dict(dense.named_parameters()),
            masked=method.kernel == "kept" and method.density < 1,  # a whole mask would change roundings
            kernel_weight=method.kernel_weight,
            l2_weight=method.l2_weight / method.density,
        )

    def _renew(self, pruned: Pruned, step: int, training: Training) -> None:
        if renews(step, self.method.renew_every, self._last(training)):
            pruned.renew_(self.masks(pruned.network))

    def _measure(self, pruned: Pruned, loss: TransferLoss, step: int, training: Training) -> None:
        if step % self.every.steps(training.steps_per_epoch) == 0 or step == self._last(training):
            kernel, outputs = loss.distances(pruned, self.held_out)
            training.record(transfer_step=step, ntk_distance=kernel, output_distance=outputs)
            training.note(f"kernel distance {kernel:.4g}")

    def _last(self, training: Training) -> int:
        return self.method.transfer.steps(training.steps_per_epoch)


def renews(step: int, every: int, last: int) -> bool:
    """Whether masks are chosen anew after `step` of `last` steps: now and then, if as many are left to come."""
    return step > 0 and step % every == 0 and last - step >= every


def told(lines: Sequence[Line]) -> Line:
    """What a ticket's facts say of its transfer.

    Args:
        lines: what was measured, from before the first step to the last.
    """
    first, last = lines[0], lines[-1]
    names = ("ntk_distance", "output_distance")
    before, after = {f"{n}_before": first[n] for n in names}, {f"{n}_after": last[n] for n in names}
    return {"transfer_steps": last["transfer_step"], **before, **after}
