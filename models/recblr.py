"""RecBLR: linear recurrences whose decay and input depend on the event.

Liu et al., "Behavior-Dependent Linear Recurrent Units for Efficient Sequential Recommendation",
CIKM 2024 (arXiv 2406.12580). Equations in the order of the computation, for each layer:

    x   = LN(E[item_t])                              before the first layer
    v_t = W_v x_t                    z_t = W_z x_t
    u_t = silu(c + sum over j < K of w_j v_{t-j})    a convolution of each channel by itself
    r_t = sigma(W_r u_t + b_r)       i_t = sigma(W_i u_t + b_i)
    a_t = exp(-softplus(Lambda) r_t)
    h_t = a_t h_{t-1} + sqrt(1 - a_t^2) i_t u_t      the recurrence; h before the first event is 0
    y_t = LN(W_o (silu(z_t) h_t) + x_t)
    x_t = LN(W_2 silu(W_1 y_t + b_1) + b_2 + y_t)

Differs from the paper: Lambda starts equally spaced, as in the code, not the decays; 1e-8 stands
under the root, as in the code, so that its slope stays finite. Differs from the reference
(chengkai-liu/RecBLR, `RecBLR.py` at d01e5c9): its kernel wants a power of two of events, so rows of
zeros come in front, by the paper of the recurrence, where they change nothing, by the code of the
convolution, whose bias c makes events of them. `recblr` follows the paper, `recblr-official` the
code. Every position is a target of the one pass, not one a prefix.

    L  positions, B  users, D  width, C  channels of a recurrence, K  taps of the convolution
"""

from __future__ import annotations

import math
from typing import cast

import torch
import torch.nn.functional as F
from pydantic import Field, model_validator
from torch import Tensor, nn

from srbench.models.base import Batch, Encoder, Info, Settings, State, last_BD
from srbench.models.layers import Dropout, FeedForward
from srbench.models.mamba import causal_convolution
from srbench.models.scan import linear_scan


class RecBLRSettings(Settings):
    """Defaults: `config.yaml` of the reference."""

    width: int = Field(64, ge=1, description="width of the item table and of every layer")
    layers: int = Field(2, ge=1, description="layers of recurrence and feed-forward")
    expand: float = Field(2.0, gt=0, description="channels of a recurrence per width")
    taps: int = Field(4, ge=1, description="events that the convolution sees")
    dropout: float = Field(0.2, ge=0, lt=1, description="dropout on embeddings and sub-layers")

    @property
    def channels(self) -> int:
        return int(self.width * self.expand)

    @model_validator(mode="after")
    def _a_channel_at_least(self) -> RecBLRSettings:
        if self.channels < 1:
            raise ValueError(
                f"expand ({self.expand:g}) leaves no channel of width ({self.width}); "
                "their product must be at least 1"
            )
        return self


class Block(nn.Module):
    """A gated recurrence, then a feed-forward layer, each with residual and norm behind it."""

    def __init__(self, settings: RecBLRSettings, warm_up: int) -> None:
        super().__init__()
        width, channels = settings.width, settings.channels
        self.warm_up, self.taps = warm_up, settings.taps
        self.in_proj = nn.Linear(width, 2 * channels, bias=False)  # v, z
        self.conv1d = nn.Conv1d(channels, channels, settings.taps, groups=channels)
        self.gates = nn.Linear(channels, 2 * channels)  # r, i
        slow, fast = (math.log(math.expm1(-math.log(a))) for a in (0.9, 0.999))
        self.Lambda = nn.Parameter(torch.linspace(slow, fast, channels))
        self.out_proj = nn.Linear(channels, width, bias=False)
        self.norm_recurrence = nn.LayerNorm(width, eps=1e-12)
        self.ffn = FeedForward(width, 4 * width, settings.dropout, activation=F.silu, inside=True)
        self.dropout = Dropout(settings.dropout)

    @property
    def bias_C(self) -> Tensor:
        assert self.conv1d.bias is not None
        return self.conv1d.bias

    def value(self, x_BD: Tensor) -> Tensor:
        """v; leading dimensions are free."""
        return F.linear(x_BD, self.in_proj.weight.chunk(2)[0])

    def event(self, u_BC: Tensor) -> tuple[Tensor, Tensor]:
        """The decay of an event and what it adds to the state; leading dimensions are free."""
        r_BC, i_BC = self.gates(u_BC).to(self.Lambda.dtype).sigmoid().chunk(2, dim=-1)
        log_BC = -F.softplus(self.Lambda) * r_BC
        scale_BC = (1e-8 - torch.expm1(2 * log_BC)).sqrt()
        return log_BC.exp(), scale_BC * i_BC * u_BC

    def start_C(self) -> Tensor:
        """The state before the first event: 0, or what `warm_up` rows of zeros leave behind."""
        if not self.warm_up:
            return torch.zeros_like(self.Lambda)
        a_C, b_C = self.event(F.silu(self.bias_C))
        return linear_scan(a_C, b_C.expand(self.warm_up, -1))[-1]

    def states(self, x_LBD: Tensor) -> Tensor:
        """h_LBC."""
        u_LBC = F.silu(causal_convolution(self.value(x_LBD), self.conv1d.weight, self.bias_C))
        return linear_scan(*self.event(u_LBC), self.start_C())

    def output(self, h_BC: Tensor, x_BD: Tensor) -> Tensor:
        """From a state to what the next layer sees; leading dimensions are free."""
        z_BC = F.linear(x_BD, self.in_proj.weight.chunk(2)[1])
        y_BD = self.dropout(self.out_proj(F.silu(z_BC) * h_BC))
        next_BD: Tensor = self.ffn(self.norm_recurrence(y_BD + x_BD))
        return next_BD

    def init_state(self, batch: int) -> tuple[Tensor, Tensor]:
        """The values that the convolution still sees, and the state."""
        start_BC = self.start_C().expand(batch, -1)
        return start_BC.new_zeros(self.taps - 1, *start_BC.shape), start_BC

    def step(self, x_BD: Tensor, state: tuple[Tensor, Tensor]) -> tuple[Tensor, State]:
        seen_KBC, h_BC = torch.cat([state[0], self.value(x_BD)[None]]), state[1]
        taps_KC = self.conv1d.weight[:, 0].t()
        u_BC = F.silu((seen_KBC * taps_KC[:, None]).sum(0) + self.bias_C)
        a_BC, b_BC = self.event(u_BC)
        h_BC = torch.addcmul(b_BC, a_BC, h_BC)
        return self.output(h_BC, x_BD), (seen_KBC[1:], h_BC)


class RecBLR(Encoder):
    """Item embedding, then layers of a behaviour-dependent recurrence and a feed-forward."""

    info = Info(
        family="RNN",
        year=2024,
        paper="Liu et al., Behavior-Dependent Linear Recurrent Units, CIKM 2024",
        reference="chengkai-liu/RecBLR, RecBLR.py at d01e5c9",
        summary="Linear recurrences gated by the event.",
    )
    Settings = RecBLRSettings

    def __init__(
        self, settings: RecBLRSettings, n_items: int, length: int, warm_up: int = 0
    ) -> None:
        super().__init__()
        self.width = settings.width
        self.norm = nn.LayerNorm(settings.width, eps=1e-12)
        self.dropout = Dropout(settings.dropout)
        blocks = nn.ModuleList(Block(settings, warm_up) for _ in range(settings.layers))
        self.blocks = cast("list[Block]", blocks)
        for module in self.modules():  # the convolution stays as torch draws it
            if isinstance(module, nn.Linear):
                nn.init.normal_(module.weight, std=0.02)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)

    def init_table(self, table_VD: Tensor) -> None:
        nn.init.normal_(table_VD, std=0.02)

    def embedded(self, x_BD: Tensor) -> Tensor:
        """Leading dimensions are free."""
        return self.norm(self.dropout(x_BD))

    def forward(self, x_BLD: Tensor, batch: Batch) -> Tensor:
        x_LBD = self.embedded(x_BLD.transpose(0, 1))
        *lower, top = self.blocks
        for block in lower:
            x_LBD = block.output(block.states(x_LBD), x_LBD)
        h_BC, x_BD = (
            last_BD(part.transpose(0, 1), batch.lengths_B) for part in (top.states(x_LBD), x_LBD)
        )
        return top.output(h_BC, x_BD)

    def prefixes(self, x_BLD: Tensor, batch: Batch) -> Tensor:
        x_LBD = self.embedded(x_BLD.transpose(0, 1))
        for block in self.blocks:
            x_LBD = block.output(block.states(x_LBD), x_LBD)
        return x_LBD.transpose(0, 1)

    def init_state(self, x_BD: Tensor) -> State:
        return tuple(block.init_state(len(x_BD)) for block in self.blocks)

    def step(self, x_BD: Tensor, state: State) -> tuple[Tensor, State]:
        x_BD, states = self.embedded(x_BD), []
        for block, of_block in zip(self.blocks, state, strict=True):
            x_BD, new = block.step(x_BD, of_block)
            states.append(new)
        return x_BD, tuple(states)
