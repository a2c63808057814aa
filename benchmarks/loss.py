"""The cross-entropy over a catalogue: srbench's, in chunks, against torch's, forward and backward.

    python benchmarks/loss.py [--targets 8192] [--classes 3417] [--width 128]

All are held against each other in float32 first. Counted are the three matrix products that any
of them needs (logits, and the gradients of states and table).
"""

from __future__ import annotations

import argparse
from collections.abc import Callable

import contest
import torch
import torch.nn.functional as F
from torch import Tensor

from srbench.train.losses import cross_entropy

Loss = Callable[[Tensor, Tensor, Tensor], Tensor]


def whole(h_ND: Tensor, table_VD: Tensor, targets_N: Tensor) -> Tensor:
    return F.cross_entropy(h_ND @ table_VD.t(), targets_N)


def losses() -> dict[str, Loss]:
    found: dict[str, Loss] = {"srbench": cross_entropy, "torch cross_entropy": whole}
    for chunk in (128, 512):
        found[f"srbench, chunks of {chunk}"] = lambda h, e, t, chunk=chunk: cross_entropy(
            h, e, t, chunk=chunk
        )
    fused = getattr(F, "linear_cross_entropy", None)
    if fused is not None:  # torch 2.13
        found["torch linear_cross_entropy"] = fused
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--targets", type=int, default=8192)
    parser.add_argument("--classes", type=int, default=3417)
    parser.add_argument("--width", type=int, default=128)
    parser.add_argument("--rounds", type=int, default=15)
    arguments = parser.parse_args()

    torch.manual_seed(0)
    h_ND = torch.randn(arguments.targets, arguments.width, requires_grad=True)
    table_VD = (0.1 * torch.randn(arguments.classes, arguments.width)).requires_grad_()
    targets_N = torch.randint(arguments.classes, (arguments.targets,))

    def step(loss: Loss) -> list[Tensor]:
        h_ND.grad = table_VD.grad = None
        value = loss(h_ND, table_VD, targets_N)
        value.backward()  # type: ignore[no-untyped-call]
        assert h_ND.grad is not None
        assert table_VD.grad is not None
        return [value.detach(), h_ND.grad, table_VD.grad]

    ways = losses()
    wanted = step(whole)
    for loss in ways.values():
        for got, right in zip(step(loss), wanted, strict=True):
            torch.testing.assert_close(got, right, rtol=1e-4, atol=1e-6)
    flop = 3 * 2.0 * arguments.targets * arguments.classes * arguments.width
    seconds = contest.in_turn(
        {name: lambda loss=loss: step(loss) for name, loss in ways.items()}, arguments.rounds
    )
    size = f"{arguments.targets} targets x {arguments.classes} classes x {arguments.width}"
    contest.show(f"Cross-entropy, {size}, {torch.get_num_threads()} threads", seconds, flop)


if __name__ == "__main__":
    main()
