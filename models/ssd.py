"""State-space duality (Mamba-2): a linear recurrence with one decay a head, as matrix products.

Dao and Gu, "Transformers are SSMs", ICML 2024, sections 3 and 6:

    S_t = exp(dt_t A) S_{t-1} + dt_t x_t B_t'          y_t = S_t C_t          S_{-1} = 0

Because the decay is one number a head and event, y is also a masked product, like attention:
y_t = sum over s up to t of (C_t' B_s) exp(sum of dt A behind s up to t) dt_s x_s. It is taken so
within chunks of T events; from chunk to chunk goes the state, by `linear_scan`. Decays are only
ever exponentials of sums that are not positive, never quotients.

    L  positions, B  users, D  width, E = expand D  inner width, H  heads, P = E / H  channels of a
    head, N  states, G  groups of heads with B_t and C_t in common, M = L / T  chunks, K  taps
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from srbench.models.layers import Activation
from srbench.models.mamba import causal_convolution
from srbench.models.scan import linear_scan
from srbench.models.tally import tally

Chosen = tuple[Tensor, Tensor, Tensor, Tensor, Tensor]


def ssd(
    x_LBHP: Tensor, dt_LBH: Tensor, A_H: Tensor, B_LBGN: Tensor, C_LBGN: Tensor, chunk: int = 32
) -> tuple[Tensor, Tensor]:
    """y_LBHP and the last state S_BHPN. H must be a multiple of G."""
    length, users, heads, channels = x_LBHP.shape
    groups, states = B_LBGN.shape[2:]
    chunk = min(chunk, length)

    def cut(z_LBKC: Tensor, groups: int) -> Tensor:
        """[L, B, K, C] to [M, B, groups, K / groups, T, C]; what is added behind the end is 0."""
        padded = F.pad(z_LBKC, (0, 0, 0, 0, 0, 0, 0, -length % chunk))
        cut = padded.unflatten(2, (groups, -1)).unflatten(0, (-1, chunk))
        return cut.permute(0, 2, 3, 4, 1, 5)

    # Beside the products: 3 for the decay between two events of a chunk and what it weighs; dt,
    # the decay to the chunk's end and that since its beginning, each times a channel.
    events = -(-length // chunk) * chunk
    tally("state-space duality", users * heads * events * 3 * (chunk + channels))

    # All tensors from here on are [M, B, G, heads of a group or 1, ..., ...].
    x = cut(x_LBHP * dt_LBH[..., None], groups)
    b, c = cut(B_LBGN, groups), cut(C_LBGN, groups)
    sums = cut((dt_LBH * A_H)[..., None], groups).cumsum(-2)  # [..., T, 1]
    end = sums[..., -1:, :]
    future = torch.ones(chunk, chunk, dtype=torch.bool, device=x.device).triu(1)
    decay = (sums - sums.transpose(-1, -2)).masked_fill(future, float("-inf")).exp()
    y = (c @ b.transpose(-1, -2) * decay) @ x
    added = (x * (end - sums).exp()).transpose(-1, -2) @ b  # [..., P, N]
    s = linear_scan(end.exp(), added)
    before = torch.cat([torch.zeros_like(s[:1]), s[:-1]])
    y = y + (c @ before.transpose(-1, -2)) * sums.exp()
    y_LBHP = y.permute(0, 4, 1, 2, 3, 5).reshape(-1, users, heads, channels)[:length]
    return y_LBHP, s[-1].reshape(users, heads, channels, states)


def ssd_step(
    S_BHPN: Tensor, x_BHP: Tensor, dt_BH: Tensor, A_H: Tensor, B_BGN: Tensor, C_BGN: Tensor
) -> tuple[Tensor, Tensor]:
    """One event: y_BHP and the new state."""
    share = x_BHP.shape[1] // B_BGN.shape[1]
    B_BHN, C_BHN = (z.repeat_interleave(share, dim=1) for z in (B_BGN, C_BGN))
    decay_BH11 = torch.exp(dt_BH * A_H)[..., None, None]
    added_BHPN = (dt_BH[..., None] * x_BHP)[..., None] * B_BHN[:, :, None]
    S_BHPN = decay_BH11 * S_BHPN + added_BHPN
    return (S_BHPN @ C_BHN[..., None]).squeeze(-1), S_BHPN


def sequential_ssd(
    x_LBHP: Tensor, dt_LBH: Tensor, A_H: Tensor, B_LBGN: Tensor, C_LBGN: Tensor
) -> tuple[Tensor, Tensor]:
    """`ssd` step by step; differentiated by torch."""
    S_BHPN = x_LBHP.new_zeros(*x_LBHP.shape[1:], B_LBGN.shape[-1])
    ys = []
    for x_BHP, dt_BH, B_BGN, C_BGN in zip(x_LBHP, dt_LBH, B_LBGN, C_LBGN, strict=True):
        y_BHP, S_BHPN = ssd_step(S_BHPN, x_BHP, dt_BH, A_H, B_BGN, C_BGN)
        ys.append(y_BHP)
    return torch.stack(ys), S_BHPN


class SSDBlock(nn.Module):
    """The block of Mamba-2, time first, with one group; parameters have the names of the reference.

        [z, xBC, d] = W_in x               [x', B, C] = act(causal depth-wise convolution of xBC)
        dt = softplus(d * omega + b_dt)    y = ssd(x', dt, -exp(A_log), B, C) + D x'
        out = W_out RMSNorm(y * silu(z))

    omega is a factor of the step widths from outside; none is 1.
    """

    def __init__(
        self,
        width: int,
        *,
        expand: int,
        heads: int,
        states: int,
        taps: int,
        activation: Activation,
        eps: float,
    ) -> None:
        super().__init__()
        inner = expand * width
        self.sizes = [inner, inner + 2 * states, heads]
        self.split = [inner, states, states]
        self.in_proj = nn.Linear(width, sum(self.sizes))
        self.conv1d = nn.Conv1d(self.sizes[1], self.sizes[1], taps, groups=self.sizes[1])
        self.activation = activation
        self.dt_bias = nn.Parameter(torch.empty(heads).uniform_(math.log(1e-3), math.log(0.1)))
        self.dt_bias.data.exp_().expm1_().log_()  # softplus of it is the step width that was drawn
        self.A_log = nn.Parameter(torch.empty(heads).uniform_(1, 16).log_())
        self.D = nn.Parameter(torch.ones(heads))
        self.norm = nn.RMSNorm(inner, eps=eps)
        self.out_proj = nn.Linear(inner, width)

    def chosen(self, xBC: Tensor, d_BH: Tensor, omega_BH: Tensor | None) -> Chosen:
        """x', dt, A, B and C; leading dimensions are free."""
        x_BE, B_BN, C_BN = self.activation(xBC).split(self.split, dim=-1)
        d_BH = d_BH if omega_BH is None else d_BH * omega_BH
        dt_BH = F.softplus(d_BH + self.dt_bias)
        x_BHP = x_BE.unflatten(-1, (len(self.D), -1))
        return x_BHP, dt_BH, -self.A_log.exp(), B_BN[..., None, :], C_BN[..., None, :]

    def gated(self, y_BHP: Tensor, x_BHP: Tensor, z_BE: Tensor) -> Tensor:
        y_BE = torch.addcmul(y_BHP, self.D[:, None], x_BHP).flatten(-2)
        return self.out_proj(self.norm(y_BE * F.silu(z_BE)))

    def scanned(
        self, x_LBD: Tensor, omega_LBH: Tensor | None = None
    ) -> tuple[Tensor, Tensor, Tensor]:
        """y, x' and z of every event, which `gated` puts together."""
        z_LBE, xBC, d_LBH = self.in_proj(x_LBD).split(self.sizes, dim=-1)
        assert self.conv1d.bias is not None
        xBC = causal_convolution(xBC, self.conv1d.weight, self.conv1d.bias)
        chosen = self.chosen(xBC, d_LBH, omega_LBH)
        y_LBHP, _ = ssd(*chosen)
        return y_LBHP, chosen[0], z_LBE

    def forward(self, x_LBD: Tensor, omega_LBH: Tensor | None = None) -> Tensor:
        return self.gated(*self.scanned(x_LBD, omega_LBH))

    def init_state(self, x_BD: Tensor) -> tuple[Tensor, Tensor]:
        """The last inputs of the convolution, [K - 1, B, ...], and S_BHPN."""
        users, heads = len(x_BD), len(self.D)
        seen = x_BD.new_zeros(self.conv1d.kernel_size[0] - 1, users, self.sizes[1])
        return seen, x_BD.new_zeros(users, heads, self.sizes[0] // heads, self.split[1])

    def step(
        self, x_BD: Tensor, omega_BH: Tensor | None, state: tuple[Tensor, Tensor]
    ) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        seen, S_BHPN = state
        z_BE, xBC, d_BH = self.in_proj(x_BD).split(self.sizes, dim=-1)
        window = torch.cat([seen, xBC[None]])
        assert self.conv1d.bias is not None
        taps = self.conv1d.weight[:, 0].t()
        xBC = (window * taps[:, None]).sum(0) + self.conv1d.bias
        chosen = self.chosen(xBC, d_BH, omega_BH)
        y_BHP, S_BHPN = ssd_step(S_BHPN, *chosen)
        return self.gated(y_BHP, chosen[0], z_BE), (window[1:], S_BHPN)
