"""What every model keeps, as checks: in the tests for ours, before a run for those of others.

Each check takes a recommender in float64 whose weights are all random and raises `Broken` with what
it found. `check` runs them all on one class.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import torch
from torch import Tensor

from srbench.errors import SrbenchError
from srbench.models.base import Batch, Encoder, Settings
from srbench.recommender import Recommender

N_ITEMS, LENGTH = 19, 9
CLOSE = (0.0, 1e-10)  # relative, absolute; in float64 equal algebra differs by rounding alone
GRADIENTS_CLOSE = (1e-9, 1e-9)


class Broken(Exception):
    """A sentence, without its full stop, that says what a model does not keep."""


def check(
    model: type[Encoder],
    name: str,
    settings: Settings | None = None,
    *,
    length: int = LENGTH,
    device: torch.device | str = "cpu",
) -> None:
    """Runs every check on a model, with these settings (None: its defaults) and this length.

    Raises SrbenchError that names the model, the check and what was found.
    """
    with torch.random.fork_rng(devices=[]):
        for what, kept in CHECKS.items():
            try:
                kept(randomised(model, settings or model.Settings(), length).to(device))
            except Broken as broken:
                raise SrbenchError(f"{name} breaks its contract ({what}): {broken}.") from None
            except Exception as error:  # a model of others may fail in any way
                raise SrbenchError(
                    f"{name} breaks its contract ({what}): it ends with {error!r}."
                ) from error


def randomised(
    model: type[Encoder], settings: Settings, length: int = LENGTH, seed: int = 0
) -> Recommender:
    """A small catalogue, and random weights everywhere, in norms and biases too, so that nothing
    is right because a weight is 0 or 1. A model that counts has counted random sequences."""
    torch.manual_seed(seed)
    recommender = Recommender(model, settings, N_ITEMS, length).double().eval()
    if model.learns == "counts":
        offsets = torch.tensor([0, 0, 4, 5, 5, 14, 44])
        items = torch.randint(1, N_ITEMS + 1, (int(offsets[-1]),))
        recommender.fit_by_counting(items, offsets)
        return recommender
    for parameter in recommender.parameters():
        inputs = parameter[0].numel() if parameter.dim() > 1 else 1
        torch.nn.init.normal_(parameter, std=min(0.5, (2 / inputs) ** 0.5))
    return recommender


def random_batch(recommender: Recommender, seed: int = 1) -> Batch:
    """Histories of all kinds of length, with random items behind their ends."""
    longest = min(recommender.length, LENGTH)
    generator = torch.Generator().manual_seed(seed)
    lengths_B = torch.tensor([longest, 1, 2, 3, 5, 8]).clamp(max=longest)
    items_BL = torch.randint(1, N_ITEMS + 1, (len(lengths_B), longest), generator=generator)
    times_BL = torch.randint(0, 10**6, items_BL.shape, generator=generator).cumsum(1)
    target_times_B = times_BL.gather(1, lengths_B[:, None] - 1).squeeze(1) + 10**5
    return _on(recommender, Batch(items_BL, lengths_B, times_BL, target_times_B))


def emptied(batch: Batch) -> Batch:
    """The same histories with nothing behind their ends."""
    assert batch.times_BL is not None
    mask_BL = batch.mask_BL()
    return replace(batch, items_BL=batch.items_BL * mask_BL, times_BL=batch.times_BL * mask_BL)


def alone(batch: Batch, row: int, end: int) -> Batch:
    """The first `end` events of a row; what is to be predicted is the event behind them."""
    assert batch.times_BL is not None and batch.target_times_B is not None
    times_BL, whole = batch.times_BL[row : row + 1], end == batch.lengths_B[row]
    target_times_B = batch.target_times_B[row : row + 1] if whole else times_BL[:, end]
    lengths_B = batch.lengths_B.new_tensor([end])
    return Batch(batch.items_BL[row : row + 1, :end], lengths_B, times_BL[:, :end], target_times_B)


# The checks.


def forward_is_of_one_history(recommender: Recommender) -> None:
    """A representation has the width of the model and does not depend on the rest of a batch."""
    batch = random_batch(recommender)
    if not recommender.encoder.pad_invariant:
        batch = emptied(batch)
    h_BD = recommender.represent(batch)
    expected = (len(batch), recommender.encoder.width)
    if h_BD.shape != expected:
        raise Broken(f"forward gives the shape {tuple(h_BD.shape)}, not [B, width] = {expected}")
    for row, end in enumerate(batch.lengths_B.tolist()):
        single = recommender.represent(alone(batch, row, end))[0]
        _same(h_BD[row], single, f"forward of {_events(end)} in a batch", "forward of them alone")
    _same(recommender.represent(batch), h_BD, "forward for the second time", "the first time")


def pads_are_as_declared(recommender: Recommender) -> None:
    """What stands behind the end of a history changes it exactly if `pad_invariant` is False."""
    batch = random_batch(recommender)
    filled_BD, empty_BD = recommender.represent(batch), recommender.represent(emptied(batch))
    _same(filled_BD[0], empty_BD[0], "forward of a history without pads", "itself")
    same = torch.allclose(filled_BD, empty_BD, *CLOSE)
    declared = recommender.encoder.pad_invariant
    if same != declared and recommender.length > 1:
        change = "change nothing" if same else "change the representation"
        raise Broken(f"items behind the end {change}, but pad_invariant is {declared}")


def prefixes_are_forward(recommender: Recommender) -> None:
    """`prefixes` at an event is `forward` of the history up to it."""
    batch = random_batch(recommender)
    if not _can_prefixes(recommender):
        return _absent(lambda: recommender.prefixes(batch), "prefixes")
    h_BLD = recommender.prefixes(batch)
    expected = (*batch.items_BL.shape, recommender.encoder.width)
    if h_BLD.shape != expected:
        raise Broken(
            f"prefixes gives the shape {tuple(h_BLD.shape)}, not [B, L, width] = {expected}"
        )
    for row, end in _places(batch):
        single = recommender.represent(alone(batch, row, end))[0]
        _same(h_BLD[row, end - 1], single, f"prefixes at event {end}", f"forward of {_events(end)}")


def gradients_through_prefixes_are_through_forward(recommender: Recommender) -> None:
    """What is learnt in one pass is what is learnt in one pass a prefix."""
    if not _can_prefixes(recommender) or recommender.encoder.learns != "gradient":
        return
    batch = random_batch(recommender)
    generator = torch.Generator().manual_seed(2)
    places = _places(batch)
    asked_NV = torch.randn(len(places), N_ITEMS, generator=generator, dtype=torch.float64)
    asked_NV = asked_NV.to(batch.items_BL.device)

    def gradients(h_ND: Tensor) -> dict[str, Tensor]:
        recommender.zero_grad()
        (recommender.score(h_ND) * asked_NV).sum().backward()
        named = recommender.named_parameters()
        return {name: p.grad.clone() for name, p in named if p.grad is not None}

    fast = gradients(recommender.prefixes(batch)[batch.mask_BL()])
    slow = gradients(torch.cat([recommender.represent(alone(batch, *place)) for place in places]))
    if fast.keys() != slow.keys():
        raise Broken(f"prefixes and forward learn other parameters: {fast.keys() ^ slow.keys()}")
    for name, gradient in fast.items():
        what = f"the gradient of {name} through prefixes"
        _same(gradient, slow[name], what, "that through forward", GRADIENTS_CLOSE)


def cloze_is_forward(recommender: Recommender) -> None:
    """`cloze` with the event behind a history hidden is `forward` of it; else row by row."""
    batch = random_batch(recommender)
    if not recommender.encoder.has_cloze():
        return _absent(lambda: recommender.cloze(batch), "cloze")
    length = recommender.length
    h_BD = recommender.represent(batch)
    for row, whole in enumerate(batch.lengths_B.tolist()):
        kept = min(whole, length - 1)
        events = batch.items_BL[row, whole - kept : whole].tolist()
        items_BL = torch.tensor([[*events, 0, 3][:length]])  # 3 stands behind the end
        behind = _on(recommender, Batch(items_BL, torch.tensor([kept + 1])))
        _same(
            recommender.cloze(behind)[0], h_BD[row], f"cloze behind {kept} events", "their forward"
        )
    positions_L = torch.arange(batch.items_BL.shape[1], device=batch.items_BL.device)
    hidden_BL = (positions_L % 3 == 1) & batch.mask_BL()
    batch = replace(batch, items_BL=batch.items_BL.masked_fill(hidden_BL, 0))
    h_ND = recommender.cloze(batch)
    if len(h_ND) != hidden_BL.sum():
        raise Broken(f"cloze answers {len(h_ND)} times for {int(hidden_BL.sum())} hidden events")
    rows = [alone(batch, row, end) for row, end in enumerate(batch.lengths_B.tolist())]
    one_by_one_ND = torch.cat([recommender.cloze(row) for row in rows])
    _same(h_ND, one_by_one_ND, "cloze of a batch", "cloze of each history")


def steps_are_forward(recommender: Recommender) -> None:
    """`step` after `step` gives `forward` of the history so far, with times and without."""
    batch = random_batch(recommender)
    if not recommender.encoder.has_step():
        return _absent(lambda: recommender.init_state(len(batch)), "init_state")
    for times_BL, known in ((None, ""), (batch.times_BL, " at a time")):
        state = recommender.init_state(len(batch))
        for end in range(1, batch.items_BL.shape[1] + 1):
            lengths_B, upto = torch.full_like(batch.lengths_B, end), slice(0, end)
            so_far = Batch(batch.items_BL[:, upto], lengths_B)
            times_B = None
            if times_BL is not None:
                so_far, times_B = replace(so_far, times_BL=times_BL[:, upto]), times_BL[:, end - 1]
            h_BD, state = recommender.step(batch.items_BL[:, end - 1], state, times_B)
            expected_BD = recommender.represent(so_far)
            _same(h_BD, expected_BD, f"step {end}{known}", f"forward of {_events(end)}")


def the_time_of_the_target_is_as_declared(recommender: Recommender) -> None:
    """Nobody looks at when the target happens, but under the setting `target_time`."""
    batch = random_batch(recommender)
    assert batch.target_times_B is not None
    later = replace(batch, target_times_B=batch.target_times_B + 10**7)
    same = torch.equal(recommender.represent(batch), recommender.represent(later))
    declared = getattr(recommender.settings, "target_time", False)
    if same == declared:
        change = "changes nothing" if same else "changes the representation"
        raise Broken(f"the time of the target {change}, but target_time is {declared}")


def scores_have_one_column_an_item(recommender: Recommender) -> None:
    """All scores, a range of them and those of chosen items are the same numbers, all finite."""
    h_BD = recommender.represent(random_batch(recommender))
    s_BV = recommender.score(h_BD)
    if s_BV.shape != (len(h_BD), N_ITEMS):
        raise Broken(f"the scores of {N_ITEMS} items have the shape {tuple(s_BV.shape)}")
    if not s_BV.isfinite().all():
        raise Broken("some scores are NaN or infinite")
    items_BK = torch.arange(1, N_ITEMS + 1, device=h_BD.device).flip(0).expand(len(h_BD), -1)
    _same(recommender.score(h_BD, items_BK), s_BV.flip(1), "the scores of chosen items", "all")
    _same(recommender.score_range(h_BD, 5, 8), s_BV[:, 5:8], "the scores of a range", "all")


CHECKS: dict[str, Callable[[Recommender], None]] = {
    "forward": forward_is_of_one_history,
    "pads": pads_are_as_declared,
    "scores": scores_have_one_column_an_item,
    "prefixes": prefixes_are_forward,
    "gradients": gradients_through_prefixes_are_through_forward,
    "cloze": cloze_is_forward,
    "step": steps_are_forward,
    "time": the_time_of_the_target_is_as_declared,
}


def _on(recommender: Recommender, batch: Batch) -> Batch:
    device = recommender.table.weight.device
    moved = {name: x.to(device) for name, x in vars(batch).items() if x is not None}
    return replace(batch, **moved)


def _places(batch: Batch) -> list[tuple[int, int]]:
    """Row and number of events of every prefix."""
    return [(r, e) for r, n in enumerate(batch.lengths_B.tolist()) for e in range(1, n + 1)]


def _events(count: int) -> str:
    return f"{count} event" + "s" * (count > 1)


def _can_prefixes(recommender: Recommender) -> bool:
    return recommender.encoder.can_prefixes(recommender.settings)


def _absent(call: Callable[[], object], what: str) -> None:
    """What a model says that it lacks must not answer."""
    try:
        call()
    except NotImplementedError:
        return
    raise Broken(f"it says that it has no {what}, but {what} answers")


def _same(
    ours: Tensor, theirs: Tensor, what: str, expected: str, close: tuple[float, float] = CLOSE
) -> None:
    if ours.shape != theirs.shape:
        raise Broken(
            f"{what} has the shape {tuple(ours.shape)}, {expected} has {tuple(theirs.shape)}"
        )
    if ours.dtype != theirs.dtype:
        raise Broken(f"{what} is {ours.dtype}, {expected} is {theirs.dtype}")
    if not torch.allclose(ours, theirs, *close):
        raise Broken(
            f"{what} differs from {expected} by {float((ours - theirs).detach().abs().max()):.2g}"
        )
