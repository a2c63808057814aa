"""Tables at fixed widths: what they say, to the letter, and that they fit."""

from __future__ import annotations

import io

import pytest
from rich.console import Console, RenderableType

from srbench.record.schema import Record
from srbench.report.tables import comparison, result


def text(table: RenderableType, width: int, *, styles: bool = False) -> str:
    file = io.StringIO()
    console = Console(
        file=file,
        width=width,
        force_terminal=styles,
        color_system="standard" if styles else None,
        highlight=False,
        legacy_windows=False,
    )
    console.print(table)
    return "\n".join(line.rstrip() for line in file.getvalue().splitlines())


AT_80 = """\
synthetic: 50 users, 100 items, 1,000 interactions
                   HR@10  NDCG@10  NDCG@10  training   ranking    peak
model             masked   masked     kept  an epoch  the test  memory  params
──────────────────────────────────────────────────────────────────────────────
glintru kernel=3  0.3768   0.1884   0.0942    375 ms         -       -  14.9 k
glintru kernel=5  0.3744   0.1872   0.0936    375 ms         -       -  14.9 k
pop               0.0400   0.0200   0.0100    375 ms         -       -  14.9 k
sasrec *               -        -        -         -         -       -  14.9 k

oracle            0.8000   0.4000   0.2000
METRIC|PROTOCOL|ties:half|loo|v1 on test; masked: full|seen:drop, kept:
full|seen:keep; best bold, second underlined
data 0011223344556677; AMD EPYC, 2 threads
* sasrec: out of memory, 2 GiB were asked for"""


def test_comparison_at_80_columns(four: list[Record]) -> None:
    assert text(comparison(four, 80), 80) == AT_80


def test_comparison_tells_the_second_best(four: list[Record]) -> None:
    lines = text(comparison(four, 80), 80, styles=True).splitlines()
    first = next(line for line in lines if "kernel=3" in line)
    second = next(line for line in lines if "kernel=5" in line)
    assert "\x1b[1m0.1884\x1b[0m" in first
    assert "\x1b[4m0.1872\x1b[0m" in second


@pytest.mark.parametrize("width", range(60, 201, 7))
def test_no_line_is_longer_than_the_terminal_and_no_cell_is_cut(
    four: list[Record], width: int
) -> None:
    shown = text(comparison(four, width), width)
    assert max(map(len, shown.splitlines())) <= width
    for cell in ("glintru kernel=3", "0.1884", "oracle", "sasrec *"):
        assert cell in shown
    assert "…" not in shown


def test_short_names_leave_room_for_the_oracle(make) -> None:
    shown = text(comparison([make("pop", 0.1, oracle=0.4)], 80), 80)
    assert "\noracle " in shown


def test_more_columns_where_there_is_room(four: list[Record]) -> None:
    narrow, wide = text(comparison(four, 60), 60), text(comparison(four, 160), 160)
    assert "pop100" not in narrow
    assert "pop100|seen:drop" in wide
    assert "epochs" in wide


def test_what_may_not_be_compared_stands_in_tables_of_its_own(make) -> None:
    other = make("b", 0.3, data={"fingerprint": "ffffffffffffffff"})
    shown = text(comparison([make("a", 0.2), other], 80), 80)
    assert shown.count("synthetic: 50 users") == 2
    assert "data 0011223344556677; AMD EPYC, 2 threads" in shown
    assert "data ffffffffffffffff" in shown


def test_times_of_two_machines_are_marked(make) -> None:
    records = [make("a", 0.2), make("b", 0.3, environment={"threads": 8})]
    shown = text(comparison(records, 120), 120)
    assert "times of 2 machines, not to be compared: AMD EPYC, 2 threads; AMD EPYC, 8 t" in shown


def test_equal_numbers_share_the_first_place(make) -> None:
    shown = text(comparison([make("a", 0.2), make("b", 0.2)], 80), 80, styles=True)
    assert "\x1b[1m0.2000" not in shown
    shown = text(comparison([make("a", 0.2), make("b", 0.2), make("c", 0.1)], 80), 80, styles=True)
    assert shown.count("\x1b[1m0.2000") == 2


def test_what_a_model_knows_beyond_others_stands_under_the_table(make) -> None:
    what = "The model sees the time of the event to be predicted."
    cautions = [{"what": what, "advice": "So."}, {"what": "It was late.", "advice": "Sleep."}]
    shown = text(comparison([make("hstu", 0.2, warnings=cautions), make("b", 0.1)], 80), 80)
    assert shown.splitlines()[-1] == f"hstu: {what} So."
    assert "late" not in shown


def test_only_failures(make) -> None:
    failed = make("a", None, status="failed", reason="the loss was NaN", measurements=[])
    shown = text(comparison([failed], 80), 80)
    assert "* a: failed, the loss was NaN" in shown
    assert "METRIC" not in shown


RESULT_AT_80 = """\
sasrec on synthetic: 50 users, 100 items, 1,000 interactions; seed 3
test               HR@10  NDCG@10  MRR@10  oracle NDCG@10  coverage@10
──────────────────────────────────────────────────────────────────────
full|seen:keep    0.1800   0.0900  0.0450          0.2000       0.7500
full|seen:drop    0.3600   0.1800  0.0900          0.4000
uni100|seen:drop  1.0800   0.5400  0.2700          1.2000
pop100|seen:drop  0.7200   0.3600  0.1800          0.8000
METRIC|PROTOCOL|ties:half|loo|v1 on test; data 0011223344556677

training            2 epochs of 850 targets (all, cross-entropy), the best was
                    2; ended: the number of epochs was reached
parameters          14,912: item table 6,464, encoder 8,448
training, an epoch  375 ms  (wall clock, median of 2 epochs)
memory, training    unknown: the peak could not be reset  (resident set)
machine             AMD EPYC, 2 threads
warning: Another process used the processor. Measure again on a quiet machine."""


def test_result_at_80_columns(make) -> None:
    assert text(result(make("sasrec", 0.18, oracle=0.4), 80), 80) == RESULT_AT_80


def test_result_of_a_failure_says_why_and_has_no_numbers(make) -> None:
    failed = make("a", None, status="failed", reason="the loss was NaN", training=None)
    shown = text(result(failed, 80), 80)
    assert "failed: the loss was NaN" in shown
    assert "NDCG" not in shown


def test_result_of_a_wide_terminal_has_more_metrics(make) -> None:
    shown = text(result(make("a", 0.18), 120), 120)
    assert "NDCG@20" in shown
    assert "oracle" not in shown
