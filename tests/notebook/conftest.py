"""One kernel, and one gateway, for the tests of a file that leave them as they found them."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.gateways import Served, served
from tests.kernels import Kernel, kernel


@pytest.fixture(scope="module")
def gateway() -> Iterator[Served]:
    with served() as running:
        yield running


@pytest.fixture(scope="module")
def shared_kernel() -> Iterator[Kernel]:
    with kernel() as started:
        yield started


@pytest.fixture
def k(shared_kernel: Kernel) -> Kernel:
    """A kernel with the extension loaded and an empty conversation."""
    shared_kernel.run("%gprochat reset")
    return shared_kernel
