"""Every server that speaks chat completions: Ollama, llama.cpp, vLLM, LM Studio, OpenAI, others."""

from __future__ import annotations

import os
from collections.abc import AsyncGenerator, Iterator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import urldefrag, urlsplit

from gprochat_magic.config import Secret, host_of, is_address
from gprochat_magic.errors import ConfigError
from gprochat_magic.gateway.backends import BackendError, Usage, counted
from gprochat_magic.gateway.backends.asked import Image, Turn, model_of, options_for, turns_of
from gprochat_magic.gateway.backends.keys import Keys
from gprochat_magic.gateway.backends.served import Served
from gprochat_magic.gateway.backends.speech import Event, Said, spoken, text_in
from gprochat_magic.gateway.backends.upstream import Patience, Question, Upstream
from gprochat_magic.messages import Messages


@dataclass(frozen=True)
class Provider:
    """A server that is known by name: its base URL, the variable of its key, and its dialect.

    `needs_key` says that nothing is answered without one, `names` how it calls some options.
    """

    base_url: str
    variable: str
    needs_key: bool = False
    names: Mapping[str, str] = field(default_factory=dict)


PROVIDERS: Mapping[str, Provider] = {
    "openai": Provider(
        "https://api.openai.com/v1",
        "OPENAI_API_KEY",
        needs_key=True,
        names={"max_tokens": "max_completion_tokens"},  # its thinking models refuse the old name
    ),
    "ollama": Provider("http://localhost:11434/v1", "OLLAMA_API_KEY"),
    "lmstudio": Provider("http://localhost:1234/v1", "LMSTUDIO_API_KEY"),
    "llamacpp": Provider("http://localhost:8080/v1", "LLAMA_API_KEY"),
    "vllm": Provider("http://localhost:8000/v1", "VLLM_API_KEY"),
}

KEY_FOR_URLS = "GPROCHAT_BACKEND_KEY"
"""The variable for a server that is given by its URL: no provider's own key goes there."""


def by_name(name: str, model: str, *, key: Secret | None = None) -> OpenAICompatible:
    """The backend for a provider's name and a model of it, which may be empty."""
    return OpenAICompatible(
        _moved(PROVIDERS[name]), model=model, key=key, name=f"{name}/{model}".rstrip("/")
    )


def _moved(provider: Provider) -> Provider:
    """The provider where the environment says that it is; its other clients look there too."""
    variable = provider.variable.replace("_API_KEY", "_BASE_URL")
    base_url = os.environ.get(variable, "").strip()
    if not base_url:
        return provider
    if not _is_plain(base_url):
        raise ConfigError(f"{variable} is not a plain URL", hint="It looks like http://host/v1.")
    return replace(provider, base_url=base_url)


def _is_plain(url: str) -> bool:
    """Whether it is an address with nothing in it that must not be shown or kept."""
    parts = urlsplit(url) if is_address(url) else None
    return parts is not None and not parts.query and "@" not in parts.netloc


def by_url(url: str, *, key: Secret | None = None) -> OpenAICompatible:
    """The backend at a base URL such as `http://localhost:8080/v1`, its model behind a `#`.

    Raises `ConfigError` for what is no such URL, and for one that holds a password or a query:
    those would be shown and kept.
    """
    base_url, model = urldefrag(url)
    if not _is_plain(base_url):
        raise ConfigError(
            "the backend's address is not a plain URL",
            hint=f"Give one like http://localhost:8080/v1#MODEL; a key goes into {KEY_FOR_URLS}.",
        )
    provider = Provider(base_url, KEY_FOR_URLS)
    return OpenAICompatible(provider, model=model, key=key, name=host_of(base_url))


class OpenAICompatible(Served):
    """A server that speaks chat completions. `model` answers where a request names none."""

    def __init__(
        self,
        provider: Provider,
        *,
        model: str = "",
        key: Secret | None = None,
        name: str = "",
        patience: Patience = Patience(),  # noqa: B008  # frozen, so sharing it is safe
    ) -> None:
        super().__init__(
            name or provider.base_url,
            Upstream(provider.base_url, patience=patience),
            keys=Keys([provider.variable], given=key, keyring=provider.needs_key),
            model=model,
        )
        self._provider = provider

    async def models(self) -> list[str]:
        """The models that the server says it has. Raises `BackendError`."""
        async with self._upstream.ask(await self._question("/models")) as answer:
            listed = (await answer.whole()).get("data")
        if not isinstance(listed, list):
            raise BackendError(502, f"{self.where} lists no models", final=True)
        return [
            model["id"]
            for model in listed
            if isinstance(model, dict) and isinstance(model.get("id"), str)
        ]

    async def reply(self, messages: Messages, options: Mapping[str, Any]) -> AsyncGenerator[str]:
        """The reply, piece by piece, and a `Usage` where the server counts; see `Backend.reply`."""
        body = {
            "messages": [message_for(turn) for turn in turns_of(messages)],
            **options_for(options, self._provider.names),
            "model": model_of(options, self._model) or await self._only_model(),
            "stream": True,
            "stream_options": {"include_usage": True},
        }
        question = await self._question("/chat/completions", body)
        async with aclosing(spoken(self._upstream, question, _said)) as pieces:
            async for piece in pieces:
                yield piece

    async def _question(self, path: str, body: Mapping[str, Any] | None = None) -> Question:
        variable = self._provider.variable
        key = await (self._needed_key() if self._provider.needs_key else self.keys.find())
        headers = {"Authorization": f"Bearer {key.reveal()}"} if key else {}
        wrong_key = f"is {variable} right?" if key else f"it may want a key in {variable}"
        advice = {
            401: wrong_key,
            403: wrong_key,
            404: "is there such a model, and the address right?",
        }
        return Question(path, body, headers=headers, key=key, advice=advice)

    async def _only_model(self) -> str:
        """The model of a server that has one. Raises `BackendError` where there is a choice."""
        models = await self.models()
        if len(models) != 1:
            some = ", ".join(models[:10]) + (", …" if len(models) > 10 else "")
            raise BackendError(400, f"name a model; {self.where} has {some or 'none'}")
        return models[0]


def message_for(turn: Turn) -> dict[str, Any]:
    """A turn in the shape of chat completions. Raises `BackendError` for data but images."""
    if all(isinstance(part, str) for part in turn.parts):
        # Not every server knows parts, and templates of some models fail on them.
        return {"role": turn.role, "content": turn.text}
    return {"role": turn.role, "content": [_part(part) for part in turn.parts]}


def _part(part: str | Image) -> dict[str, Any]:
    if isinstance(part, str):
        return {"type": "text", "text": part}
    if not part.mime_type.startswith("image/"):
        raise BackendError(400, f"only images can be sent to this backend, not {part.mime_type}")
    return {
        "type": "image_url",
        "image_url": {"url": f"data:{part.mime_type};base64,{part.data}"},
    }


def _said(event: Event) -> Said:
    """What an event says. The one that tells of usage has no choice."""
    choices = event.get("choices")
    first = choices[0] if isinstance(choices, list) and choices else None
    choice = first if isinstance(first, dict) else {}
    reason = choice.get("finish_reason")
    return Said(
        _text(choice),
        ends=bool(reason),
        used_up=reason == "length",
        objection="its content filter objected" if reason == "content_filter" else "",
        usage=_usage(event),
        model=text_in(event, "model"),
    )


def _text(choice: Mapping[str, Any]) -> str:
    """What a choice adds: the text of its delta, or the whole text where it is not streamed."""
    said = choice.get("delta") or choice.get("message")
    if not isinstance(said, dict):
        return ""
    content = said.get("content") or said.get("refusal")
    if isinstance(content, str):
        return content
    return "".join(_texts(content)) if isinstance(content, list) else ""


def _texts(parts: Sequence[object]) -> Iterator[str]:
    for part in parts:
        if isinstance(part, dict) and isinstance(part.get("text"), str):
            yield part["text"]


def _usage(event: Event) -> Usage | None:
    match event.get("usage"):
        case {"prompt_tokens": sent, "completion_tokens": received}:
            return counted(sent, received)
    return None
