"""Masks of whole units, against masks written out by hand."""

import numpy as np

from lth_runner.prune.units import Place, Units, masks


def test_masks_are_those_of_all_places() -> None:
    units = {
        "heads": Units(
            count=2,
            places=(Place(tensor="in", axis=0, each=2, times=3), Place(tensor="out", axis=1, each=2)),
        ),
        "neurons": Units(count=3, places=(Place(tensor="out", axis=0),)),
    }
    kept = {"heads": np.array([True, False]), "neurons": np.array([True, False, True])}
    found = masks(units, kept, {"in": (12, 5), "out": (3, 4)})
    assert found["in"].shape == (12, 1)
    assert found["in"][:, 0].tolist() == [True, True, False, False] * 3
    assert found["out"].tolist() == [[True, True, False, False], [False] * 4, [True, True, False, False]]
