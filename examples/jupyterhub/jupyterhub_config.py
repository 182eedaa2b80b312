"""A gateway that JupyterHub manages, and a secret for each of its users.

To be merged into a hub's own configuration. The hub starts the gateway, and starts it again if it
ends; each server that it spawns is told the address and a secret of its user's own, by which the
gateway's log, limits and figures know who asks. Provider keys stay in the gateway's environment.
"""

import os
import sys
from pathlib import Path
from secrets import token_hex
from urllib.parse import quote

ADDRESS = "http://127.0.0.1:8711"
# Only the user whom the hub runs as may read it. The gateway reads it again when it has changed.
SECRETS = Path("gprochat_secrets").absolute()
BACKEND = "demo"  # for example openai/MODEL, with OPENAI_API_KEY in the hub's environment


def known_secrets() -> dict[str, str]:
    """The secrets so far, by name."""
    lines = SECRETS.read_text().splitlines() if SECRETS.exists() else []
    return dict(line.split(":", 1) for line in lines if ":" in line)


def secret_of(name: str) -> str:
    """The secret of a user, made up when it is asked for first."""
    known = known_secrets()
    if name not in known:
        known[name] = token_hex(32)
        fresh = SECRETS.with_suffix(".new")
        fresh.touch(0o600)
        fresh.write_text("".join(f"{name}:{secret}\n" for name, secret in known.items()))
        fresh.replace(SECRETS)
    return known[name]


def tell(spawner):
    """Tell a server where the gateway is and what signs for its user."""
    spawner.environment = {
        **spawner.environment,
        "GPROCHAT_API_ENDPOINT": f"{ADDRESS}/services/gprochat/api/generate",
        "GPROCHAT_SECRET_KEY": secret_of(quote(spawner.user.name, safe="@")),
        "GPROCHAT_WIRE": "turns",
    }


secret_of("hub")  # the gateway does not start with nobody to answer

c = get_config()  # noqa: F821 - given by JupyterHub
c.JupyterHub.services = [
    {
        "name": "gprochat",
        # The gateway listens where this says, under the path that the hub gives it. Servers on
        # other machines reach it through the hub's own proxy, at
        # https://HUB/services/gprochat/api/generate; then add "--allowed-host", "HUB".
        "url": ADDRESS,
        "command": [
            *(sys.executable, "-m", "gprochat_magic", "serve"),
            *("--backend", BACKEND, "--secrets-file", str(SECRETS)),
            *("--requests-per-minute", "60", "--concurrent", "4", "--queue", "8"),
        ],
        "environment": {
            name: os.environ[name]
            for name in ("OPENAI_API_KEY", "GEMINI_API_KEY")
            if name in os.environ
        },
    },
]
c.Spawner.pre_spawn_hook = tell
