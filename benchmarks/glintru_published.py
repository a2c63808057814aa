"""GLINT-RU as its authors publish it: one padded window in, one representation out.

What RecBole is timed with. The authors' file carries no licence, so this is a restatement of its
computation (arXiv 2406.10244 and the behaviour of the published code), checked against numbers
taken from it (tests/benchmarks). Unlike srbench's own model it has no `prefixes`: every prefix of
a user is a window of its own, padded to the full length, and only its last state is used.

Needs torch and nothing else, so that it runs beside RecBole and in srbench's own tests.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class LinearAttention(nn.Module):
    """Attention in O(L): unit queries and keys after ELU, no mask, so the padding takes part."""

    def __init__(self, width: int, heads: int, dropout: float, eps: float) -> None:
        super().__init__()
        self.heads = heads
        self.query = nn.Linear(width, width)
        self.key = nn.Linear(width, width)
        self.value = nn.Linear(width, width)
        self.out = nn.Linear(width, width)
        self.dropout = nn.Dropout(dropout)
        self.norm = nn.LayerNorm(width, eps=eps)

    def forward(self, x_BLD: Tensor) -> Tensor:
        batch, length, width = x_BLD.shape
        per_head = width // self.heads

        def split(y_BLD: Tensor) -> Tensor:
            return y_BLD.view(batch, length, self.heads, per_head).transpose(1, 2)

        q_BHLC = F.elu(split(self.query(x_BLD)))
        k_BHLC = F.elu(split(self.key(x_BLD)))
        q_BHLC = q_BHLC / q_BHLC.norm(dim=-1, keepdim=True)
        k_BHLC = k_BHLC / k_BHLC.norm(dim=-1, keepdim=True)
        memory_BHCC = k_BHLC.transpose(2, 3) @ split(self.value(x_BLD))
        mixed_BHLC = (q_BHLC @ memory_BHCC) / math.sqrt(per_head)
        mixed_BLD = mixed_BHLC.transpose(1, 2).reshape(batch, length, width)
        return self.norm(self.dropout(self.out(mixed_BLD)) + x_BLD)


class PublishedGlintru(nn.Module):
    """The whole encoder with its item table, as the published code has it (one block)."""

    def __init__(
        self,
        n_rows: int,
        width: int,
        heads: int,
        *,
        gru_layers: int = 1,
        embedding_dropout: float = 0.3,
        attention_dropout: float = 0.2,
        dropout: float = 0.3,
        eps: float = 1e-12,
    ) -> None:
        super().__init__()
        self.table = nn.Embedding(n_rows, width, padding_idx=0)
        self.embedding_dropout = nn.Dropout(embedding_dropout)
        self.attention = LinearAttention(width, heads, attention_dropout, eps)
        self.into_gru = nn.Linear(width, width)
        self.conv_before = nn.Conv1d(width, width, 3, padding=1)
        self.gru = nn.GRU(width, width, gru_layers, bias=False, batch_first=True)
        self.from_gru = nn.Linear(width, width)
        self.selective = nn.Sequential(
            nn.Linear(width, width // 2),
            nn.SiLU(),
            nn.Linear(width // 2, width),
            nn.Dropout(dropout),
        )
        self.conv_after = nn.Conv1d(width, width, 3, padding=1)
        self.expert_weights = nn.Parameter(torch.tensor([0.5, 0.5]))
        self.data_gate = nn.Linear(width, width)
        self.mix = nn.Linear(width, width)
        self.mlp_value = nn.Linear(width, width)
        self.mlp_gate = nn.Linear(width, width)
        self.mlp_out = nn.Linear(width, width)
        self.dropout = nn.Dropout(dropout)
        self.norm = nn.LayerNorm(width, eps=eps)
        self.apply(_published_initialisation)

    def forward(self, items_BL: Tensor) -> Tensor:
        """States h_BLD of the padded window; the one at length - 1 is the representation."""
        x_BLD = self.embedding_dropout(self.table(items_BL))
        c_BLD = self.conv_before(self.into_gru(x_BLD).transpose(1, 2)).transpose(1, 2)
        gated_BLD = self.selective(c_BLD) * self.from_gru(self.gru(c_BLD)[0])
        recurrent_BLD = self.conv_after(gated_BLD.transpose(1, 2)).transpose(1, 2)
        w_2 = self.expert_weights.softmax(0)
        mixed_BLD = w_2[0] * recurrent_BLD + w_2[1] * self.attention(x_BLD)
        y_BLD = mixed_BLD * F.gelu(self.data_gate(x_BLD))
        h_BLD = self.norm(self.dropout(self.mix(y_BLD)) + x_BLD)
        z_BLD = self.mlp_out(self.mlp_value(h_BLD) * F.gelu(self.mlp_gate(h_BLD)))
        return self.norm(self.dropout(z_BLD) + h_BLD)

    def last(self, items_BL: Tensor, lengths_B: Tensor) -> Tensor:
        """The representation h_BD of each window."""
        return self(items_BL)[torch.arange(len(items_BL)), lengths_B - 1]

    def scores(self, h_BD: Tensor) -> Tensor:
        """Scores of every row of the table, the padding row included."""
        return h_BD @ self.table.weight.T


def _published_initialisation(module: nn.Module) -> None:
    if isinstance(module, nn.Embedding):
        nn.init.xavier_normal_(module.weight)  # the padding row too: a zero row gives NaN here
    elif isinstance(module, nn.Linear):
        nn.init.xavier_uniform_(module.weight)
        nn.init.zeros_(module.bias)
    elif isinstance(module, nn.GRU):
        for name in ("weight_ih_l0", "weight_hh_l0"):  # further layers keep torch's own
            nn.init.xavier_uniform_(module.get_parameter(name))
