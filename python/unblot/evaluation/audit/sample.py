"""The images that an audit compares: normal test images and training images, as vectors."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from unblot.data import ImageSet, Item, Splits
from unblot.evaluation.audit.findings import Shown
from unblot.evaluation.audit.neighbours import describe, draw

__all__ = ["Sample"]

_SOME = 1000


@dataclass(frozen=True)
class Sample:
    """Normal test images (queries) and training and held-out images (references) of a split.

    Attributes:
        splits: where they are from.
        most_queries: at most so many test images are looked at, drawn at random.
        most_references: at most so many training images.
    """

    splits: Splits
    most_queries: int = 2_000
    most_references: int = 20_000

    @cached_property
    def queries(self) -> NDArray[np.int64]:
        """Positions in the test part."""
        normal = np.flatnonzero(self.splits.test.labels == 0)
        return normal[draw(len(normal), self.most_queries)]

    @cached_property
    def references(self) -> NDArray[np.int64]:
        """Positions in the training part, followed by the held-out part."""
        return draw(len(self.splits.train) + len(self.splits.held_out), self.most_references)

    @cached_property
    def query_items(self) -> list[Item]:
        """The test images by name."""
        return [self.splits.test.items[i] for i in self.queries]

    @cached_property
    def reference_items(self) -> list[Item]:
        """The training images by name."""
        items = self.splits.train.items + self.splits.held_out.items
        return [items[i] for i in self.references]

    @cached_property
    def query_vectors(self) -> NDArray[np.float32]:
        """Shape (number of queries, D)."""
        return describe(self.splits.test, self.queries)

    @cached_property
    def reference_vectors(self) -> NDArray[np.float32]:
        """Shape (number of references, D)."""
        cut = len(self.splits.train)
        train, held_out = self.references[self.references < cut], self.references[self.references >= cut] - cut
        return np.concatenate([describe(self.splits.train, train), describe(self.splits.held_out, held_out)])

    @cached_property
    def reference_groups(self) -> NDArray[np.int64]:
        """A number for the group of each reference."""
        return np.unique([item.group for item in self.reference_items], return_inverse=True)[1].astype(np.int64)

    @cached_property
    def some_references(self) -> NDArray[np.int64]:
        """Positions among the references of those that are compared with the others."""
        return draw(len(self.references), _SOME, seed=1)

    @property
    def note(self) -> str:
        """Said where not all images were compared."""
        training = len(self.splits.train) + len(self.splits.held_out)
        if len(self.references) == training:
            return ""
        return f" (Compared with {len(self.references)} of {training} training images: there may be more.)"

    def show_query(self, i: int, caption: str) -> Shown:
        """The i-th test image of the sample."""
        return _shown(self.splits.test, int(self.queries[i]), caption)

    def show_reference(self, i: int, caption: str) -> Shown:
        """The i-th training image of the sample."""
        cut, index = len(self.splits.train), int(self.references[i])
        part, index = (self.splits.train, index) if index < cut else (self.splits.held_out, index - cut)
        return _shown(part, index, caption)


def _shown(images: ImageSet, index: int, caption: str) -> Shown:
    return Shown(images.items[index].name, images[index]["image"].numpy(), caption)
