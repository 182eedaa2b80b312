"""Providers with protocols of their own, through any-llm: an extra, imported at the first reply."""

from __future__ import annotations

import asyncio
import importlib
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

from gprochat_magic import refusal
from gprochat_magic.config import Secret
from gprochat_magic.errors import ConfigError
from gprochat_magic.gateway.backends import BackendError, Usage
from gprochat_magic.gateway.backends.asked import model_of, options_for, turns_of
from gprochat_magic.gateway.backends.complaints import told_status
from gprochat_magic.gateway.backends.events import Halves
from gprochat_magic.gateway.backends.openai_compatible import message_for
from gprochat_magic.messages import Messages
from gprochat_magic.retry import retry_after


def by_name(name: str, model: str, *, key: Secret | None = None) -> AnyLLM:
    """The backend for `PROVIDER/MODEL`, where the provider is one of any-llm's.

    Raises `ConfigError` where no provider is named.
    """
    provider, _, model = model.partition("/")
    if not provider:
        raise ConfigError(
            f"{name} is reached by {name}/PROVIDER/MODEL", hint=f"Say {name}/anthropic/MODEL."
        )
    return AnyLLM(provider, model, key=key)


class AnyLLM:
    """One provider of any-llm, which finds its key where that provider's users keep it."""

    def __init__(
        self, provider: str, model: str = "", *, key: Secret | None = None, base_url: str = ""
    ) -> None:
        self.name = f"anyllm/{provider}/{model}".rstrip("/")
        self._provider = provider
        self._model = model
        self._key = key or Secret()
        self._base_url = base_url

    async def models(self) -> list[str]:
        """The models that the provider lists. Raises `BackendError`."""
        async with self._told():
            listed = await (await self._client()).alist_models()
        return [model.id for model in listed]

    async def reply(self, messages: Messages, options: Mapping[str, Any]) -> AsyncGenerator[str]:
        """The reply, piece by piece, and its `Usage` where it is told; see `Backend.reply`."""
        asked = {
            "model": model_of(options, self._model),
            "messages": [message_for(turn) for turn in turns_of(messages)],
            "stream": True,
            **options_for(options, {}),
        }
        if not asked["model"]:
            raise BackendError(400, f"name a model of {self._provider}")
        halves = Halves()
        usage: Usage | None = None
        async with self._told():
            client = await self._client()
            async with _closing(await client.acompletion(**asked)) as chunks:
                async for chunk in chunks:
                    said = chunk.choices[0].delta.content if chunk.choices else None
                    if piece := halves.join(said or ""):
                        yield piece
                    if chunk.usage is not None:
                        usage = Usage(chunk.usage.prompt_tokens, chunk.usage.completion_tokens)
        if rest := halves.end():
            yield rest
        if usage is not None:
            yield usage

    async def _client(self) -> Any:
        library = await _library()
        return library.AnyLLM.create(
            self._provider,
            api_key=self._key.reveal() or None,
            api_base=self._base_url or None,
            unified_exceptions=True,
            max_retries=0,  # our own client asks again, and says so
        )

    @asynccontextmanager
    async def _told(self) -> AsyncIterator[None]:
        try:
            yield
        except BackendError:
            raise
        # Some of a provider's own errors pass through, and there are as many kinds as providers.
        except Exception as error:  # noqa: BLE001
            status = told_status(getattr(error, "status_code", None))
            words = refusal.words(str(error).encode("utf-8", "replace"), [self._key.reveal()])
            wait = retry_after({"retry-after": str(getattr(error, "retry_after", "") or "")})
            told = f"{self._provider} failed: {words or type(error).__name__}"
            raise BackendError(status, told, wait) from None


async def _library() -> Any:
    try:
        # In a thread: thousands of modules would hold up every other reply.
        return await asyncio.to_thread(importlib.import_module, "any_llm")
    except ImportError:
        raise BackendError(
            501, "any-llm is not installed; pip install 'gprochat-magic[any-llm]'"
        ) from None


@asynccontextmanager
async def _closing(chunks: Any) -> AsyncIterator[Any]:
    try:
        yield chunks
    finally:
        # An abandoned stream would go on: the provider generates, and somebody pays.
        close = getattr(chunks, "aclose", None) or getattr(chunks, "close", None)
        if close is not None:
            await close()
