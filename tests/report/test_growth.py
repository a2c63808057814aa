"""The figure of a sweep: what is drawn, where, and that a size that does not fit is seen."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest
from matplotlib.axes import Axes
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.text import Text

from srbench.errors import SrbenchError
from srbench.record.efficiency import Efficiency, Fitted, Point
from srbench.record.schema import Measurement, ModelUsed, Record
from srbench.report.growth import growth
from srbench.report.style import COLUMN, LOOKS, save

REQUEST, STEP, MEMORY = "time.request.p50", "time.step.p50", "memory.inference.peak"
UNITS = {REQUEST: "s", STEP: "s"}
GOLDEN = Path(__file__).parent.parent / "record" / "golden_record.json"

Values = Mapping[int, Mapping[str, float] | str]  # size -> numbers, or the status that ended it
Swept = Callable[..., Efficiency]


@pytest.fixture
def swept() -> Swept:
    """swept("length", {"glintru": {50: {REQUEST: 1e-3}, 100: "failed"}}, {("glintru", ...): 1})"""
    golden = Record.model_validate_json(GOLDEN.read_text("utf-8"))

    def point(axis: str | None, name: str, size: int, values: Mapping[str, float] | str) -> Point:
        sizes = {"items": 3416, "length": 50, "batch": 1}
        width = size if axis == "width" else 64
        model = ModelUsed(name=name, family="RNN", settings={"width": width}, parameters=None)
        return Point(
            model=model,
            **sizes | ({axis: size} if axis in sizes else {}),
            status=values if isinstance(values, str) else "ok",  # type: ignore[arg-type]
            reason="it was too large" if isinstance(values, str) else None,
            measurements=[]
            if isinstance(values, str)
            else [
                Measurement(name=n, value=v, unit=UNITS.get(n, "B"), method="given")
                for n, v in values.items()
            ],
        )

    def build(
        axis: str | None,
        models: Mapping[str, Values],
        exponents: Mapping[tuple[str, str], float | None] = {},
        **changes: Any,
    ) -> Efficiency:
        fits = [
            Fitted(
                model=model,
                measurement=name,
                exponent=exponent,
                low=exponent,
                high=exponent,
                points=0 if exponent is None else 3,
                reason="too few" if exponent is None else None,
            )
            for (model, name), exponent in exponents.items()
        ]
        points = [
            point(axis, name, size, values)
            for name, sizes in models.items()
            for size, values in sizes.items()
        ]
        found = Efficiency(
            key="0123456789ab",
            created="2026-01-31T12:00:00Z",
            command="srbench measure",
            settings={"top": 10},
            dataset=None,
            axis=axis,  # type: ignore[arg-type]
            code=golden.code,
            environment=golden.environment,
            probes=[],
            points=points,
            growth=fits,
        )
        return found.model_copy(update=changes)

    return build


@pytest.fixture
def several(swept: Swept) -> Efficiency:
    """Two that grow in step, one of them with `step`, and one that ends early."""
    sizes = (50, 100, 200, 400, 800)
    straight = {n: {REQUEST: 1e-5 * n, STEP: 2e-4, MEMORY: 2e6} for n in sizes}
    square: dict[int, Any] = {n: {REQUEST: 1e-7 * n * n, MEMORY: 1e2 * n * n} for n in sizes[:3]}
    square |= {400: "out of memory", 800: "out of memory"}
    also = {n: {REQUEST: 1.02e-5 * n, MEMORY: 2.02e6} for n in sizes[:4]} | {800: "failed"}
    exponents = {("glintru", REQUEST): 1.0, ("glintru", STEP): -0.001, ("glintru", MEMORY): 0.0}
    exponents |= {("sasrec", REQUEST): 2.0, ("sasrec", MEMORY): 2.0, ("gru4rec", REQUEST): 1.0}
    models = {"glintru": straight, "sasrec": square, "gru4rec": also}
    return swept("length", models, exponents)


def curves(axes: Axes) -> list[Line2D]:
    """Lines of numbers, without crosses and what leads to names."""
    return [line for line in axes.lines if line.get_transform() == axes.transData]


def crosses(axes: Axes) -> list[tuple[float, str]]:
    """Place and colour of each mark for a size that did not fit."""
    marks = [line for line in axes.lines if line.get_marker() == "x"]
    return sorted((float(line.get_xdata()[0]), to_hex(line.get_color())) for line in marks)


def shown(figure: Figure) -> list[Text]:
    figure.draw_without_rendering()
    beyond = {
        label
        for axes in figure.axes
        for axis in (axes.xaxis, axes.yaxis)
        for tick in axis.get_major_ticks()
        for label in (tick.label1, tick.label2)
        if not axis.get_view_interval()[0] <= tick.get_loc() <= axis.get_view_interval()[1]
    }
    texts = [text for text in figure.findobj(Text) if text not in beyond]
    return [text for text in texts if text.get_visible() and text.get_text().strip()]


def words(figure: Figure) -> list[str]:
    return [text.get_text() for text in shown(figure)]


def test_time_above_and_memory_below_over_logarithmic_sizes(several: Efficiency) -> None:
    figure = growth(several)
    time, memory = figure.axes
    assert {axes.get_xscale() for axes in figure.axes} == {"log"}
    assert {axes.get_yscale() for axes in figure.axes} == {"log"}
    assert (time.get_ylabel(), memory.get_ylabel()) == ("median time", "peak memory")
    assert memory.get_xlabel() == "events of a history"
    request, step, square, also = curves(time)
    assert list(request.get_xdata()) == [50, 100, 200, 400, 800]
    assert list(request.get_ydata()) == pytest.approx([5e-4, 1e-3, 2e-3, 4e-3, 8e-3])
    assert list(step.get_ydata()) == [2e-4] * 5
    assert list(square.get_ydata())[:3] == pytest.approx([2.5e-4, 1e-3, 4e-3])
    assert all(math.isnan(y) for y in list(square.get_ydata())[3:])
    assert list(also.get_ydata())[:4] == pytest.approx([5.1e-4, 1.02e-3, 2.04e-3, 4.08e-3])
    assert len(curves(memory)) == 3


def test_step_has_its_models_colour_and_a_broken_line(several: Efficiency) -> None:
    request, step, *_ = curves(growth(several).axes[0])
    assert request.get_color() == step.get_color() == LOOKS[0].colour
    assert request.get_linestyle() == "-"
    assert step.get_linestyle() == "--"


def test_names_and_exponents_stand_at_the_lines(several: Efficiency) -> None:
    found = words(growth(several))
    assert "glintru $L^{1.00}$" in found
    assert "glintru step $L^{0.00}$" in found  # not minus zero
    assert "sasrec $L^{2.00}$" in found
    assert "gru4rec" in found  # of its memory no exponent is known


def test_a_size_that_does_not_fit_is_marked_and_told(several: Efficiency) -> None:
    figure = growth(several)
    sasrec, gru4rec = LOOKS[1].colour.lower(), LOOKS[2].colour.lower()
    for axes in figure.axes:
        assert crosses(axes) == sorted([(400, sasrec), (800, sasrec), (800, gru4rec)])
        beside = [line for line in axes.lines if line.get_marker() == "x"]
        figure.draw_without_rendering()
        places = [tuple(line.get_window_extent().get_points()[0]) for line in beside]
        assert len(set(places)) == 3  # one does not hide another
    title = figure.get_suptitle()
    assert "a request, 3,416 items, batch 1" in title
    assert "× out of memory: sasrec at 400" in title
    assert "× failed: gru4rec at 800" in title


def test_no_text_is_on_another_or_cut_off(several: Efficiency, swept: Swept) -> None:
    many = {f"model-{n}": {50: {REQUEST: 1e-3}, 100: {REQUEST: 2e-3 + n / 1e5}} for n in range(7)}
    ended = {f"model-{n}": {50: {REQUEST: 1e-3}, 3200: "out of memory"} for n in range(7)}
    wide = {"glintru": {1000 * 2**n: {REQUEST: 1e-3, MEMORY: 2e6} for n in range(11)}}
    for found in (several, swept("length", many), swept("length", ended), swept("items", wide)):
        figure = growth(found)
        boxes = [(text.get_text(), text.get_window_extent()) for text in shown(figure)]
        assert [(a, b) for (a, one), (b, two) in combinations(boxes, 2) if one.overlaps(two)] == []
        width, height = figure.get_size_inches() * figure.dpi
        for text, box in boxes:
            assert box.x0 >= 0 and box.y0 >= 0, text
            assert box.x1 <= width + 1 and box.y1 <= height + 1, text


@pytest.mark.parametrize(
    ("axis", "letter", "label", "title"),
    [
        ("items", "V", "items of the catalogue", "a request, length 50, batch 1"),
        ("batch", "B", "histories at once", "a request, 3,416 items, length 50"),
        ("width", "D", "width of the model", "a request, 3,416 items, length 50, batch 1"),
    ],
)
def test_other_sizes(swept: Swept, axis: str, letter: str, label: str, title: str) -> None:
    values = {n: {REQUEST: 1e-6 * n} for n in (1000, 2000, 64000)}
    figure = growth(swept(axis, {"glintru": values}, {("glintru", REQUEST): 1.0}))
    (axes,) = figure.axes
    assert list(curves(axes)[0].get_xdata()) == [1000, 2000, 64000]
    assert axes.get_xlabel() == label
    assert figure.get_suptitle() == title
    assert f"glintru ${letter}^{{1.00}}$" in words(figure)
    assert {"1,000", "2,000", "64k"} <= set(words(figure))


def test_the_smallest_batch_is_drawn_where_something_else_is_swept(swept: Swept) -> None:
    found = swept("length", {"pop": {50: {REQUEST: 1e-3}, 100: {REQUEST: 2e-3}}})
    more = [p.model_copy(update={"batch": 256, "measurements": []}) for p in found.points]
    figure = growth(found.model_copy(update={"points": [*more, *found.points]}))
    assert list(curves(figure.axes[0])[0].get_ydata()) == [1e-3, 2e-3]


def test_what_has_no_logarithm_is_left_out(swept: Swept) -> None:
    values = {50: {REQUEST: 1e-3, MEMORY: 0.0}, 100: {REQUEST: 2e-3, MEMORY: 1e6}}
    _, memory = growth(swept("length", {"pop": values})).axes
    (line,) = curves(memory)
    assert math.isnan(line.get_ydata()[0])
    assert line.get_ydata()[1] == 1e6


def test_memory_of_a_gpu_is_what_its_driver_counts(swept: Swept) -> None:
    names = {f"memory.inference.{n}": v for n, v in (("reserved", 3e6), ("nvml_process", 2e8))}
    values = {n: {REQUEST: 1e-3} | names for n in (50, 100)}
    _, memory = growth(swept("length", {"pop": values})).axes
    assert list(curves(memory)[0].get_ydata()) == [2e8, 2e8]


def test_noise_does_not_look_like_growth(swept: Swept) -> None:
    values = {50: {REQUEST: 1.00e-3}, 100: {REQUEST: 1.01e-3}}
    (axes,) = growth(swept("length", {"pop": values})).axes
    low, high = axes.get_ylim()
    assert high / low >= 10 - 1e-9
    assert low < 1e-3 < high


def test_nothing_to_draw(swept: Swept) -> None:
    with pytest.raises(SrbenchError, match="measure with --sweep"):
        growth(swept(None, {"pop": {50: {REQUEST: 1e-3}}}))
    with pytest.raises(SrbenchError, match="No size could be measured"):
        growth(swept("length", {"pop": {50: "failed", 100: "out of memory"}}))


def test_the_figure_fits_a_column_and_is_the_same_each_time(
    several: Efficiency, tmp_path: Path
) -> None:
    assert growth(several).get_size_inches()[0] == pytest.approx(COLUMN)
    first = [path.read_bytes() for path in save(growth(several), tmp_path / "one")]
    assert [path.read_bytes() for path in save(growth(several), tmp_path / "two")] == first
