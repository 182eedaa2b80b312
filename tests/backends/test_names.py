"""How a backend is named."""

from __future__ import annotations

import pytest

from gprochat_magic.config import Secret
from gprochat_magic.errors import ConfigError
from gprochat_magic.gateway.backends import TABLE, open_backend
from gprochat_magic.gateway.backends.openai_compatible import PROVIDERS


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("demo", "demo"),
        ("ollama/llama3.2", "ollama/llama3.2"),
        ("openai", "openai"),
        ("lmstudio/", "lmstudio"),
        ("vllm/org/model", "vllm/org/model"),
        ("llamacpp", "llamacpp"),
        ("gemini/gemini-1.5-pro", "gemini/gemini-1.5-pro"),
        ("http://localhost:8080/v1", "localhost:8080"),
        ("https://models.invalid/v1#m", "models.invalid"),
    ],
)
def test_names(name: str, shown: str) -> None:
    """A provider with its model, or the address of a server."""
    assert shown == open_backend(name).name


@pytest.mark.parametrize("name", ["", "gpt", "demo/x", "anyllm", "OPENAI/x", "/x", "ftp://x/v1"])
def test_unknown_names(name: str) -> None:
    """The error lists those that there are."""
    with pytest.raises(ConfigError) as caught:
        open_backend(name)

    assert "MODEL" in caught.value.hint


@pytest.mark.parametrize(
    "url",
    [
        "http://",
        "http://host:0/v1",
        "http://user:hunter2@host/v1",
        "https://host/v1?key=hunter2",
    ],
)
def test_addresses_that_are_not_plain(url: str) -> None:
    """A password or a key in an address would be shown and kept, so neither is taken or told."""
    with pytest.raises(ConfigError) as caught:
        open_backend(url)

    assert "hunter2" not in str(caught.value)
    assert "GPROCHAT_BACKEND_KEY" in caught.value.hint


def test_a_key_that_was_typed_is_taken() -> None:
    """By every backend that can use one."""
    for name in TABLE.keys() - {"demo"}:
        assert open_backend(f"{name}/m", key=Secret("typed")).name == f"{name}/m"


def test_every_provider_has_a_row() -> None:
    """The table and the providers name the same."""
    assert TABLE.keys() - {"demo", "gemini", "any-llm"} == PROVIDERS.keys()
