"""The Mamba block, which Mamba4Rec and SIGMA share.

Gu and Dao, "Mamba: Linear-Time Sequence Modeling with Selective State Spaces", COLM 2024, in the
form of state-spaces/mamba at e9594ce, `mamba_simple.py`:

    [u, z] = W_in x            u = silu(causal depth-wise convolution of u)
    [d, B, C] = W_x u          delta = softplus(W_dt d + b_dt)          A = -exp(A_log)
    y = selective scan of u + D * u            out = W_out (y * silu(z))

    L  positions, B  users, D  width, E = expand D  inner width, N  states, R = ceil(D / 16)  width
    of d, K  taps
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from pydantic import Field, field_validator
from torch import Tensor, nn

from srbench.models.base import Settings
from srbench.models.selective import (
    Scan,
    fused_selective_scan,
    has_mamba_ssm,
    kernel_of,
    selective_scan,
    selective_step,
)
from srbench.models.tally import tally


class MambaSettings(Settings):
    """What the block needs. Defaults: `config.yaml` of Mamba4Rec and of SIGMA, which agree."""

    width: int = Field(64, ge=1, description="width of the item table and the representation")
    states: int = Field(32, ge=1, description="states of each inner channel")
    taps: int = Field(4, ge=1, description="events that the causal convolution sees")
    expand: int = Field(2, ge=1, description="inner width of Mamba, in widths")
    scan: Scan = Field(
        "auto", description="kernel of the scan; auto: mamba-ssm on a GPU that has it, else torch"
    )

    @field_validator("scan")
    @classmethod
    def _kernel_is_there(cls, scan: Scan) -> Scan:
        if scan == "mamba-ssm" and not (has_mamba_ssm() and torch.cuda.is_available()):
            raise ValueError("mamba-ssm needs a GPU and the package of that name; leave it at auto")
        return scan

    def check_device(self, device: str) -> None:
        if self.scan == "mamba-ssm" and device == "cpu":
            raise ValueError("scan = mamba-ssm runs on a GPU alone: leave it at auto")


def causal_convolution(x_LBE: Tensor, weight_E1K: Tensor, bias_E: Tensor) -> Tensor:
    """Each channel by itself: a weighted sum of the last K events, nothing before the first."""
    taps = weight_E1K[:, 0].unbind(-1)
    tally("depth-wise convolution", 2 * len(taps) * x_LBE.numel())
    padded = F.pad(x_LBE, (0, 0, 0, 0, len(taps) - 1, 0))
    y_LBE = bias_E
    for lag, tap_E in enumerate(taps):
        y_LBE = torch.addcmul(y_LBE, padded[lag : lag + len(x_LBE)], tap_E)
    return y_LBE


class Mamba(nn.Module):
    """One block, time first. Parameters have the names of the reference."""

    def __init__(self, settings: MambaSettings) -> None:
        super().__init__()
        width, inner = settings.width, settings.expand * settings.width
        self.scan, self.rank = settings.scan, math.ceil(width / 16)
        self.in_proj = nn.Linear(width, 2 * inner, bias=False)
        self.conv1d = nn.Conv1d(inner, inner, settings.taps, groups=inner)
        self.x_proj = nn.Linear(inner, self.rank + 2 * settings.states, bias=False)
        self.dt_proj = nn.Linear(self.rank, inner)
        self.out_proj = nn.Linear(inner, width, bias=False)
        states_N = torch.arange(1, settings.states + 1, dtype=torch.float32)
        self.A_log = nn.Parameter(states_N.log().repeat(inner, 1))
        self.D = nn.Parameter(torch.ones(inner))

    @property
    def kernel(self) -> str:
        return kernel_of(self.scan, self.D.device)

    def selected(self, u_BE: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """delta, A, B and C, all but A chosen by the event; leading dimensions are free."""
        states = self.A_log.shape[1]
        d_BR, B_BN, C_BN = self.x_proj(u_BE).split([self.rank, states, states], dim=-1)
        return F.softplus(self.dt_proj(d_BR)), -torch.exp(self.A_log), B_BN, C_BN

    def gated(self, y_BE: Tensor, u_BE: Tensor, z_BE: Tensor) -> Tensor:
        return self.out_proj(torch.addcmul(y_BE, self.D, u_BE) * F.silu(z_BE))

    def scanned(self, x_LBD: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """y, u and z of every event, which `gated` puts together."""
        u_LBE, z_LBE = self.in_proj(x_LBD).chunk(2, dim=-1)
        assert self.conv1d.bias is not None
        u_LBE = F.silu(causal_convolution(u_LBE, self.conv1d.weight, self.conv1d.bias))
        scan = fused_selective_scan if self.kernel == "mamba-ssm" else selective_scan
        y_LBE, _ = scan(u_LBE, *self.selected(u_LBE))
        return y_LBE, u_LBE, z_LBE

    def forward(self, x_LBD: Tensor) -> Tensor:
        return self.gated(*self.scanned(x_LBD))

    def init_state(self, x_BD: Tensor) -> tuple[Tensor, Tensor]:
        """The last K - 1 inputs of the convolution, [K-1, B, E], and s_BNE."""
        inner, states = self.A_log.shape
        seen = x_BD.new_zeros(self.conv1d.kernel_size[0] - 1, len(x_BD), inner)
        return seen, x_BD.new_zeros(len(x_BD), states, inner)

    def step(
        self, x_BD: Tensor, state: tuple[Tensor, Tensor]
    ) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        seen, s_BNE = state
        u_BE, z_BE = self.in_proj(x_BD).chunk(2, dim=-1)
        window_KBE = torch.cat([seen, u_BE[None]])
        assert self.conv1d.bias is not None
        taps_KE = self.conv1d.weight[:, 0].t()
        u_BE = F.silu((window_KBE * taps_KE[:, None]).sum(0) + self.conv1d.bias)
        y_BE, s_BNE = selective_step(s_BNE, u_BE, *self.selected(u_BE))
        return self.gated(y_BE, u_BE, z_BE), (window_KBE[1:], s_BNE)
