"""Figures: what is drawn, that labels do not overlap, and what reaches the disk."""

from __future__ import annotations

import re
from itertools import combinations, pairwise
from pathlib import Path

import matplotlib as mpl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.figure import Figure
from matplotlib.text import Text

from srbench.errors import SrbenchError
from srbench.evaluate.protocol import FULL_KEEP
from srbench.record.schema import Record
from srbench.report.figures import metric_bars, training_curves
from srbench.report.style import COLUMN, LOOKS, PAGE, house_style, looks, save, spread


def shown(figure: Figure) -> list[Text]:
    """All texts that a reader sees."""
    figure.draw_without_rendering()
    beyond = {
        label
        for axes in figure.axes
        for axis in (axes.xaxis, axes.yaxis)
        for tick in axis.get_major_ticks()
        for label in (tick.label1, tick.label2)
        if not axis.get_view_interval()[0] <= tick.get_loc() <= axis.get_view_interval()[1]
    }
    texts = [t for t in figure.findobj(Text) if t not in beyond]
    return [t for t in texts if t.get_visible() and t.get_text().strip()]


def overlapping(figure: Figure) -> list[tuple[str, str]]:
    boxes = [(t.get_text(), t.get_window_extent()) for t in shown(figure)]
    return [(a, b) for (a, one), (b, two) in combinations(boxes, 2) if one.overlaps(two)]


def outside(figure: Figure) -> list[str]:
    width, height = figure.get_size_inches() * figure.dpi
    return [
        t.get_text()
        for t in shown(figure)
        if (box := t.get_window_extent()).x0 < 0
        or box.y0 < 0
        or box.x1 > width + 1
        or box.y1 > height + 1
    ]


@pytest.fixture
def curves(make) -> list[Record]:
    return [
        make("glintru", 0.19, curve=(0.05, 0.15, 0.19, 0.188)),
        make("sasrec", 0.18, curve=(0.08, 0.181, 0.18)),
        make("gru4rec", 0.17, curve=(0.1, 0.179)),
        make("pop", 0.02, training=None),
    ]


def test_a_line_a_run_with_its_best_epoch_marked(curves: list[Record]) -> None:
    figure = training_curves(curves, against="epochs")
    (axes,) = figure.axes
    lines = [line for line in axes.lines if len(line.get_xdata()) in (2, 3, 4)]
    drawn = [tuple(line.get_ydata()) for line in lines if line.get_linestyle() == "-"]
    assert drawn[0] == (0.05, 0.15, 0.19, 0.188)
    assert (0.08, 0.181, 0.18) in drawn
    markers = [
        (line.get_xdata()[0], line.get_ydata()[0])
        for line in axes.lines
        if line.get_marker() not in ("None", "")
    ]
    assert markers == [(3, 0.19), (2, 0.181), (2, 0.179)]
    texts = [t.get_text() for t in shown(figure)]
    assert {"glintru", "sasrec", "gru4rec"} <= set(texts)
    assert "pop" not in texts
    assert "synthetic: NDCG@10 on validation, history masked" in texts


def test_time_is_that_of_training_alone_in_a_fitting_unit(make) -> None:
    short = training_curves([make("a", curve=(0.1, 0.2, 0.3))])
    assert short.axes[0].get_xlabel() == "training time (seconds)"
    assert list(short.axes[0].lines[0].get_xdata()) == [0.25, 0.5, 0.75]
    long = training_curves([make("a", curve=(0.1,) * 600)])
    assert long.axes[0].get_xlabel() == "training time (minutes)"
    assert long.axes[0].lines[0].get_xdata()[-1] == pytest.approx(2.5)


def test_seeds_share_a_colour_and_one_label(make) -> None:
    figure = training_curves([make("a", seed=0), make("a", seed=1, curve=(0.1, 0.2)), make("b")])
    lines = [line for line in figure.axes[0].lines if line.get_linestyle() == "-"]
    assert lines[0].get_color() == lines[1].get_color() != lines[2].get_color()
    assert [t.get_text() for t in shown(figure)].count("a") == 1


@pytest.mark.parametrize("against", ["time", "epochs"])
def test_no_label_of_the_curves_is_on_another_or_cut_off(
    curves: list[Record], make, against: str
) -> None:
    close = [make(f"model-{n}", curve=(0.1, 0.2 + n / 1000)) for n in range(6)]
    for records in (curves, close):
        figure = training_curves(records, against=against)
        assert overlapping(figure) == []
        assert outside(figure) == []


def test_a_bar_a_run_the_best_on_top_with_its_number_and_the_oracle(four: list[Record]) -> None:
    figure = metric_bars(four)
    ndcg = figure.axes[1]
    assert [bar.get_width() for bar in ndcg.patches] == pytest.approx([0.02, 0.1872, 0.1884])
    texts = [t.get_text() for t in shown(figure)]
    assert "0.1884" in texts
    assert "oracle 0.4000" in texts
    labels = [t.get_text() for t in figure.axes[0].get_yticklabels()]
    assert labels == ["pop", "glintru kernel=5", "glintru kernel=3"]
    assert overlapping(figure) == []
    assert outside(figure) == []


def test_without_an_oracle_there_is_no_line(make) -> None:
    figure = metric_bars([make("a", 0.1)], metrics=["ndcg@10"], protocol=FULL_KEEP)
    (axes,) = figure.axes
    assert len(axes.lines) == 0
    assert [bar.get_width() for bar in axes.patches] == [0.05]
    assert "history kept" in "".join(t.get_text() for t in shown(figure))


def test_what_may_not_be_compared_is_not_drawn_together(make) -> None:
    records = [make("a"), make("b", data={"fingerprint": "ffffffffffffffff"})]
    for draw in (training_curves, metric_bars):
        with pytest.raises(SrbenchError, match="may not stand in one figure"):
            draw(records)


def test_nothing_to_draw(make) -> None:
    with pytest.raises(SrbenchError, match="No record has a validation curve"):
        training_curves([make("pop", training=None)])
    with pytest.raises(SrbenchError, match="No record has these test numbers"):
        metric_bars([make("a", None, status="failed", reason="NaN")])


def test_sizes_are_those_of_a_papers_columns(make) -> None:
    assert training_curves([make("a")]).get_size_inches()[0] == pytest.approx(COLUMN)
    assert metric_bars([make("a")]).get_size_inches()[0] == pytest.approx(PAGE)


def test_pdf_and_png_with_embedded_outlines_and_the_same_bytes_each_time(
    tmp_path: Path, curves: list[Record]
) -> None:
    figure = training_curves(curves)
    first = [path.read_bytes() for path in save(figure, tmp_path / "img" / "curves v1.0")]
    names = sorted(path.name for path in (tmp_path / "img").iterdir())
    assert names == ["curves v1.0.pdf", "curves v1.0.png"]
    pdf, png = first
    assert pdf.startswith(b"%PDF")
    assert b"/FontFile2" in pdf  # TrueType outlines, which editors and printers take
    assert b"/Type3" not in pdf
    assert re.search(rb"/MediaBox \[ 0 0 239\.76 ", pdf)  # 3.33 inches of 72 points
    assert png.startswith(b"\x89PNG")
    again = [path.read_bytes() for path in save(training_curves(curves), tmp_path / "again")]
    assert again == first


def test_the_callers_own_style_is_neither_used_nor_changed(make) -> None:
    with mpl.rc_context({"font.size": 30, "axes.grid": True}):
        figure = training_curves([make("a")])
        assert mpl.rcParams["font.size"] == 30
        with house_style():
            assert mpl.rcParams["pdf.fonttype"] == 42
            assert mpl.rcParams["font.size"] == 7
    assert max(t.get_fontsize() for t in shown(figure)) == 7


def test_looks_are_the_same_whoever_stands_beside() -> None:
    assert looks(["sasrec", "glintru"])["glintru"] == looks(["glintru"])["glintru"]
    several = looks(["glintru kernel=3", "glintru kernel=5", "new"])
    assert several["glintru kernel=3"] == LOOKS[0]
    assert len(set(several.values())) == 3
    assert len(looks([f"m{n}" for n in range(9)])) == 9


@pytest.mark.parametrize(
    ("wanted", "placed"),
    [
        ([], []),
        ([5.0], [5.0]),
        ([1.0, 8.0], [1.0, 8.0]),
        ([5.0, 5.0], [4.5, 5.5]),
        ([5.2, 5.0], [5.6, 4.6]),
        ([9.9, 10.0], [9.0, 10.0]),
        ([0.0, 0.0, 0.0], [0.0, 1.0, 2.0]),
        ([5.0] * 11, [float(n) for n in range(11)]),
        ([5.0] * 21, [n / 2 for n in range(21)]),
    ],
)
def test_spread(wanted: list[float], placed: list[float]) -> None:
    assert spread(wanted, 1.0, 0.0, 10.0) == pytest.approx(placed)


@given(st.lists(st.floats(0, 10), min_size=1, max_size=12))
def test_spread_keeps_order_distance_and_bounds(wanted: list[float]) -> None:
    placed = spread(wanted, 0.5, 0.0, 10.0)
    order = sorted(range(len(wanted)), key=lambda n: wanted[n])
    in_order = [placed[n] for n in order]
    assert all(b - a >= 0.5 - 1e-9 for a, b in pairwise(in_order))
    assert min(placed) >= -1e-9
    assert max(placed) <= 10 + 1e-9
