"""What a number means: the protocols, and the signature that every number carries.

A signature reads `metric@k|candidates|seen|ties|split|version`, for example
`ndcg@10|full|seen:keep|ties:half|loo|v1`, and ends in `|users:1000of6040` where not every user was
evaluated. Two numbers may be compared if their signatures are equal, and only then.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal, get_args

from srbench.errors import SrbenchError, did_you_mean

# Raised by any change that can move a number: ranks, ties, metrics, negatives or their seed.
PROTOCOL_VERSION = "v1"
NEGATIVES = 100  # drawn for each user under uni100 and pop100
NEGATIVES_SEED = 20240624  # part of v1; another seed would be another version

Candidates = Literal["full", "uni100", "pop100"]
Seen = Literal["keep", "drop"]
METRICS = ("hr", "ndcg", "mrr", "coverage")


@dataclass(frozen=True)
class Protocol:
    """Against which items a target is ranked.

    candidates: full, the whole catalogue; uni100 and pop100, 100 items drawn uniformly, or by their
    training interactions. seen: are the items of the user's history candidates (keep, drop)?
    """

    candidates: Candidates
    seen: Seen

    def __str__(self) -> str:
        return f"{self.candidates}|seen:{self.seen}"


FULL_KEEP = Protocol("full", "keep")
FULL_DROP = Protocol("full", "drop")
UNI100 = Protocol("uni100", "drop")
POP100 = Protocol("pop100", "drop")
FULL = (FULL_KEEP, FULL_DROP)
PROTOCOLS = (FULL_KEEP, FULL_DROP, UNI100, POP100)


@dataclass(frozen=True)
class Signature:
    """The fields of a signature. users: (evaluated, all), None where all were evaluated."""

    metric: str
    k: int
    protocol: Protocol
    split: str
    users: tuple[int, int] | None = None
    version: str = PROTOCOL_VERSION

    def __str__(self) -> str:
        text = f"{self.metric}@{self.k}|{self.protocol}|ties:half|{self.split}|{self.version}"
        return text if self.users is None else f"{text}|users:{self.users[0]}of{self.users[1]}"


def signature(
    metric: str, k: int, protocol: Protocol, split: str, users: tuple[int, int] | None = None
) -> str:
    """The signature of a number of this version of the protocol, as text."""
    return str(Signature(metric, k, protocol, split, users))


_GRAMMAR = re.compile(
    rf"(?P<metric>{'|'.join(METRICS)})@(?P<k>[1-9]\d*)"
    rf"\|(?P<candidates>{'|'.join(get_args(Candidates))})\|seen:(?P<seen>keep|drop)"
    r"\|ties:half\|(?P<split>loo|temporal:[^|\s]+)\|(?P<version>v[1-9]\d*)"
    r"(\|users:(?P<some>\d+)of(?P<all>\d+))?"
)


def parse_signature(text: str) -> Signature:
    """The fields of a signature of any version. Raises SrbenchError if it is none."""
    match = _GRAMMAR.fullmatch(text)
    protocol = match and Protocol(match["candidates"], match["seen"])  # type: ignore[arg-type]
    if match is None or protocol not in PROTOCOLS:
        example = signature("ndcg", 10, FULL_KEEP, "loo")
        raise SrbenchError(f"{text!r} is not a signature; one reads {example}.")
    users = None if match["some"] is None else (int(match["some"]), int(match["all"]))
    return Signature(
        match["metric"], int(match["k"]), protocol, match["split"], users, match["version"]
    )


def protocol_named(name: str) -> Protocol:
    """The protocol of a name such as `full|seen:keep`. Raises SrbenchError for any other."""
    known = {str(protocol): protocol for protocol in PROTOCOLS}
    if name not in known:
        raise SrbenchError(f"Unknown protocol {name!r}.{did_you_mean(name, known)}")
    return known[name]
