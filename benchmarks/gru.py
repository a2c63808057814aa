"""The GRU of models/layers.py against torch's, forward and backward.

    python benchmarks/gru.py [--users 16] [--length 200] [--width 128]

Both have the same parameters; outputs and gradients are held against each other first.
"""

from __future__ import annotations

import argparse

import contest
import torch
from torch import Tensor, nn

from srbench.models.layers import GRU


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--users", type=int, default=16)
    parser.add_argument("--length", type=int, default=200)
    parser.add_argument("--width", type=int, default=128)
    parser.add_argument("--rounds", type=int, default=15)
    arguments = parser.parse_args()

    torch.manual_seed(0)
    width = arguments.width
    ours, theirs = GRU(width, width), nn.GRU(width, width, bias=False)
    theirs.load_state_dict(ours.state_dict())
    x_LBD = torch.randn(arguments.length, arguments.users, width, requires_grad=True)
    upstream_LBD = torch.randn(arguments.length, arguments.users, width)

    def step(gru: nn.GRU) -> list[Tensor]:
        x_LBD.grad = None
        gru.zero_grad()
        found = gru(x_LBD)
        h_LBD = found[0] if isinstance(found, tuple) else found  # torch returns its state too
        h_LBD.backward(upstream_LBD)
        gradients = [x_LBD.grad, *(weight.grad for weight in gru.parameters())]
        return [h_LBD.detach(), *(g for g in gradients if g is not None)]

    for got, right in zip(step(ours), step(theirs), strict=True):
        torch.testing.assert_close(got, right, rtol=1e-3, atol=1e-4)
    seconds = contest.in_turn(
        {"srbench": lambda: step(ours), "torch nn.GRU": lambda: step(theirs)}, arguments.rounds
    )
    # Per event, the input and the recurrent product, each forward and twice backward.
    flop = 3 * 2 * 2.0 * arguments.users * arguments.length * width * 3 * width
    size = f"{arguments.users} users x {arguments.length} events x {width}"
    contest.show(f"GRU, {size}, {torch.get_num_threads()} threads", seconds, flop)


if __name__ == "__main__":
    main()
