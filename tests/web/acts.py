"""Asking a page to do something, as its own scripts do unless told otherwise."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import aiohttp

from coordinator_service.server import CoordinatorServer
from tests.security.secured import token_of

CANCEL, RETRY = "RunService/CancelRun", "RunService/RetryRun"
DRAIN, RELEASE = "AgentService/DrainAgent", "LockService/Release"
ACTS = (CANCEL, RETRY, DRAIN, RELEASE)


@dataclass(frozen=True)
class Answer:
    """Of HTTP, with what is in it."""

    status: int
    body: Any
    headers: Any

    @property
    def reason(self) -> str:
        """Of an error, that of its ErrorInfo."""
        return next(each["reason"] for each in self.body["details"] if each["@type"].endswith("ErrorInfo"))


@dataclass
class Script:
    """A page of one principal; of nobody where callers are not authenticated."""

    session: aiohttp.ClientSession
    server: CoordinatorServer
    principal: str = ""

    @property
    def headers(self) -> dict[str, str]:
        """What the browser and the page send with a call, but for the token."""
        given = {"Authorization": f"Bearer {token_of(self.principal)}"} if self.principal else {}
        return {**given, "Sec-Fetch-Site": "same-origin", "Content-Type": "application/json"}

    async def me(self, namespace: str = "own", **headers: str) -> Answer:
        """Who asks."""
        return await self.ask("GET", f"/me?namespace={namespace}", b"", {**self.headers, **headers})

    async def act(self, call: str, request: Any, **headers: str | None) -> Answer:
        """Asks for something. request is JSON, or bytes as they are; a header that is None is left out."""
        token = (await self.me()).body["token"] if "X_CSRF_Token" not in headers else ""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        sent = {**self.headers, "X-CSRF-Token": token, **named}
        body = request if isinstance(request, bytes) else json.dumps(request).encode()
        return await self.ask("POST", f"/call/{call}", body, {k: v for k, v in sent.items() if v is not None})

    async def ask(self, method: str, path: str, body: bytes, headers: dict[str, str]) -> Answer:
        """Asks for anything."""
        address = f"http://{self.server.web_address}{path}"
        skipped = () if "Content-Type" in headers else ("Content-Type",)
        async with self.session.request(
            method, address, data=body or None, headers=headers, skip_auto_headers=skipped
        ) as answer:
            text = await answer.text()
            found = json.loads(text) if answer.content_type == "application/json" else text
            return Answer(answer.status, found, answer.headers)
