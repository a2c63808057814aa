"""Parts that several models share. Each fast one stands beside an obvious reference in the tests.

L  positions, B  users, D  width, H  heads, C  channels of a head, p  reach of a kernel 2p + 1
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

Activation = Callable[[Tensor], Tensor]


def initialise(model: nn.Module) -> None:
    """Linear layers and embeddings N(0, 0.02^2), linear biases 0; all else as built.

    So the codes of the BERT and RecBole family begin, Mamba's step widths included.
    """
    for module in model.modules():
        if isinstance(module, nn.Linear | nn.Embedding):
            nn.init.normal_(module.weight, std=0.02)
        if isinstance(module, nn.Linear) and module.bias is not None:
            nn.init.zeros_(module.bias)


class Dropout(nn.Module):
    """Inverted dropout, drawn 16 bits an element: on a CPU ten times as fast as `F.dropout`.

    The rate is rounded to 1/65536 and the scale uses the rounded rate, so the expectation is exact.
    """

    def __init__(self, rate: float) -> None:
        super().__init__()
        self.rate = rate
        self.threshold = round(rate * 65536) - 32768  # int16 values below it are dropped

    def forward(self, x: Tensor) -> Tensor:
        if not self.training or self.threshold == -32768:
            return x
        return F.dropout(x, self.rate) if x.is_cuda else x * self.factor(x)

    def factor(self, x: Tensor) -> Tensor:
        """What `x` is multiplied with on a CPU: 0 where it is dropped, else 1 / (1 - rate)."""
        if self.threshold == 32768:
            return torch.zeros_like(x)
        draws = torch.empty((x.numel() + 3) // 4, dtype=torch.int64)
        draws.random_(-(2**63), None)  # all 64 bits; one call feeds four elements
        kept = draws.view(torch.int16)[: x.numel()].view(x.shape) >= self.threshold
        return kept.to(x.dtype).mul_(65536 / (32768 - self.threshold))


class FeedForward(nn.Module):
    """LN(W_2 act(W_1 a) + a), with dropout before the sum, and with `inside` behind act too."""

    def __init__(
        self,
        width: int,
        inner: int,
        dropout: float,
        *,
        activation: Activation = F.gelu,
        inside: bool = False,
        eps: float = 1e-12,
    ) -> None:
        super().__init__()
        self.dense_1, self.dense_2 = nn.Linear(width, inner), nn.Linear(inner, width)
        self.norm = nn.LayerNorm(width, eps=eps)
        self.dropout, self.inside = Dropout(dropout), inside
        self.activation = activation

    def forward(self, a_BD: Tensor) -> Tensor:
        """Leading dimensions are free."""
        f_BD = self.activation(self.dense_1(a_BD))
        f_BD = self.dense_2(self.dropout(f_BD) if self.inside else f_BD)
        h_BD: Tensor = self.norm(self.dropout(f_BD) + a_BD)
        return h_BD


class Behind(nn.Module):
    """What follows the mixing of events in Mamba4Rec and its kin: normalisation and feed-forward.

    There is a residual around the mixing only where layers are stacked.
    """

    def __init__(
        self,
        width: int,
        dropout: float,
        *,
        stacked: bool,
        eps: float = 1e-12,
        activation: Activation = F.gelu,
    ) -> None:
        super().__init__()
        self.stacked = stacked
        self.dropout = Dropout(dropout)
        self.norm = nn.LayerNorm(width, eps=eps)
        self.ffn = FeedForward(width, 4 * width, dropout, activation=activation, inside=True)

    def forward(self, m_BD: Tensor, x_BD: Tensor) -> Tensor:
        """From what was mixed and its input; leading dimensions are free."""
        m_BD = self.dropout(m_BD)
        h_BD: Tensor = self.ffn(self.norm(m_BD + x_BD if self.stacked else m_BD))
        return h_BD


def shift(x_LBD: Tensor, by: int) -> Tensor:
    """Moves every event `by` positions later, past the end too; zeros come in."""
    return F.pad(x_LBD, (0, 0, 0, 0, by, 0))[: len(x_LBD)]


class _GRUScan(torch.autograd.Function):
    """The recurrence of a GRU without biases, time first; its backward is written by hand.

    Per event the forward needs one small GEMM and five element-wise calls, the backward one GEMM
    and two: all that does not depend on the next event's gradient is done for all events at once.
    Also returns a_LBG = h[t-1] W_hh', which one more cell at every position can use again; with
    `keep` off, where no gradient is wanted, only its last row.
    """

    @staticmethod
    def forward(
        ctx: Any, g_LBG: Tensor, w_GD: Tensor, h_BD: Tensor, keep: bool = True
    ) -> tuple[Tensor, Tensor]:
        length, batch, gates = g_LBG.shape
        width = gates // 3
        rows = length if keep else 1  # without gradients one row of gates, always in the cache

        def events(x_RB: Tensor) -> tuple[Tensor, ...]:
            return x_RB.unbind() * (length // rows)

        w_DG = w_GD.t().contiguous()
        a_LBG = g_LBG.new_empty(rows, batch, gates)
        rz_LBG = g_LBG.new_empty(rows, batch, 2 * width)
        n_LBD = g_LBG.new_empty(rows, batch, width)
        h_LBD = g_LBG.new_empty(length + 1, batch, width)
        h_LBD[0] = h_BD
        previous = h_LBD[0]
        for g_rz, g_n, a, a_rz, a_n, rz, r, z, n, h in zip(
            g_LBG[..., : 2 * width].unbind(),
            g_LBG[..., 2 * width :].unbind(),
            events(a_LBG),
            events(a_LBG[..., : 2 * width]),
            events(a_LBG[..., 2 * width :]),
            events(rz_LBG),
            events(rz_LBG[..., :width]),
            events(rz_LBG[..., width:]),
            events(n_LBD),
            h_LBD[1:].unbind(),
            strict=True,
        ):
            torch.mm(previous, w_DG, out=a)
            torch.add(g_rz, a_rz, out=rz).sigmoid_()
            torch.addcmul(g_n, r, a_n, out=n).tanh_()
            previous = torch.lerp(n, previous, z, out=h)
        ctx.set_materialize_grads(False)
        ctx.save_for_backward(w_GD, a_LBG, rz_LBG, n_LBD, h_LBD)
        return h_LBD[1:], a_LBG

    @staticmethod
    @once_differentiable
    def backward(
        ctx: Any, dh_LBD: Tensor | None, da_LBG: Tensor | None
    ) -> tuple[Tensor, Tensor, Tensor, None]:
        w_GD, a_LBG, rz_LBG, n_LBD, h_LBD = ctx.saved_tensors
        length, batch, width = n_LBD.shape
        if dh_LBD is None:
            dh_LBD = torch.zeros_like(n_LBD)
        r_LBD, z_LBD = rz_LBG[..., :width], rz_LBG[..., width:]
        # Derivatives of the gates before their nonlinearity, each per unit of dh.
        slope_LBKD = n_LBD.new_empty(length, batch, 3, width)
        new_LBD = (1 - z_LBD).mul_(1 - n_LBD * n_LBD)
        torch.mul(new_LBD, a_LBG[..., 2 * width :], out=slope_LBKD[:, :, 0])
        slope_LBKD[:, :, 0].mul_(r_LBD).mul_(1 - r_LBD)
        torch.mul(h_LBD[:-1] - n_LBD, z_LBD, out=slope_LBKD[:, :, 1])
        slope_LBKD[:, :, 1].mul_(1 - z_LBD)
        torch.mul(new_LBD, r_LBD, out=slope_LBKD[:, :, 2])
        dg_LBG = slope_LBKD.view(length, batch, 3 * width)  # overwritten event by event
        all_LBD = torch.empty_like(n_LBD)
        carried = n_LBD.new_zeros(batch, width)
        for dy, dh, z, slope, dg, da in zip(
            dh_LBD.unbind()[::-1],
            all_LBD.unbind()[::-1],
            z_LBD.unbind()[::-1],
            slope_LBKD.unbind()[::-1],
            dg_LBG.unbind()[::-1],
            [None] * length if da_LBG is None else da_LBG.unbind()[::-1],
            strict=True,
        ):
            torch.add(dy, carried, out=dh)
            torch.mul(slope, dh[:, None], out=slope)
            torch.mul(dh, z, out=carried)
            carried.addmm_(dg if da is None else dg + da, w_GD)
        da_LBG = dg_LBG if da_LBG is None else da_LBG + dg_LBG
        dw_GD = da_LBG.view(-1, 3 * width).t() @ h_LBD[:-1].reshape(-1, width)
        torch.mul(all_LBD, new_LBD, out=dg_LBG[..., 2 * width :])  # n sees g past the reset gate
        return dg_LBG, dw_GD, carried, None


class _GRUCell(torch.autograd.Function):
    """One event of a GRU from g = x W' and a = h U'; its backward writes each gradient once."""

    @staticmethod
    def forward(ctx: Any, g_BG: Tensor, a_BG: Tensor, h_BD: Tensor) -> Tensor:
        width = h_BD.shape[-1]
        rz_BG = torch.add(g_BG[..., : 2 * width], a_BG[..., : 2 * width]).sigmoid_()
        r_BD, z_BD = rz_BG[..., :width], rz_BG[..., width:]
        n_BD = torch.addcmul(g_BG[..., 2 * width :], r_BD, a_BG[..., 2 * width :]).tanh_()
        ctx.save_for_backward(a_BG, rz_BG, n_BD, h_BD)
        return torch.lerp(n_BD, h_BD, z_BD)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, dh_BD: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        a_BG, rz_BG, n_BD, h_BD = ctx.saved_tensors
        width = h_BD.shape[-1]
        r_BD, z_BD = rz_BG[..., :width], rz_BG[..., width:]
        dold_BD = dh_BD * z_BD
        dg_BG = torch.empty_like(a_BG)
        dr_BD, dz_BD, dn_BD = dg_BG.split(width, dim=-1)
        torch.sub(dh_BD, dold_BD, out=dn_BD).addcmul_(dn_BD * n_BD, n_BD, value=-1)
        torch.mul(h_BD - n_BD, dold_BD, out=dz_BD).mul_(1 - z_BD)
        da_BG = torch.empty_like(a_BG)
        through_BD = torch.mul(dn_BD, r_BD, out=da_BG[..., 2 * width :])  # n sees a past r
        torch.mul(a_BG[..., 2 * width :], through_BD, out=dr_BD).mul_(1 - r_BD)
        da_BG[..., : 2 * width] = dg_BG[..., : 2 * width]
        return dg_BG, da_BG, dold_BD


class GRU(nn.GRU):
    """`nn.GRU` without biases, time first, with the parameters and the order of gates of torch.

    The fast CPU path is the scan above; elsewhere torch's own kernel runs.
    """

    def __init__(self, width_in: int, width: int, layers: int = 1) -> None:
        super().__init__(width_in, width, layers, bias=False)

    def weights(self, layer: int) -> tuple[Tensor, Tensor]:
        """The input and the recurrent matrix, each [3 width, ...], gates in the order r, z, n."""
        return getattr(self, f"weight_ih_l{layer}"), getattr(self, f"weight_hh_l{layer}")

    def layer(
        self, x_LBD: Tensor, layer: int, h_BD: Tensor | None = None, *, keep: bool = True
    ) -> tuple[Tensor, Tensor]:
        """States h_LBD of one layer and a_LBG = h[t-1] W_hh', the recurrent part of the gates.

        Whoever has no use for a_LBG says `keep=False`: then it is kept only for gradients.
        """
        w_in, w_GD = self.weights(layer)
        if h_BD is None:
            h_BD = w_GD.new_zeros(x_LBD.shape[1], self.hidden_size)
        if x_LBD.is_cuda:
            h_LBD, _ = torch._VF.gru(
                x_LBD, h_BD[None], (w_in, w_GD), False, 1, 0.0, self.training, False, False
            )
            a_LBG = torch.cat([h_BD[None], h_LBD[:-1]]) @ w_GD.t()
            return h_LBD, a_LBG
        scan: tuple[Tensor, Tensor] = _GRUScan.apply(  # type: ignore[no-untyped-call]
            (x_LBD @ w_in.t()).to(w_GD.dtype), w_GD, h_BD, keep or torch.is_grad_enabled()
        )
        return scan

    def forward(self, x_LBD: Tensor) -> Tensor:  # type: ignore[override]
        """States of the top layer, h_LBD."""
        if x_LBD.is_cuda:
            h_LBD: Tensor = super().forward(x_LBD)[0]
            return h_LBD
        for layer in range(self.num_layers):
            x_LBD, _ = self.layer(x_LBD, layer, keep=False)
        return x_LBD

    def cell(self, x_BD: Tensor, h_BD: Tensor, layer: int, a_BG: Tensor | None = None) -> Tensor:
        """One event: z = sigma(W_z x + U_z h), n = tanh(W_n x + r (U_n h)), h' = (1 - z) n + z h.

        Leading dimensions are free. `a_BG` is h U' where the caller has it already.
        """
        w_in, w_GD = self.weights(layer)
        plain = not (torch.is_grad_enabled() or torch.is_autocast_enabled(x_BD.device.type))
        if plain and a_BG is None and x_BD.dim() == 2:
            return torch.gru_cell(x_BD, h_BD, w_in, w_GD)  # one user's in half the time
        a_BG = h_BD @ w_GD.t() if a_BG is None else a_BG
        g_BG, a_BG = (x_BD @ w_in.t()).to(h_BD.dtype), a_BG.to(h_BD.dtype)
        next_BD: Tensor = _GRUCell.apply(g_BG, a_BG, h_BD)  # type: ignore[no-untyped-call]
        return next_BD


class _UnitELU(torch.autograd.Function):
    """elu, then unit length in each head, times a factor."""

    @staticmethod
    def forward(ctx: Any, x_BD: Tensor, heads: int, factor: float, eps: float) -> Tensor:
        e_BHC = F.elu(x_BD).unflatten(-1, (heads, -1))
        norm_BH1 = torch.linalg.vector_norm(e_BHC, dim=-1, keepdim=True).clamp_min_(eps)
        ctx.factor = factor
        ctx.save_for_backward(e_BHC, norm_BH1)
        return (e_BHC * (factor / norm_BH1)).flatten(-2)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, dy_BD: Tensor) -> tuple[Tensor, None, None, None]:
        e_BHC, norm_BH1 = ctx.saved_tensors
        dy_BHC = dy_BD.view(e_BHC.shape)
        along_BH1 = (dy_BHC * e_BHC).sum(-1, keepdim=True).div_(norm_BH1 * norm_BH1)
        dx_BHC = torch.addcmul(dy_BHC, e_BHC, along_BH1, value=-1).mul_(ctx.factor / norm_BH1)
        dx_BHC.addcmul_(dx_BHC, e_BHC.clamp(max=0))  # elu' = 1 + min(elu, 0)
        return dx_BHC.flatten(-2), None, None, None


def unit_elu(x_BD: Tensor, heads: int, factor: float = 1.0, eps: float = 1e-12) -> Tensor:
    """`factor` elu(x) / |elu(x)| in each of the heads; leading dimensions are free.

    Lengths below `eps` count as `eps`, as in `F.normalize`.
    """
    y_BD: Tensor = _UnitELU.apply(x_BD, heads, factor, eps)  # type: ignore[no-untyped-call]
    return y_BD


def split_heads(x_LBD: Tensor, heads: int) -> Tensor:
    """[L, B, D] to [B, H, L, C]."""
    length, batch, width = x_LBD.shape
    return x_LBD.view(length, batch, heads, width // heads).permute(1, 2, 0, 3)


def causal_linear_attention(
    q_BHLC: Tensor, k_BHLC: Tensor, v_BHLC: Tensor, chunk: int = 32
) -> Tensor:
    """y_t = q_t' (sum over s up to t of k_s v_s'), without softmax.

    Inside a chunk by a lower-triangular product, across chunks by running sums of k v'.
    """
    batch, heads, length, channels = q_BHLC.shape
    chunk = min(chunk, length)
    count = -(-length // chunk)
    short = count * chunk - length

    def cut(x_BHLC: Tensor) -> Tensor:
        padded = F.pad(x_BHLC, (0, 0, 0, short)) if short else x_BHLC
        return padded.reshape(batch * heads * count, chunk, channels)

    q, k, v = cut(q_BHLC), cut(k_BHLC), cut(v_BHLC)
    lower = q.new_ones(chunk, chunk).tril()
    y = torch.bmm(torch.bmm(q, k.transpose(1, 2)) * lower, v)  # batched tril_ is slow on a CPU
    if count > 1:
        sums = torch.bmm(k.transpose(1, 2), v).view(batch * heads, count, channels, channels)
        before = F.pad(sums[:, :-1].cumsum(1), (0, 0, 0, 0, 1, 0))
        y = torch.baddbmm(y, q, before.reshape(-1, channels, channels))
    return y.view(batch, heads, count * chunk, channels)[:, :, :length]
