import pytest
import torch


@pytest.fixture(autouse=True)
def one_thread() -> None:
    """Networks this small are fastest on one thread."""
    torch.set_num_threads(1)
