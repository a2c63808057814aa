"""The datasets srbench knows by name: what they are, where they come from, on which terms."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from srbench.errors import SrbenchError, did_you_mean


@dataclass(frozen=True)
class Mirror:
    """One place to get a file from.

    kind: `http`, or `wheel`: a file inside a package that pip can fetch.
    address: the URL, or the requirement (`recbole==1.2.1`).
    file: the name it is kept under.
    checksum: "md5:..." or "sha256:..." of the kept file, or None where none is published.
    member: the file's path inside the wheel.
    """

    kind: Literal["http", "wheel"]
    address: str
    file: str
    checksum: str | None
    member: str = ""


@dataclass(frozen=True)
class Entry:
    """A dataset known by name.

    files: names under which the original is recognised in a data folder; besides them any file
        called after the dataset (`ml-1m.inter.gz`, `ml-1m.csv`, ...).
    published: users, items and interactions the publisher gives for the unfiltered file.
    unverified: why a download cannot be checked or had, or None where a mirror has a checksum.
    """

    name: str
    title: str
    files: tuple[str, ...]
    mirrors: tuple[Mirror, ...]
    terms: str
    citation: str
    homepage: str
    published: tuple[int, int, int] | None = None
    unverified: str | None = None

    @property
    def verified(self) -> bool:
        return self.unverified is None


_GROUPLENS = "https://files.grouplens.org/datasets/movielens"
_SNAP = "https://snap.stanford.edu/data/amazon/productGraph/categoryFiles"

_MOVIELENS_TERMS = (
    "research use; cite the paper; no redistribution without GroupLens' permission; no commercial "
    "use without GroupLens' permission"
)
_MOVIELENS_PAPER = (
    "F. M. Harper and J. A. Konstan. The MovieLens Datasets: History and Context. "
    "ACM TiiS 5(4), 2015."
)
_AMAZON_TERMS = "no licence is stated; the publishers ask to cite their papers"
_AMAZON_PAPER = (
    "J. McAuley, C. Targett, J. Shi and A. van den Hengel. Image-based Recommendations on Styles "
    "and Substitutes. SIGIR 2015."
)
_NO_CHECKSUM = (
    "the publisher gives no checksum: a download is only checked for being whole, and its number "
    "of interactions against the published one"
)


def _amazon(
    name: str, category: str, published: tuple[int, int, int], unverified: str = _NO_CHECKSUM
) -> Entry:
    file = f"reviews_{category}_5.json.gz"
    return Entry(
        name=name,
        title=f"Amazon {category.replace('_', ' ')}, reviews up to July 2014, 5-core",
        files=(file, file.removesuffix(".gz")),
        mirrors=(Mirror("http", f"{_SNAP}/{file}", file, None),),
        terms=_AMAZON_TERMS,
        citation=_AMAZON_PAPER,
        homepage="https://cseweb.ucsd.edu/~jmcauley/datasets/amazon/links.html",
        published=published,
        unverified=unverified,
    )


_ENTRIES = (
    Entry(
        name="ml-100k",
        title="MovieLens 100K: film ratings, 1997 to 1998",
        files=("u.data", "ml-100k.zip"),
        mirrors=(
            Mirror(
                "http",
                f"{_GROUPLENS}/ml-100k.zip",
                "ml-100k.zip",
                "md5:0e33842e24a9c977be4e0107933c0723",
            ),
            Mirror(
                "wheel",
                "recbole==1.2.1",
                "ml-100k.inter",
                "sha256:4edb74e2a81178c2ba9ff381495f754f996c4aea351b1272ca36b43da0935eff",
                member="recbole/dataset_example/ml-100k/ml-100k.inter",
            ),
        ),
        terms=_MOVIELENS_TERMS,
        citation=_MOVIELENS_PAPER,
        homepage="https://grouplens.org/datasets/movielens/100k/",
        published=(943, 1682, 100_000),
    ),
    Entry(
        name="ml-1m",
        title="MovieLens 1M: film ratings, 2000 to 2003",
        files=("ratings.dat", "ml-1m.zip"),
        mirrors=(
            Mirror(
                "http",
                f"{_GROUPLENS}/ml-1m.zip",
                "ml-1m.zip",
                "md5:c4d9eecfca2ab87c1945afe126590906",
            ),
        ),
        terms=_MOVIELENS_TERMS,
        citation=_MOVIELENS_PAPER,
        homepage="https://grouplens.org/datasets/movielens/1m/",
        published=(6040, 3706, 1_000_209),
    ),
    Entry(
        name="ml-20m",
        title="MovieLens 20M: film ratings, 1995 to 2015",
        files=("ratings.csv", "ml-20m.zip"),
        mirrors=(
            Mirror(
                "http",
                f"{_GROUPLENS}/ml-20m.zip",
                "ml-20m.zip",
                "md5:cd245b17a1ae2cc31bb14903e1204af3",
            ),
        ),
        terms=_MOVIELENS_TERMS,
        citation=_MOVIELENS_PAPER,
        homepage="https://grouplens.org/datasets/movielens/20m/",
        published=(138_493, 26_744, 20_000_263),
    ),
    _amazon("amazon-beauty", "Beauty", (22_363, 12_101, 198_502)),
    _amazon("amazon-video-games", "Video_Games", (24_303, 10_672, 231_780)),
    _amazon("amazon-toys", "Toys_and_Games", (19_412, 11_924, 167_597)),
    _amazon("amazon-sports", "Sports_and_Outdoors", (35_598, 18_357, 296_337)),
    _amazon("amazon-books", "Books", (603_668, 367_982, 8_898_041)),
    Entry(
        name="steam",
        title="Steam: game reviews, 2010 to 2018",
        files=(),
        mirrors=(),
        terms="no licence is stated; the publishers ask to cite their papers",
        citation="W.-C. Kang and J. McAuley. Self-Attentive Sequential Recommendation. ICDM 2018.",
        homepage="https://cseweb.ucsd.edu/~jmcauley/datasets.html",
        unverified=(
            "the reviews are published as Python dictionaries, and no copy in a format that "
            "srbench reads could be verified"
        ),
    ),
    Entry(
        name="yelp2018",
        title="Yelp: reviews of businesses, 2018 edition",
        files=(),
        mirrors=(),
        terms="Yelp's dataset agreement, to be accepted in person; no redistribution",
        citation="Yelp Open Dataset, 2018.",
        homepage="https://business.yelp.com/data/resources/open-dataset/",
        unverified="Yelp gives the data only to those who accept its agreement",
    ),
)

CATALOGUE = {entry.name: entry for entry in _ENTRIES}
NAMES = tuple(CATALOGUE)


def describe(name: str) -> Entry:
    """What is known about a named dataset. Errors: an unknown name."""
    if name not in CATALOGUE:
        raise SrbenchError(f"There is no dataset named {name!r}.{did_you_mean(name, NAMES)}")
    return CATALOGUE[name]
