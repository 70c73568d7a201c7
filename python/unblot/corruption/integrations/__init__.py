"""The corruption as a collate function of a ``DataLoader`` and as a transform."""
