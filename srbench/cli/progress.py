"""A run as it goes on, on standard error: plain lines for a file, a bar for a terminal."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING

from srbench.experiment.listener import Listener
from srbench.report.units import count, duration, scaled

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress, TaskID

    from srbench.data.dataset import Dataset
    from srbench.record.schema import DataUsed, Epoch

WIDE = 100


def listener(console: Console, *, select_by: str, quiet: bool, verbose: bool) -> Listener:
    """The listener of one run. select_by: the validation metric to show."""
    if quiet:
        return Listener()
    kind = TerminalListener if console.is_terminal else PlainListener
    return kind(console, select_by, verbose)


def shown(listener: Listener) -> AbstractContextManager[object]:
    """While it is entered, a bar is on the screen; however the block ends, it is taken away."""
    return listener.bar if isinstance(listener, TerminalListener) else nullcontext()


class PlainListener(Listener):
    """One line for the data, one for each epoch, one for each warning."""

    def __init__(self, console: Console, select_by: str, verbose: bool) -> None:
        self.console = console
        self.select_by = select_by
        self.verbose = verbose
        self.epochs = 0
        self.told = ""

    def say(self, sentence: str, style: str | None = None) -> None:
        self.console.print(sentence, style=style, soft_wrap=not self.console.is_terminal)

    def phase(self, name: str) -> None:
        if self.verbose:
            self.say(f"{name} ...")

    def progress(self, what: str, done: int, total: int | None) -> None:
        if what != self.told:
            self.told = what
            self.say(f"{what.partition(' (')[0]} ...")

    def dataset_ready(self, dataset: Dataset, summary: DataUsed) -> None:
        self.say(
            f"{summary.name}: {count(summary.users)} users, {count(summary.items)} items, "
            f"{count(summary.interactions)} interactions, {count(summary.train_targets)} targets"
        )
        if self.verbose:
            for step in summary.steps:
                self.say(
                    f"  {step.name}: {count(step.users)} users, {count(step.items)} items, "
                    f"{count(step.interactions)} interactions"
                )
            if summary.leak is not None:
                self.say(f"  leak: {summary.leak:.1%} of training is later than the median test")

    def resumed(self, epoch: int, epochs: int) -> None:
        self.say(f"goes on behind epoch {epoch} of {epochs}; --fresh starts again")

    def estimate(self, seconds_per_epoch: float, epochs: int, advice: str | None) -> None:
        self.say(
            f"an epoch takes about {duration(seconds_per_epoch)}, "
            f"{epochs} epochs at most {duration(seconds_per_epoch * epochs)}"
        )
        if advice:
            self.say(advice)

    def epoch_begins(self, epoch: int, epochs: int, targets: int) -> None:
        self.epochs = epochs

    def epoch_ends(self, row: Epoch, best: bool) -> None:
        self.say(self.line(row, best))

    def warning(self, what: str, advice: str) -> None:
        self.say(f"warning: {what} {advice}".rstrip(), style="yellow")

    def validation(self, row: Epoch) -> float | None:
        """The number that picks the best epoch, if this epoch was validated."""
        found = [
            value
            for signature, value in (row.validation or {}).items()
            if signature.startswith(f"{self.select_by}|")
        ]
        return found[0] if found else None

    def line(self, row: Epoch, best: bool) -> str:
        """`epoch 3/200  loss 6.1234  ndcg@10 0.1423*  18,201 targets/s  5.1 s`; * is the best."""
        loss = "not finite" if row.loss is None else f"{row.loss:.4f}"
        parts = [f"epoch {row.epoch}/{self.epochs}", f"loss {loss}"]
        value = self.validation(row)
        if value is not None:
            parts.append(f"{self.select_by.split('|')[0]} {value:.4f}{'*' if best else ' '}")
        parts += [f"{count(row.targets_per_second)} targets/s", duration(row.seconds)]
        return "  ".join(parts)


class TerminalListener(PlainListener):
    """A bar for the epoch at work; with `verbose`, also a line for each epoch that is done."""

    def __init__(self, console: Console, select_by: str, verbose: bool) -> None:
        super().__init__(console, select_by, verbose)
        self.bar = _bar(console)
        self.task: TaskID | None = None
        self.best: float | None = None
        self.last: float | None = None
        self.seconds: list[float] = []

    def phase(self, name: str) -> None:
        self._begin(name, None)

    def progress(self, what: str, done: int, total: int | None) -> None:
        if self.task is None:
            self._begin(what, total)
        assert self.task is not None
        self.bar.update(self.task, description=what, completed=done, total=total)

    def epoch_begins(self, epoch: int, epochs: int, targets: int) -> None:
        super().epoch_begins(epoch, epochs, targets)
        self._begin(f"epoch {epoch}/{epochs}", targets)

    def step(self, epoch: int, done_targets: int, targets: int, loss: float | None) -> None:
        if self.task is None:
            return
        task = next(task for task in self.bar.tasks if task.id == self.task)
        facts = [] if loss is None else [f"loss {loss:.3f}"]
        if self.last is not None:
            metric = self.select_by.split("|")[0]
            facts.append(f"{metric} {self.last:.4f}")
            if self.console.width >= WIDE and self.best is not None:
                facts.append(f"best {self.best:.4f}")
        if task.speed:
            facts.append(scaled(task.speed, "/s"))
        left = self._seconds_left(epoch, task.time_remaining)
        if left is not None:
            facts.append(f"at most {duration(left)} left")
        self.bar.update(self.task, completed=done_targets, facts=" · ".join(facts))

    def epoch_ends(self, row: Epoch, best: bool) -> None:
        value = self.validation(row)
        self.last = self.last if value is None else value
        self.best = value if best and value is not None else self.best
        self.seconds.append(row.seconds + (row.validation_seconds or 0))
        if self.verbose:
            self.say(self.line(row, best))

    def _begin(self, name: str, total: int | None) -> None:
        if self.task is not None:
            self.bar.remove_task(self.task)
        self.task = self.bar.add_task(name, total=total, facts="")

    def _seconds_left(self, epoch: int, this_epoch: float | None) -> float | None:
        """Until the last epoch; early stopping may end it before."""
        if not self.seconds:
            return None if self.epochs > 1 else this_epoch
        mean = sum(self.seconds) / len(self.seconds)
        return (this_epoch or 0) + mean * (self.epochs - epoch)


def _bar(console: Console) -> Progress:
    from rich.progress import BarColumn, Progress, TextColumn

    return Progress(
        TextColumn("{task.description}"),
        BarColumn(bar_width=30 if console.width >= WIDE else 8),
        TextColumn("{task.fields[facts]}"),
        console=console,
        transient=True,
        refresh_per_second=4,
    )
