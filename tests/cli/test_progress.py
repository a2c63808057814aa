"""What a run says while it goes on: plain lines in a file, a bar on a terminal."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from srbench.cli import progress
from srbench.cli.progress import PlainListener, TerminalListener
from srbench.experiment.listener import Listener
from srbench.record.schema import Epoch, Record

SELECT_BY = "ndcg@10|full|seen:keep"


def console(*, terminal: bool, width: int = 80) -> Console:
    return Console(
        file=io.StringIO(),
        force_terminal=terminal,
        width=width,
        height=25,
        color_system=None,
        legacy_windows=False,
        _environ={},
    )


def written(listener: Listener) -> str:
    assert isinstance(listener, PlainListener)
    file = listener.console.file
    assert isinstance(file, io.StringIO)
    return file.getvalue()


def row(epoch: int, value: float | None = 0.1234, loss: float | None = 6.5) -> Epoch:
    validation = None if value is None else {f"{SELECT_BY}|ties:half|loo|v1": value, "other": 0.9}
    return Epoch(
        epoch=epoch,
        steps=epoch * 4,
        loss=loss,
        seconds=2.0,
        targets_per_second=48585.5,
        validation=validation,
        validation_seconds=None if value is None else 1.0,
    )


def tell(listener: Listener, record: Record) -> None:
    """A run of two epochs with everything a run may say."""
    with progress.shown(listener):
        listener.phase("preparing")
        for done in (1, 2, 3):
            listener.progress("downloading ml-1m.zip (bytes)", done, 3)
        listener.dataset_ready(None, record.data)  # type: ignore[arg-type]
        listener.phase("training")
        for epoch, value in ((1, 0.1234), (2, 0.1)):
            listener.epoch_begins(epoch, 2, 850)
            for done in (425, 850):
                listener.step(epoch, done, 850, 6.5)
            if epoch == 1:
                listener.estimate(3600.0, 2, "a smaller data.length makes it shorter")
            listener.epoch_ends(row(epoch, value), best=epoch == 1)
        listener.phase("evaluating")
        listener.warning("78 % of users have tied targets.", "Look at the scores.")
        listener.finished(record)


def test_plain_lines(record: Record) -> None:
    listener = progress.listener(
        console(terminal=False), select_by=SELECT_BY, quiet=False, verbose=False
    )
    tell(listener, record)
    assert written(listener).splitlines() == [
        "downloading ml-1m.zip ...",
        "synthetic: 50 users, 100 items, 1,000 interactions, 850 targets",
        "an epoch takes about 1 h 0 min, 2 epochs at most 2 h 0 min",
        "a smaller data.length makes it shorter",
        "epoch 1/2  loss 6.5000  ndcg@10 0.1234*  48,586 targets/s  2 s",
        "epoch 2/2  loss 6.5000  ndcg@10 0.1000   48,586 targets/s  2 s",
        "warning: 78 % of users have tied targets. Look at the scores.",
    ]


def test_verbose_lines_tell_the_phases_and_the_preparation(record: Record) -> None:
    listener = progress.listener(
        console(terminal=False), select_by=SELECT_BY, quiet=False, verbose=True
    )
    tell(listener, record)
    lines = written(listener).splitlines()
    assert lines[0] == "preparing ..."
    assert "  5-core: 50 users, 100 items, 1,000 interactions" in lines
    assert "  leak: 41.0% of training is later than the median test" in lines
    assert "evaluating ..." in lines


def test_quiet_says_nothing(record: Record) -> None:
    screen = console(terminal=True)
    listener = progress.listener(screen, select_by=SELECT_BY, quiet=True, verbose=False)
    assert type(listener) is Listener
    tell(listener, record)
    assert screen.file.getvalue() == ""  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("value", "loss", "line"),
    [
        (None, 6.5, "epoch 3/0  loss 6.5000  48,586 targets/s  2 s"),
        (0.1, None, "epoch 3/0  loss not finite  ndcg@10 0.1000*  48,586 targets/s  2 s"),
    ],
)
def test_lines_of_odd_epochs(value: float | None, loss: float | None, line: str) -> None:
    listener = PlainListener(console(terminal=False), SELECT_BY, verbose=False)
    assert listener.line(row(3, value, loss), best=True) == line


@pytest.mark.parametrize("width", [80, 120])
def test_the_bar_fits_the_terminal(record: Record, width: int) -> None:
    listener = progress.listener(
        console(terminal=True, width=width), select_by=SELECT_BY, quiet=False, verbose=False
    )
    assert isinstance(listener, TerminalListener)
    with progress.shown(listener):
        listener.epoch_begins(1, 200, 981_491)
        listener.epoch_ends(row(1), best=True)
        listener.epoch_begins(2, 200, 981_491)
        listener.step(2, 500_000, 981_491, 6.5)
        (task,) = listener.bar.tasks
        facts = task.fields["facts"]
        text = Console(file=io.StringIO(), width=width, color_system=None, _environ={})
        text.print(listener.bar.get_renderable())
    (line,) = text.file.getvalue().splitlines()  # type: ignore[attr-defined]
    assert len(line) <= width
    assert line.startswith("epoch 2/200 ")
    assert "loss 6.500 · ndcg@10 0.1234" in facts
    assert ("best 0.1234" in facts) == (width == 120)
    assert "at most 10 min left" in facts
    assert "left" in line


def test_the_bar_is_taken_away_when_a_run_breaks_off() -> None:
    screen = console(terminal=True)
    listener = progress.listener(screen, select_by=SELECT_BY, quiet=False, verbose=False)
    assert isinstance(listener, TerminalListener)

    def broken_off() -> None:
        with progress.shown(listener):
            listener.phase("training")
            assert listener.bar.live.is_started
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        broken_off()
    assert not listener.bar.live.is_started


def test_the_bar_tells_downloads_and_epochs_when_verbose(record: Record) -> None:
    listener = progress.listener(
        console(terminal=True), select_by=SELECT_BY, quiet=False, verbose=True
    )
    assert isinstance(listener, TerminalListener)
    with progress.shown(listener):
        listener.progress("downloading ml-1m.zip (bytes)", 1, 3)
        listener.bar.refresh()
    tell(listener, record)
    text = written(listener)
    assert "downloading ml-1m.zip (bytes)" in text
    assert "epoch 1/2  loss 6.5000  ndcg@10 0.1234*" in text
