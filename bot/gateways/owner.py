"""The owner's page, `/owner`: how the versions fare, and what is held back until the owner has looked.

Only with `CHATNVL_WEB__OWNER_TOKEN`, opened once by `/owner?token=…`; without it, or with a wrong one, there
is no such page. What it shows comes from `Overview` as one JSON object, and has no word that anybody said.
"""

import hashlib
import hmac
from pathlib import Path
from typing import Any, Protocol

from quart import Quart, Response, abort, jsonify, request

from bot.errors import ConfigurationError, StorageUnavailable
from bot.gateways import listen

ENDPOINTS = frozenset({"owner", "owner-figures", "owner-release"})
COOKIE = "chatnvl_owner"
_HTML = Path(__file__).parent.parent / "static" / "owner.html"
_MONTH = 30 * 86_400
_PROOF = "X-Owner-Proof"  # a header that no form and no other site can send


class Overview(Protocol):
    """Where the figures come from."""

    async def figures(self) -> dict[str, Any]:
        """All that is shown, as JSON."""

    async def release(self, rush: str) -> bool:
        """Let votes that are held back count again; False when they are not held back. Raises
        `StorageUnavailable`."""


class OwnerPage:
    """Its routes in the page's app. Whom the page's own token keeps out, the owner's token lets in here."""

    def __init__(self, app: Quart, host: str, token: str | None, page_token: str | None) -> None:
        if token is not None:
            listen.check_token("the owner's page", host, token)
            if token == page_token:
                raise ConfigurationError(
                    "`CHATNVL_WEB__OWNER_TOKEN` is the same as `CHATNVL_WEB__TOKEN`, which everybody knows "
                    "who talks here; set another one"
                )
        self._token = token
        self._overview: Overview | None = None
        app.add_url_rule("/owner", "owner", self._page)
        app.add_url_rule("/owner/figures", "owner-figures", self._figures)
        app.add_url_rule("/owner/release", "owner-release", self._release, methods=["POST"])

    def show(self, overview: Overview) -> None:
        """What the page shows from now on."""
        self._overview = overview

    # --- routes ---------------------------------------------------------------------------------------------

    async def _page(self) -> Response:
        given = request.args.get("token")
        if given is None:
            self._admit()
            language = request.accept_languages.best_match(["en", "zh"]) or "en"
            html = _HTML.read_text(encoding="utf-8").replace('<html lang="en">', f'<html lang="{language}">')
            response = Response(html, content_type="text/html; charset=utf-8")
            response.headers["Vary"] = "Accept-Language"
            return _private(response)
        if self._token is None or not hmac.compare_digest(given.encode(), self._token.encode()):
            abort(404)
        response = Response(status=303, headers={"Location": "./owner"})
        response.set_cookie(
            COOKIE,
            self._made("cookie"),
            max_age=_MONTH,
            httponly=True,
            samesite="Strict",
            secure=request.scheme == "https",
        )
        return _private(response)

    async def _figures(self) -> Response:
        overview = self._admit()
        try:
            figures = await overview.figures()
        except StorageUnavailable as error:
            return _refused(503, str(error))
        return _private(jsonify({**figures, "proof": self._made("proof")}))

    async def _release(self) -> Response:
        overview = self._admit()
        _, _, origin = request.headers.get("Origin", "").partition("://")
        proof = request.headers.get(_PROOF, "")
        if origin != request.host or not hmac.compare_digest(proof.encode(), self._made("proof").encode()):
            abort(403)
        asked = await request.get_json(silent=True)
        rush = asked.get("id") if isinstance(asked, dict) else None
        if not isinstance(rush, str):
            abort(400)
        try:
            released = await overview.release(rush)
        except StorageUnavailable as error:
            return _refused(503, str(error))
        return _private(jsonify({"released": True})) if released else _refused(409, "it is not held back")

    # --- who may come in ------------------------------------------------------------------------------------

    def _admit(self) -> Overview:
        given = request.cookies.get(COOKIE, "")
        if (
            self._token is None
            or self._overview is None
            or not hmac.compare_digest(given.encode(), self._made("cookie").encode())
        ):
            abort(404)
        return self._overview

    def _made(self, what: str) -> str:
        """From the token, but not the token: changing it puts everybody out."""
        assert self._token is not None
        return hmac.new(self._token.encode(), f"chatnvl owner {what}".encode(), hashlib.sha256).hexdigest()


def _refused(status: int, why: str) -> Response:
    response = jsonify({"error": why})
    response.status_code = status
    return _private(response)


def _private(response: Response) -> Response:
    response.headers["Cache-Control"] = "no-store"
    return response
