"""What every test stands on: a clean environment, nothing that leaves the machine, no leaks."""

from __future__ import annotations

import asyncio
import copyreg
import gc
import inspect
import ipaddress
import os
import socket
import threading
import types
from collections.abc import AsyncIterator, Iterator
from typing import Any

import aiohttp
import psutil
import pytest
import pytest_asyncio
from aioresponses import aioresponses

from gprochat_magic import retry


@pytest.fixture(autouse=True, scope="session")
def clean_environment() -> Iterator[None]:
    """No setting of ours, no proxy and no password file of whoever runs the tests."""
    with pytest.MonkeyPatch.context() as patch:
        for name in list(os.environ):
            if name.startswith("GPROCHAT_") or name.lower().endswith("_proxy") or name == "NETRC":
                patch.delenv(name)
        # Nothing of a test goes into the history of whoever runs it.
        patch.setenv("GPROCHAT_STORE", ":memory:")
        yield


@pytest.fixture(autouse=True, scope="session")
def usual_pickling() -> None:
    """Errors are pickled as everywhere: Dask, once imported, does it its own way for a process.

    Every file has been imported before the first test begins, that about Dask as well.
    """
    for kind in [each for each in copyreg.dispatch_table if issubclass(each, BaseException)]:
        del copyreg.dispatch_table[kind]


@pytest.fixture
def environment_kept() -> Iterator[None]:
    """What a test sets in the environment would be in force for all that come after it."""
    before = dict(os.environ)
    yield
    after = dict(os.environ)
    for found in (before, after):
        found.pop("PYTEST_CURRENT_TEST", None)  # says how far this test is

    assert before == after


@pytest.fixture(autouse=True)
def only_this_machine(environment_kept: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A connection or a look-up that would leave the machine is refused and fails the test.

    Begins after `environment_kept`, so that what is patched is taken back before that looks.
    """
    left: list[object] = []
    own = {a.address.partition("%")[0] for found in psutil.net_if_addrs().values() for a in found}

    def stays(host: object) -> bool:
        name = host.decode() if isinstance(host, bytes) else str(host or "")
        try:
            return ipaddress.ip_address(name).is_loopback or name in own
        except ValueError:
            return name in ("", "localhost", "0.0.0.0", "::", socket.gethostname())

    def guarded(method: Any) -> Any:
        def connect(self: socket.socket, address: Any) -> Any:
            if self.family in (socket.AF_INET, socket.AF_INET6) and not stays(address[0]):
                left.append(address)
                raise PermissionError(f"{address} is not on this machine")
            return method(self, address)

        return connect

    found = socket.getaddrinfo

    def resolve(host: Any, *args: Any, **kwargs: Any) -> Any:
        if stays(host):
            return found(host, *args, **kwargs)
        # No name server knows a name that ends in .invalid, so none need be asked.
        if not str(host).endswith(".invalid"):
            left.append(host)
        if isinstance(host, str):
            host.encode("idna")  # as the real one does, which refuses names that are too long
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket.socket, "connect", guarded(socket.socket.connect))
    monkeypatch.setattr(socket.socket, "connect_ex", guarded(socket.socket.connect_ex))
    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    yield

    assert not left


@pytest.fixture(scope="session")
def small_heap() -> Iterator[None]:
    """Collecting garbage looks at what tests made and not at every library, and so is quick."""
    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()


@pytest_asyncio.fixture
async def no_leaks(small_heap: None) -> AsyncIterator[None]:
    """No task, thread or file descriptor is left, and no complaint of the event loop."""
    loop, complaints = asyncio.get_running_loop(), list[dict[str, Any]]()
    loop.set_exception_handler(lambda loop, context: complaints.append(context))
    process, tasks, threads = psutil.Process(), asyncio.all_tasks(), set(threading.enumerate())
    gc.collect()
    descriptors = process.num_fds()
    yield
    # Name resolution runs in threads of the loop, which live as long as the loop.
    await loop.shutdown_default_executor()
    gc.collect()

    def left() -> list[object]:
        more = process.num_fds() - descriptors
        fresh = asyncio.all_tasks() - tasks - {asyncio.current_task()}
        return [*fresh, *(set(threading.enumerate()) - threads), *([more] if more > 0 else [])]

    for _ in range(100):
        if not left():
            break
        await asyncio.sleep(0.02)

    assert [] == left()
    assert [] == complaints


class MockedResponse(aiohttp.ClientResponse):
    """A response that aioresponses can make: aiohttp 3.14 needs a writer it does not pass."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        if "stream_writer" in inspect.signature(aiohttp.ClientResponse.__init__).parameters:
            kwargs.setdefault("stream_writer", types.SimpleNamespace(output_size=0))
        super().__init__(*args, **kwargs)


class Mocked(aioresponses):
    """aioresponses whose responses fit the installed aiohttp."""

    def add(self, *args: Any, **kwargs: Any) -> None:
        super().add(*args, **{"response_class": MockedResponse, **kwargs})


@pytest.fixture
def mocked() -> Iterator[Mocked]:
    """Mocked responses, for statuses and exact request checks; they cannot break a body."""
    with Mocked() as mock:
        yield mock


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The waits between attempts, in seconds, which take no time."""
    waited: list[float] = []

    async def sleep(seconds: float) -> None:
        waited.append(seconds)

    monkeypatch.setattr(retry, "_sleep", sleep)
    return waited
