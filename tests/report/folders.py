"""Folders of small runs for tests of reports."""

import json
from pathlib import Path
from typing import Any

import yaml

from lth_runner.report.points import figures_json, points_csv


def accuracy(hidden: int, seed: int) -> float:
    return 0.9 + hidden / 10_000 + seed / 1000


def make_run(folder: Path, hidden: int, seed: int, status: str = "ok", **config: Any) -> None:
    folder.mkdir(parents=True)
    settings = {
        "name": "widths", "seed": seed, "epsilon": 0.01, "runs_dir": str(folder.parent), "wandb": {"group": "one"},
        "network": {"_target_": "lth_runner.networks.fc.FullyConnected", "hidden": hidden},
        "target": {"seed": seed, "cache": str(folder)}, "compare": {"closest": {"hidden": hidden}},
        "study": {"axis": "n", "labels": {"closest": "SubsetSum"}}, **config,
    }  # fmt: skip
    (folder / "config.yaml").write_text(yaml.safe_dump(settings))
    summary: dict[str, Any] = {"status": status, "error": None, "started": "2026-01-01", "wall_time_s": 3.0 + seed}
    if status == "ok":
        summary |= {"target/accuracy": 0.98, "target/weight_error_max": 0.0, "target/over_epsilon": 0}
        summary |= {
            "closest/accuracy": accuracy(hidden, seed),
            "closest/weight_error_max": 0.02,
            "closest/over_epsilon": seed,
        }
    else:
        summary["error"] = "training <diverged>"
    (folder / "summary.json").write_text(json.dumps(summary))
    (folder / "log.txt").write_text("")
    (folder / "environment.json").write_text(json.dumps({"command": ["/somewhere/bin/lth-run", "-m", "seed=0,1"]}))
    points = [
        {"curve": name, "n": n, "accuracy": 0.5 + n / 50, "weight_error_median": 10.0**-n, "weight_error_max": 0.1}
        for name in ("closest", "malach")
        for n in (2, 4, 8)
    ]
    (folder / "metrics.jsonl").write_text("".join(json.dumps(point) + "\n" for point in points))


def own_figure(folder: Path, log_axis: bool = False, kind: str = "curves") -> dict[str, Any]:
    """Gives a folder points and a description of its own figure."""
    description = {
        "kind": kind, "axis": "n", "axis_label": "n", "log_axis": log_axis, "target_accuracy": None,
        "epsilon": None, "labels": {}, "caption": str(log_axis), "published": {},
    }  # fmt: skip
    lines = [{"curve": "closest", "n": n, "accuracy": 0.5 + n / 50} for n in (2, 4, 8)]
    lines = [{**line, "density": line["n"] / 10, "kept": line["n"], "offered": 10} for line in lines]
    (folder / "points.csv").write_text(points_csv(lines))
    (folder / "figures.json").write_text(figures_json({kind: description}))
    return description
