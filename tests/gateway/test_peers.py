"""Another user of this machine at the door: sockets, loopback, and who is at the other end."""

from __future__ import annotations

import asyncio
import os
import socket
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from gprochat_magic import gateway
from gprochat_magic.gateway.peers import is_foreign

if TYPE_CHECKING:
    from tests.gateway.conftest import Client, Serve, Stub

asynchronous = pytest.mark.asyncio
NOBODY = 65534
CHILD = """
import os, socket, sys
"x".encode("idna")  # imported while that is allowed
os.setgid(65534); os.setuid(65534)
request = sys.stdin.buffer.read()
try:
    if sys.argv[1] == "unix":
        link = socket.socket(socket.AF_UNIX); link.connect(sys.argv[2])
    else:
        link = socket.create_connection(("127.0.0.1", int(sys.argv[2])))
except PermissionError:
    sys.exit("denied")
link.sendall(request)
print(link.recv(100).split()[1].decode())
"""

needs_root = pytest.mark.skipif(
    not hasattr(os, "setuid") or os.getuid() != 0, reason="only root can become another user"
)


async def as_nobody(kind: str, place: str, request: bytes = b"") -> tuple[str, str]:
    """What another user gets: a status on stdout, or `denied` on stderr."""
    child = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", CHILD, kind, place),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await asyncio.wait_for(child.communicate(request), 30)
    return out.decode().strip(), err.decode().strip()


@needs_root
@asynchronous
async def test_F110_the_private_socket(stub: Stub) -> None:
    """The embedded gateway's socket cannot be opened by another user, nor can its folder."""
    served = await gateway.start(backend=stub)
    path = str(served.socket)

    assert ("", "denied") == await as_nobody("unix", path)
    Path(path).parent.chmod(0o755)  # even if the folder were open
    Path(path).chmod(0o600)
    assert ("", "denied") == await as_nobody("unix", path)
    await served.close()


@needs_root
@asynchronous
async def test_F110_loopback(serve: Serve, stub: Stub) -> None:
    """On TCP another user needs the secret; where only the owner may ask, even that is no help."""
    shared, own = await serve(), await serve(owner_only=True)

    async def told(client: Client, request: bytes) -> tuple[str, str]:
        return await as_nobody("tcp", client.host.rpartition(":")[2], request)

    assert ("401", "") == await told(shared, shared.post(shared.signed(sign="0" * 64)))
    assert ("200", "") == await told(shared, shared.post())
    stub.calls.clear()
    assert ("403", "") == await told(own, own.post())
    assert [] == stub.calls
    assert 200 == (await own.send(own.post())).status


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="Linux alone tells")
@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_F110_our_own_connections(host: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever has connected is found by both addresses; what cannot be told is not foreign."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with (
        socket.create_server((host, 0), family=family) as listener,
        socket.create_connection(listener.getsockname()[:2]) as ours,
    ):
        ends = ours.getsockname(), ours.getpeername()
        assert not is_foreign(*ends)
        monkeypatch.setattr(os, "getuid", lambda: NOBODY - 1)
        assert is_foreign(*ends)
        assert not is_foreign(("127.0.0.1", 1), ("127.0.0.1", 2))
        assert not is_foreign("", "/run/s")


@asynchronous
async def test_F110_the_embedded_one_is_its_owners(monkeypatch: pytest.MonkeyPatch) -> None:
    """The gateway inside a kernel is started for its owner alone."""
    from gprochat_magic.embedded import Embedded

    asked = {}
    start = gateway.start

    async def noted(**options: object) -> gateway.Gateway:
        asked.update(options)
        return await start(**options)  # type: ignore[arg-type]

    monkeypatch.setattr(gateway, "start", noted)
    embedded = Embedded()
    await embedded.target("demo")
    await embedded.aclose()

    assert asked["owner_only"] is True
