"""Where the key of a provider comes from: the environment, else the system's keyring.

A key is never an argument: those stay in notebooks, histories and process lists.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import threading
from collections.abc import Sequence

from gprochat_magic.config import Secret

SERVICE = "gprochat-magic"
"""The service under which the keyring keeps keys, each with its variable's name as the user."""
KEYRING_SECONDS = 2.0
"""How long a keyring may take: a locked one asks its user, who may not be there."""


class Keys:
    """The key of one backend, looked for under its variables' names in turn.

    `given` is one that was typed in, and wins. With `keyring` the system's keyring is asked, once,
    where the environment has none.
    """

    def __init__(
        self, variables: Sequence[str], *, given: Secret | None = None, keyring: bool = False
    ) -> None:
        self.variables = variables
        self._given = given
        self._keyring = keyring

    def give(self, key: Secret) -> None:
        """Take one that was typed in."""
        self._given = key

    async def find(self, seconds: float = KEYRING_SECONDS) -> Secret:
        """The key; an empty one where there is none."""
        if self._given:
            return self._given
        for variable in self.variables:
            if value := os.environ.get(variable, "").strip():
                return Secret(value)
        if self._keyring:
            self._given, self._keyring = await _from_keyring(self.variables, seconds), False
        return self._given or Secret()


async def _from_keyring(variables: Sequence[str], seconds: float) -> Secret:
    loop = asyncio.get_running_loop()
    found: asyncio.Future[Secret] = loop.create_future()

    def tell(secret: Secret) -> None:
        if not found.done():
            found.set_result(secret)

    def look() -> None:
        secret = _look_up(variables)
        # The loop may be closed by the time a keyring's question is answered.
        with contextlib.suppress(RuntimeError):
            loop.call_soon_threadsafe(tell, secret)

    # Not a thread of the loop's pool: the loop could not end before a keyring that waits.
    threading.Thread(target=look, name="gprochat-keyring", daemon=True).start()
    try:
        return await asyncio.wait_for(found, seconds)
    except TimeoutError:
        return Secret()


def _look_up(variables: Sequence[str]) -> Secret:
    try:
        import keyring  # an extra
    except ImportError:
        return Secret()
    try:
        values = (keyring.get_password(SERVICE, variable) for variable in variables)
        return Secret(next(filter(None, values), ""))
    # A keyring's back ends are foreign code, and raise what they like where there is no desktop.
    except Exception:  # noqa: BLE001
        return Secret()
