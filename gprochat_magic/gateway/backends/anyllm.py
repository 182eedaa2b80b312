"""The other providers, each in its own protocol, through the package any-llm (an extra).

Its libraries ask again by themselves, so a refusal of theirs is final; a reply that is left is
closed there too.
"""

from __future__ import annotations

import asyncio
import importlib.util
import inspect
import json
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from typing import Any

from gprochat_magic import refusal
from gprochat_magic.config import Secret
from gprochat_magic.errors import ConfigError
from gprochat_magic.gateway.backends import BackendError, Speaker, Usage
from gprochat_magic.gateway.backends.asked import model_of, options_for, turns_of
from gprochat_magic.gateway.backends.complaints import told_status
from gprochat_magic.gateway.backends.keys import Keys
from gprochat_magic.gateway.backends.openai_compatible import message_for
from gprochat_magic.messages import Messages
from gprochat_magic.retry import retry_after

_HOW_TO_NAME = "It is named like any-llm/anthropic/MODEL."


def by_name(name: str, model: str, *, key: Secret | None = None) -> AnyLLM:
    """The backend for `PROVIDER/MODEL`. Raises `ConfigError` without a provider or the package."""
    provider, _, model = model.partition("/")
    if not provider:
        raise ConfigError(f"{name} needs a provider and a model", hint=_HOW_TO_NAME)
    if importlib.util.find_spec("any_llm") is None:
        raise ConfigError(
            "the package any-llm-sdk is not installed",
            hint="pip install 'gprochat-magic[any-llm]', then start the kernel anew.",
        )
    return AnyLLM(provider, model, key=key)


class AnyLLM:
    """A provider that any-llm knows. `model` answers where a request names none."""

    def __init__(
        self, provider: str, model: str = "", *, key: Secret | None = None, base_url: str = ""
    ) -> None:
        self.name = f"any-llm/{provider}/{model}".rstrip("/")
        variable = f"{provider.upper().replace('-', '_')}_API_KEY"
        self.keys = Keys([variable], given=key, keyring=True)
        self._provider, self._model, self._base_url = provider, model, base_url

    async def reply(self, messages: Messages, options: Mapping[str, Any]) -> AsyncGenerator[str]:
        """The reply, piece by piece, its `Speaker` and `Usage` where known; see `Backend.reply`."""
        asked = {
            "model": model_of(options, self._model),
            "messages": [message_for(turn) for turn in turns_of(messages)],
            **options_for(options, {}),
        }
        if not asked["model"]:
            raise BackendError(400, f"name a model of {self._provider}")
        key = await self.keys.find()
        llm: Any = None
        stream: Any = None
        try:
            # What it imports and sets up takes seconds, and this loop has other work.
            llm = await asyncio.to_thread(_opened, self._provider, key, self._base_url)
            stream = await llm.acompletion(**asked, stream=True, stream_options=_COUNTED)
            async for piece in _pieces(stream):
                yield piece
        except (BackendError, asyncio.CancelledError, GeneratorExit):
            raise
        # Each provider's library raises what it likes.
        except Exception as error:  # noqa: BLE001
            raise self._told(error, key) from None
        finally:
            if stream is not None:
                await stream.aclose()
            await _let_go(getattr(llm, "client", None))

    def _told(self, error: Exception, key: Secret) -> BackendError:
        """What a provider's library raised, as an error of ours, without the key."""
        cause: Any = getattr(error, "original_exception", None) or error
        body = getattr(cause, "body", None)
        said = f"{cause}"
        if isinstance(body, dict):
            said = json.dumps(body if "error" in body else {"error": body})
        words = refusal.words(said.encode("utf-8", "replace"), [key.reveal()])
        status = getattr(cause, "status_code", None)
        if status is None and "key" in type(error).__name__.lower():
            status = 401
        headers = getattr(getattr(cause, "response", None), "headers", None) or {}
        answered = f"{self._provider} answered {status}" if status else f"{self._provider} failed"
        wait = retry_after(headers)
        return BackendError(told_status(status), f"{answered}: {words}", wait, final=True)


_COUNTED = {"include_usage": True}


def _opened(provider: str, key: Secret, base_url: str) -> Any:
    import any_llm  # an extra, and slow to import

    return any_llm.AnyLLM.create(
        provider,
        api_key=key.reveal() or None,
        api_base=base_url or None,
        unified_exceptions=True,
    )


async def _let_go(client: Any) -> None:
    """Close the connections of a provider's library, where it says how."""
    close = getattr(client, "close", None)
    closing = close() if callable(close) else None
    if inspect.isawaitable(closing):
        await closing


async def _pieces(stream: AsyncIterator[Any]) -> AsyncGenerator[str]:
    usage: Usage | None = None
    begun = False
    async for chunk in stream:
        for choice in chunk.choices[:1]:
            if text := choice.delta.content:
                if not begun and chunk.model:
                    yield Speaker(chunk.model)
                begun = True
                yield text
        if chunk.usage is not None:
            usage = Usage(chunk.usage.prompt_tokens, chunk.usage.completion_tokens)
    if usage is not None and usage.sent + usage.received:
        yield usage
