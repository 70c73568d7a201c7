"""Small images and single steps, as all tests of networks use them."""

from tests.networks import as_batch, fit, one_thread, reload, smooth, walk  # noqa: F401
