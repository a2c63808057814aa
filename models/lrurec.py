"""LRURec: linear recurrent units with complex decays, each with a feed-forward layer.

Yue et al., "Linear Recurrent Units for Sequential Recommendation", WSDM 2024 (arXiv 2310.02367).
Equations in the order of the computation; gelu is exact.

    x   = LN(E[item_t])
    h_t = lambda h_{t-1} + gamma (W_in x_t + b_in)        complex, lambda = exp(-nu + i theta)
    a_t = LN(Re(W_out h_t) + b_out + x_t)
    x_t = LN(W_2 gelu(W_1 a_t + b_1) + b_2 + a_t)         for each layer
    score of v = E[v] x_t + c_v                           with a bias for each item

nu, theta and gamma are exponentials of parameters, so |lambda| < 1 always; each is 2D long.

Differs from the paper and the reference (yueqirex/LRURec, `model/lru.py` at e02a559): histories are
not filled up to a power of two, which only its doubling needs, and every position is a target but
the pad in front of a history, which is asked for the first item there. The item bias is one more
column of the item table, read by a 1 behind the representation, so that it is scored, trained and
stored where the table is; weight decay, where there is any, reaches it and the biases. The
imaginary part of b_out, which nothing reads, is absent.

A complex matrix stands here as a real one with two rows (columns) for each: real, imaginary. So the
projections are one real product each, and a complex state is read from memory as it lies.

    L  positions, B  users, D  width, C  complex states (2D), V  rows of the table
"""

from __future__ import annotations

import math
from typing import cast

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from srbench.models.base import Batch, Encoder, Info, Settings, State, last_BD
from srbench.models.layers import Dropout, FeedForward
from srbench.models.scan import linear_scan

SLOWEST, FASTEST = 0.99, 0.8  # |lambda| at initialisation lies between them


class LRURecSettings(Settings):
    """Defaults: `config.py` of the reference."""

    width: int = Field(64, ge=1, description="width of the item vectors and of every layer")
    layers: int = Field(2, ge=1, description="blocks of recurrence and feed-forward")
    dropout: float = Field(0.2, ge=0, lt=1, description="dropout on embeddings and feed-forward")
    recurrent_dropout: float = Field(0.2, ge=0, lt=1, description="dropout behind the recurrence")


class Block(nn.Module):
    """A linear recurrent unit, then a feed-forward layer, each with residual and norm."""

    def __init__(self, settings: LRURecSettings) -> None:
        super().__init__()
        width = settings.width
        self.params_log = nn.Parameter(torch.empty(3, 2 * width))  # log of nu, theta, gamma
        self.in_proj = nn.Linear(width, 4 * width)
        self.out_proj = nn.Linear(4 * width, width)
        self.norm_recurrence = nn.LayerNorm(width)
        self.ffn = FeedForward(width, 4 * width, settings.dropout, inside=True, eps=1e-5)
        self.recurrent_dropout = Dropout(settings.recurrent_dropout)

    def decay_C(self) -> Tensor:
        """lambda."""
        nu_C, theta_C, _ = self.params_log.exp()
        return torch.polar(torch.exp(-nu_C), theta_C)

    def input(self, x_BD: Tensor) -> Tensor:
        """gamma (W_in x + b_in), complex; leading dimensions are free."""
        gamma_2C = self.params_log[2].exp().repeat_interleave(2)
        weight, bias = gamma_2C[:, None] * self.in_proj.weight, gamma_2C * self.in_proj.bias
        pairs = F.linear(x_BD, weight, bias).to(weight.dtype).unflatten(-1, (-1, 2))
        return torch.view_as_complex(pairs)

    def states(self, x_LBD: Tensor) -> Tensor:
        """h_LBC, complex."""
        return linear_scan(self.decay_C(), self.input(x_LBD))

    def output(self, h_BC: Tensor, x_BD: Tensor) -> Tensor:
        """From a state to what the next layer sees; leading dimensions are free."""
        y_BD = self.out_proj(torch.view_as_real(h_BC).flatten(-2))
        h_BD: Tensor = self.ffn(self.norm_recurrence(self.recurrent_dropout(y_BD) + x_BD))
        return h_BD


class LRURec(Encoder):
    """Item embedding, then blocks of a linear recurrence and a feed-forward layer."""

    info = Info(
        family="RNN",
        year=2024,
        paper="Yue et al., Linear Recurrent Units for Sequential Recommendation, WSDM 2024",
        reference="yueqirex/LRURec, model/lru.py at e02a559",
        summary="Linear recurrences with complex decays.",
    )
    Settings = LRURecSettings

    def __init__(self, settings: LRURecSettings, n_items: int, length: int) -> None:
        super().__init__()
        self.width = settings.width + 1  # the last column of the table is the items' bias
        self.norm = nn.LayerNorm(settings.width)
        self.dropout = Dropout(settings.dropout)
        blocks = nn.ModuleList(Block(settings) for _ in range(settings.layers))
        self.blocks = cast("list[Block]", blocks)
        for module in self.modules():
            if isinstance(module, nn.Linear):
                truncated_normal(module.weight)
                truncated_normal(module.bias)
            if isinstance(module, Block):
                init_decays(module.params_log)

    def init_table(self, table_VD: Tensor) -> None:
        truncated_normal(table_VD)

    def embedded(self, x_BD: Tensor) -> Tensor:
        """The item's vector without its bias; leading dimensions are free."""
        return self.norm(self.dropout(x_BD[..., :-1]))

    def representation(self, h_BD: Tensor) -> Tensor:
        """With the 1 that the items' biases are multiplied with."""
        return F.pad(h_BD, (0, 1), value=1.0)

    def forward(self, x_BLD: Tensor, batch: Batch) -> Tensor:
        x_LBD = self.embedded(x_BLD.transpose(0, 1))
        *lower, top = self.blocks
        for block in lower:
            x_LBD = block.output(block.states(x_LBD), x_LBD)
        h_BC, x_BD = (
            last_BD(part.transpose(0, 1), batch.lengths_B) for part in (top.states(x_LBD), x_LBD)
        )
        return self.representation(top.output(h_BC, x_BD))

    def prefixes(self, x_BLD: Tensor, batch: Batch) -> Tensor:
        x_LBD = self.embedded(x_BLD.transpose(0, 1))
        for block in self.blocks:
            x_LBD = block.output(block.states(x_LBD), x_LBD)
        return self.representation(x_LBD).transpose(0, 1)

    def init_state(self, x_BD: Tensor) -> State:
        return tuple(torch.zeros_like(block.input(self.embedded(x_BD))) for block in self.blocks)

    def step(self, x_BD: Tensor, state: State) -> tuple[Tensor, State]:
        x_BD, states = self.embedded(x_BD), []
        for block, h_BC in zip(self.blocks, state, strict=True):
            states.append(torch.addcmul(block.input(x_BD), block.decay_C(), h_BC))
            x_BD = block.output(states[-1], x_BD)
        return self.representation(x_BD), tuple(states)


def truncated_normal(x: Tensor) -> None:
    """N(0, 0.02^2) cut at two standard deviations: all that is neither a norm nor a decay."""
    nn.init.trunc_normal_(x, std=0.02, a=-0.04, b=0.04)


@torch.no_grad()
def init_decays(params_log_3C: Tensor) -> None:
    """|lambda|^2 uniform between the squares of two bounds, the angle uniform on the circle, and
    gamma such that a state's variance is that of its input."""
    u_C, angle_C = torch.rand_like(params_log_3C[:2])
    square_C = u_C * (SLOWEST**2 - FASTEST**2) + FASTEST**2
    params_log_3C[0] = (-0.5 * square_C.log()).log()
    params_log_3C[1] = (2 * math.pi * angle_C).log()
    params_log_3C[2] = 0.5 * (1 - square_C).log()
