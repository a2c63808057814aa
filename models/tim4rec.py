"""TiM4Rec: state-space duality whose step widths know how much time went by.

Fan et al., "TiM4Rec: An Efficient Sequential Recommendation Model Based on Time-Aware Structured
State Space Duality Model", 2024 (arXiv 2409.16182).

    x = LN(dropout(E[item_t]))               tau = LN_t(dropout(0, t_1 - t_0, t_2 - t_1, ...))
    [z, xBC, d] = W_in x                     [x', B, C] = act(causal depth-wise convolution of xBC)
    s = M_b silu(M_a tau)                    omega = act(conv_2(act(conv_1(tau * s))))  over heads
    dt = softplus(d * omega + b_dt)          S_t = exp(dt A) S_{t-1} + dt x'_t B_t'
    y_t = S_t C_t + D x'_t                   m = W_out RMSNorm(y * silu(z))
    h = LN(dropout(m) + x)                   x = LN(W_2 hardswish(W_1 h) + h)
    g = sigma(M_g tau)                       tau = LN_t(g tau + (1 - g) omega)      for each layer

LN_t, M_a, M_b and M_g are over the positions of a window. As published each position sees the times
of all others, the later ones and the pads' zeros too. Here all of them are causal: the matrices are
lower triangular, the statistics of LN_t those of the differences so far; so every prefix has its
own representation, and none knows when anything behind it happens. `tim4rec-official` does what the
code does. Neither sees the time of the event to be predicted. Without times omega is 1.

Differs from the paper and the reference, beyond that: the variance of LN_t has a floor of 1e-5,
for the first few differences may be equal. In the reference act is silu where the number of heads
is a multiple of 8 and a package is installed, else hardswish, as in all its configurations: here a
setting.

    L  positions, B  users, D  width, E = expand D  inner width, H  heads, P = E / H, N  states
"""

from __future__ import annotations

from typing import ClassVar, Literal, cast

import torch
import torch.nn.functional as F
from pydantic import Field, model_validator
from torch import Tensor, nn

from srbench.models.base import (
    Batch,
    Encoder,
    Idle,
    Info,
    Pick,
    Settings,
    State,
    everything,
    last_of,
)
from srbench.models.layers import Activation, Behind, Dropout
from srbench.models.mamba import causal_convolution
from srbench.models.ssd import SSDBlock

ACTIVATIONS: dict[str, Activation] = {"hardswish": F.hardswish, "silu": F.silu}


class TimedSettings(Settings):
    """Defaults: AlwaysFHao/TiM4Rec, `config/config4movie_64d.yaml`."""

    idle: ClassVar[Idle] = (("pointwise_gate", "layers", 1),)  # it makes what the next layer reads
    width: int = Field(64, ge=1, description="width of the item table and the representation")
    layers: int = Field(2, ge=1, description="blocks; only stacked ones have residuals")
    states: int = Field(32, ge=1, description="states of each inner channel")
    taps: int = Field(4, ge=1, description="events that the causal convolutions see")
    expand: int = Field(2, ge=1, description="inner width, in widths")
    heads: int = Field(4, ge=1, description="heads, one decay each; must divide the inner width")
    pointwise_gate: bool = Field(False, description="one gate a position of the window, not a head")
    activation: Literal["hardswish", "silu"] = Field("hardswish", description="after convolutions")
    dropout: float = Field(0.2, ge=0, lt=1, description="dropout on embeddings and sub-layers")
    time_dropout: float = Field(0.2, ge=0, lt=1, description="dropout before M_a and M_g")
    norm_eps: float = Field(1e-12, gt=0, description="floor of the variance in normalisations")
    kaiming: bool = Field(True, description="convolutions start from Kaiming's initialisation")

    @model_validator(mode="after")
    def _heads_divide_inner_width(self) -> TimedSettings:
        if self.expand * self.width % self.heads:
            raise ValueError(
                f"heads ({self.heads}) must divide expand times width ({self.expand * self.width})"
            )
        return self


class TiM4RecSettings(TimedSettings):
    """Defaults: AlwaysFHao/TiM4Rec, `config/config4movie_64d.yaml`."""

    idle = (
        *TimedSettings.idle,
        ("pointwise_gate", "time", False),
        ("time_dropout", "time", False),
    )
    time: bool = Field(True, description="use the times of the events, where the dataset has them")


class CausalNorm(nn.LayerNorm):
    """LN_t: mean and variance are those up to each position; scale and shift are its own."""

    def __init__(self, length: int, eps: float) -> None:
        super().__init__(length, eps=max(eps, 1e-5))

    def forward(self, tau_BL: Tensor) -> Tensor:
        length = tau_BL.shape[-1]
        seen_L = torch.arange(1, length + 1, device=tau_BL.device)
        mean_BL = tau_BL.cumsum(-1) / seen_L
        before_BL = F.pad(mean_BL[..., :-1], (1, 0))
        # Welford's sum: no difference of squares, each about the square of a year in seconds.
        variance_BL = ((tau_BL - before_BL) * (tau_BL - mean_BL)).cumsum(-1) / seen_L
        scale_BL = (variance_BL + self.eps).rsqrt() * (seen_L > 1)  # one difference has no spread
        tau_BL = (tau_BL - mean_BL) * scale_BL
        return torch.addcmul(self.bias[:length], tau_BL, self.weight[:length])


class TimeBranch(nn.Module):
    """What one layer makes of the differences in time: from tau to omega and the next tau."""

    def __init__(self, settings: TimedSettings, length: int, norm: nn.Module) -> None:
        super().__init__()
        heads, taps = settings.heads, settings.taps
        self.mix_1, self.mix_2 = nn.Linear(length, length), nn.Linear(length, length)
        self.conv_1, self.conv_2 = (nn.Conv1d(heads, heads, taps, groups=heads) for _ in range(2))
        self.gate = nn.Linear(length, length if settings.pointwise_gate else 1)
        self.norm = norm
        self.dropout = Dropout(settings.time_dropout)
        self.activation = ACTIVATIONS[settings.activation]

    def mixed(self, mix: nn.Linear, tau_BHL: Tensor) -> Tensor:
        """M tau: each position from those up to it."""
        length = tau_BHL.shape[-1]
        if len(mix.weight) == 1:
            return (tau_BHL * mix.weight[0, :length]).cumsum(-1) + mix.bias
        return F.linear(tau_BHL, mix.weight[:length, :length].tril(), mix.bias[:length])

    def omega(self, tau_BHL: Tensor) -> Tensor:
        """The factors of this layer's step widths, omega_LBH."""
        scale_BHL = self.mixed(self.mix_1, self.dropout(tau_BHL))
        scaled_BHL = tau_BHL * self.mixed(self.mix_2, F.silu(scale_BHL))
        omega_LBH = scaled_BHL.permute(2, 0, 1)
        for conv in (self.conv_1, self.conv_2):
            assert conv.bias is not None
            omega_LBH = self.activation(causal_convolution(omega_LBH, conv.weight, conv.bias))
        return omega_LBH

    def following(self, tau_BHL: Tensor, omega_LBH: Tensor) -> Tensor:
        """The next layer's tau."""
        gate_BHL = self.mixed(self.gate, self.dropout(tau_BHL)).sigmoid()
        next_BHL: Tensor = self.norm(torch.lerp(omega_LBH.permute(1, 2, 0), tau_BHL, gate_BHL))
        return next_BHL


class Layer(nn.Module):
    """The mixing and what follows it."""

    def __init__(self, settings: TimedSettings) -> None:
        super().__init__()
        self.ssd = SSDBlock(
            settings.width,
            expand=settings.expand,
            heads=settings.heads,
            states=settings.states,
            taps=settings.taps,
            activation=ACTIVATIONS[settings.activation],
            eps=settings.norm_eps,
        )
        self.behind = Behind(
            settings.width,
            settings.dropout,
            stacked=settings.layers > 1,
            eps=settings.norm_eps,
            activation=F.hardswish,
        )

    def forward(self, x_LBD: Tensor, omega_LBH: Tensor | None, pick: Pick = everything) -> Tensor:
        """The output at the picked events."""
        m_BD = self.ssd.gated(*map(pick, self.ssd.scanned(x_LBD, omega_LBH)))
        h_BD: Tensor = self.behind(m_BD, pick(x_LBD))
        return h_BD


class TiM4Rec(Encoder):
    """TiM4Rec, causal in the times too."""

    info = Info(
        family="SSM",
        year=2024,
        paper="Fan et al., TiM4Rec: Time-Aware Structured State Space Duality, 2024",
        reference="AlwaysFHao/TiM4Rec, tim4rec.py and ssd.py at 8d4a6ce; state-spaces/mamba",
        summary="State-space duality with step widths from the times.",
    )
    Settings: ClassVar[type[TimedSettings]] = TiM4RecSettings

    def __init__(self, settings: TimedSettings, n_items: int, length: int) -> None:
        super().__init__()
        self.width, self.length = settings.width, length
        self.dropout = Dropout(settings.dropout)
        self.norm = nn.LayerNorm(settings.width, eps=settings.norm_eps)
        layers = nn.ModuleList(Layer(settings) for _ in range(settings.layers))
        self.layers = cast("list[Layer]", layers)
        if isinstance(settings, TiM4RecSettings) and not settings.time:
            self.norm_times, times = None, nn.ModuleList()
        else:
            self.norm_times = self.time_norm(settings)
            times = nn.ModuleList(self.time_branch(settings) for _ in self.layers)
        self.times = cast("list[TimeBranch]", times)
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.normal_(module.weight, std=0.02)
                nn.init.zeros_(module.bias)
            elif isinstance(module, nn.Conv1d) and settings.kaiming:
                assert module.bias is not None
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
                nn.init.zeros_(module.bias)

    def time_norm(self, settings: TimedSettings) -> nn.Module:
        return CausalNorm(self.length, settings.norm_eps)

    def time_branch(self, settings: TimedSettings) -> TimeBranch:
        return TimeBranch(settings, self.length, self.time_norm(settings))

    def init_table(self, table_VD: Tensor) -> None:
        nn.init.normal_(table_VD, std=0.02)

    def omegas(self, times_BL: Tensor | None, like: Tensor) -> list[Tensor | None]:
        """omega_LBH of each layer, in the type of `like`; None where no time is used."""
        if times_BL is None or self.norm_times is None:
            return [None] * len(self.layers)
        if times_BL.shape[1] > self.length:
            raise ValueError(f"the times of more than {self.length} events are not distinguished")
        gaps_BL = F.pad(times_BL.diff(dim=1), (1, 0)).to(like.dtype)
        tau_BHL = self.norm_times(self.dropout(gaps_BL))[:, None].expand(-1, self.heads, -1)
        *lower, top = self.times
        omegas: list[Tensor | None] = []
        for branch in lower:
            omega_LBH = branch.omega(tau_BHL)
            tau_BHL = branch.following(tau_BHL, omega_LBH)
            omegas.append(omega_LBH)
        return [*omegas, top.omega(tau_BHL)]

    @property
    def heads(self) -> int:
        return len(self.layers[0].ssd.D)

    def forward(self, x_BLD: Tensor, batch: Batch) -> Tensor:
        return self.states(x_BLD, batch, last_of(batch))

    def prefixes(self, x_BLD: Tensor, batch: Batch) -> Tensor:
        return self.states(x_BLD, batch, everything).transpose(0, 1)

    def states(self, x_BLD: Tensor, batch: Batch, pick: Pick) -> Tensor:
        """The output of the last layer at the picked events."""
        h_LBD = self.norm(self.dropout(x_BLD.transpose(0, 1)))
        omegas = self.omegas(batch.times_BL, h_LBD)
        *lower, top = self.layers
        for layer, omega_LBH in zip(lower, omegas[:-1], strict=True):
            h_LBD = layer(h_LBD, omega_LBH)
        return top(h_LBD, omegas[-1], pick)

    def init_state(self, x_BD: Tensor) -> State:
        """The times so far, of which the window bounds the number, and a state of each layer."""
        times_BL = torch.empty(len(x_BD), 0, dtype=torch.int64, device=x_BD.device)
        return times_BL, tuple(layer.ssd.init_state(x_BD) for layer in self.layers)

    def step(self, x_BD: Tensor, state: State) -> tuple[Tensor, State]:
        return self.step_at(x_BD, state, None)

    def step_at(self, x_BD: Tensor, state: State, times_B: Tensor | None) -> tuple[Tensor, State]:
        times_BL, before = state
        if times_B is not None:
            times_BL = torch.cat([times_BL, times_B[:, None]], dim=1)
        h_BD, after = self.norm(self.dropout(x_BD)), []
        omegas = self.omegas(None if times_B is None else times_BL, h_BD)
        for layer, omega_LBH, old in zip(self.layers, omegas, before, strict=True):
            m_BD, new = layer.ssd.step(h_BD, None if omega_LBH is None else omega_LBH[-1], old)
            h_BD = layer.behind(m_BD, h_BD)
            after.append(new)
        return h_BD, (times_BL, tuple(after))
