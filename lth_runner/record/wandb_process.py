"""The process that talks to wandb: messages in, one JSON object a line; one answer per finished run out.

It is run as a file, imports nothing of ours, and may be killed at any moment. `wandb.py` speaks with it.
"""

import json
import os
import time
from collections.abc import Callable
from typing import Any


class Writer:
    """One run after the other. After the first failure of a run, what else there is to write of it is dropped."""

    def __init__(self) -> None:
        self.run: Any = None
        self.problem: str | None = None
        self.curves: set[str] = set()
        self.unreachable: str | None = None  # why online failed once: a sweep must not wait for it again in every run

    def handle(self, message: dict[str, Any]) -> None:
        """Does what a message says; only `finish` is answered."""
        kind = message.pop("do")
        if kind == "open":
            self.run, self.problem, self.curves = None, None, set()
            self._try(lambda: self._open(**message))
        elif kind == "finish":
            self._try(lambda: self.run.summary.update(message["summary"]))
            self.close(message["failed"])
        else:
            self._try(lambda: {"log": self._log, "figure": self._figure, "table": self._table}[kind](**message))

    def close(self, failed: bool) -> None:
        """Ends the run, if one is open, so that all it has is on disk or with the server."""
        run, self.run = self.run, None
        try:
            if run is not None:
                run.finish(exit_code=int(failed))
        except Exception as error:
            self.problem = self.problem or incomplete(error)

    def _try(self, work: Callable[[], None]) -> None:
        if self.problem and self.run is None:
            return
        try:
            work()
        except Exception as error:  # whatever wandb raises: the copy suffers, the run must not
            self.problem = self.problem or incomplete(error)

    def _open(self, mode: str, arguments: dict[str, Any], config_yaml: str, settings: dict[str, Any]) -> None:
        import wandb
        import yaml

        arguments["config"] = yaml.safe_load(config_yaml) or {}
        arguments["reinit"] = "create_new"  # several runs of one process are several runs
        known = {name: value for name, value in settings.items() if name in wandb.Settings.model_fields}
        wandb.setup(wandb.Settings(**known))
        if mode == "online" and self.unreachable is None:
            started = time.monotonic()
            try:
                self.run = wandb.init(mode="online", settings=wandb.Settings(**known), **arguments)
                return
            except Exception as error:
                waited = time.monotonic() - started
                self.unreachable = f"W&B did not start online in {waited:.0f} s, the copy is offline: {brief(error)}"
                wandb.teardown()  # the run that did not start still holds its id
                wandb.setup(wandb.Settings(**known))
        self.run = wandb.init(mode="offline", settings=wandb.Settings(**known), **arguments)
        self.problem = self.unreachable

    def _log(self, row: dict[str, Any], curve: str | None, axis: str | None) -> None:
        if curve and axis and curve not in self.curves:
            self.run.define_metric(f"{curve}/*", step_metric=axis)
            self.curves.add(curve)
        self.run.log(row)

    def _figure(self, name: str, png: str) -> None:
        import wandb

        self.run.log({name: wandb.Image(png)})

    def _table(self, name: str, columns: list[str | int], rows: list[list[Any]]) -> None:
        import wandb

        self.run.log({name: wandb.Table(columns=columns, data=rows)})


def incomplete(error: Exception) -> str:
    return f"the copy in W&B is incomplete: {brief(error)}"


def brief(error: Exception) -> str:
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text[:160]}" if text else type(error).__name__


def main() -> None:
    """Handles messages until they end; a run still open then was abandoned by a crash."""
    messages, answers = os.fdopen(os.dup(0)), os.fdopen(os.dup(1), "w")  # copies that wandb's service does not inherit
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.dup2(2, 1)  # what wandb prints must not be read as an answer
    writer = Writer()
    for line in messages:
        message = json.loads(line)
        finishes = message["do"] == "finish"
        writer.handle(message)
        if finishes:
            answers.write(json.dumps(writer.problem) + "\n")
            answers.flush()
    writer.close(failed=True)


if __name__ == "__main__":
    main()
