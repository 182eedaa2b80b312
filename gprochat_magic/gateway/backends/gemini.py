"""Google's own streaming API, whose messages have the shape of the protocol's."""

from __future__ import annotations

import re
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from typing import Any

from gprochat_magic.config import Secret
from gprochat_magic.gateway.backends import BackendError, Usage, counted
from gprochat_magic.gateway.backends.asked import Image, Turn, model_of, options_for, turns_of
from gprochat_magic.gateway.backends.keys import Keys
from gprochat_magic.gateway.backends.served import Served
from gprochat_magic.gateway.backends.speech import Event, Said, spoken, text_in
from gprochat_magic.gateway.backends.upstream import Patience, Question, Upstream
from gprochat_magic.messages import Messages

BASE_URL = "https://generativelanguage.googleapis.com/v1beta"
VARIABLES = ("GEMINI_API_KEY", "GOOGLE_API_KEY")

_NAMES = {
    "max_tokens": "maxOutputTokens",
    "top_p": "topP",
    "top_k": "topK",
    "stop": "stopSequences",
}
_MODEL = re.compile(r"(?:models/|tunedModels/)?[a-z0-9][a-z0-9._-]*", re.ASCII | re.IGNORECASE)
_WHOLE = frozenset({"STOP", "MAX_TOKENS", "FINISH_REASON_UNSPECIFIED"})
"""Reasons to finish that leave a reply as it should be."""
_WRONG_KEY = f"is {VARIABLES[0]} right?"
_ADVICE = {
    401: _WRONG_KEY,
    403: _WRONG_KEY,
    404: "is there such a model?",
}


def by_name(name: str, model: str, *, key: Secret | None = None) -> Gemini:
    """The backend for a model, which may be empty. `name` is this backend's name in the table."""
    return Gemini(model, key=key, name=f"{name}/{model}".rstrip("/"))


class Gemini(Served):
    """Google's models. `model` answers where a request names none."""

    def __init__(
        self,
        model: str = "",
        *,
        key: Secret | None = None,
        name: str = "gemini",
        base_url: str = BASE_URL,
        patience: Patience = Patience(),  # noqa: B008  # frozen, so sharing it is safe
    ) -> None:
        keys = Keys(VARIABLES, given=key, keyring=True)
        super().__init__(name, Upstream(base_url, patience=patience), keys=keys, model=model)

    async def models(self) -> list[str]:
        """The models that answer prompts. Raises `BackendError`."""
        async with self._upstream.ask(await self._question("/models?pageSize=1000")) as answer:
            listed = (await answer.whole()).get("models")
        if not isinstance(listed, list):
            raise BackendError(502, f"{self.where} lists no models", final=True)
        return [
            str(model.get("name", "")).removeprefix("models/")
            for model in listed
            if isinstance(model, dict)
            and isinstance(ways := model.get("supportedGenerationMethods"), list)
            and "generateContent" in ways
        ]

    async def reply(self, messages: Messages, options: Mapping[str, Any]) -> AsyncGenerator[str]:
        """The reply, piece by piece, and its `Usage`; see `Backend.reply`."""
        path = f"/{_path_of(model_of(options, self._model))}:streamGenerateContent?alt=sse"
        question = await self._question(path, _body(turns_of(messages), options))
        async with aclosing(spoken(self._upstream, question, self._said)) as pieces:
            async for piece in pieces:
                yield piece

    def _said(self, event: Event) -> Said:
        match event.get("promptFeedback"):
            case {"blockReason": why, **more}:
                told = f"{self.where} refused the prompt: {why}{_blocked_by(more)}"
                raise BackendError(422, told)
        candidate = _candidate(event)
        # A text, whatever was sent: it is looked up and shown.
        reason = str(candidate.get("finishReason") or "")
        return Said(
            _text(candidate),
            ends=bool(reason),
            used_up=reason == "MAX_TOKENS",
            objection=_objection(candidate) if reason and reason not in _WHOLE else "",
            usage=_usage(event),
            model=text_in(event, "modelVersion"),
        )

    async def _question(self, path: str, body: Mapping[str, Any] | None = None) -> Question:
        key = await self._needed_key()
        headers = {"x-goog-api-key": key.reveal()}
        return Question(path, body, headers=headers, key=key, advice=_ADVICE)


def _path_of(model: str) -> str:
    if not model:
        raise BackendError(400, "name a model of Gemini")
    if not _MODEL.fullmatch(model):
        # It becomes a part of a path, where it must not lead elsewhere.
        raise BackendError(400, "a model of Gemini is named by letters, digits, dots and dashes")
    return model if "/" in model else f"models/{model}"


def _body(turns: list[Turn], options: Mapping[str, Any]) -> dict[str, Any]:
    body: dict[str, Any] = {
        "contents": [
            {
                "role": "model" if turn.role == "assistant" else "user",
                "parts": [_part(part) for part in turn.parts],
            }
            for turn in turns
            if turn.role != "system"
        ]
    }
    if system := [turn.text for turn in turns if turn.role == "system"]:
        body["systemInstruction"] = {"parts": [{"text": text} for text in system]}
    if config := options_for(options, _NAMES):
        body["generationConfig"] = config
    return body


def _part(part: str | Image) -> dict[str, Any]:
    if isinstance(part, str):
        return {"text": part}
    return {"inlineData": {"mimeType": part.mime_type, "data": part.data}}


def _candidate(event: Mapping[str, Any]) -> Mapping[str, Any]:
    candidates = event.get("candidates")
    first = candidates[0] if isinstance(candidates, list) and candidates else None
    return first if isinstance(first, dict) else {}


def _text(candidate: Mapping[str, Any]) -> str:
    content = candidate.get("content")
    parts = content.get("parts") if isinstance(content, dict) else None
    return "".join(
        part["text"]
        for part in (parts if isinstance(parts, list) else ())
        # What a model thinks before it speaks is no part of its reply.
        if isinstance(part, dict) and isinstance(part.get("text"), str) and not part.get("thought")
    )


def _objection(candidate: Mapping[str, Any]) -> str:
    why = candidate.get("finishMessage")
    return f"{candidate['finishReason']}" + (f" ({why})" if why else _blocked_by(candidate))


def _blocked_by(holder: Mapping[Any, Any]) -> str:
    ratings = holder.get("safetyRatings")
    blocked = [
        str(rating.get("category", "")).removeprefix("HARM_CATEGORY_").lower().replace("_", " ")
        for rating in (ratings if isinstance(ratings, list) else ())
        if isinstance(rating, dict) and rating.get("blocked")
    ]
    return f" ({', '.join(blocked)})" if blocked else ""


def _usage(event: Event) -> Usage | None:
    match event.get("usageMetadata"):
        case {"promptTokenCount": sent, "candidatesTokenCount": int(received), **more}:
            thoughts = more.get("thoughtsTokenCount")
            return counted(sent, received + (thoughts if isinstance(thoughts, int) else 0))
    return None
