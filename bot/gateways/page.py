"""What the page is made of, and who may open it: files, pictures of the characters, cookies, the token.

A visitor is a random number in a cookie. Nothing else tells her from others, so no script can read it.
"""

import hashlib
import hmac
import re
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from quart import Quart, Response, abort, jsonify, request, websocket

from bot.gateways import listen, owner
from inference.characters import Character

STATIC = Path(__file__).parent.parent / "static"
VISITOR = "chatnvl_visitor"
KEY = "chatnvl_key"
_VISITOR_FORM = re.compile(r"[0-9a-f]{32}")
_YEAR = 365 * 86_400
_BACKGROUNDS = ("background.svg", "background.webp", "background.jpg", "background.png")
_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
    ".png": "image/png",
    ".jpg": "image/jpeg",
    ".webp": "image/webp",
}
# The door, files that anybody may read, and the owner's page, which has a door of its own.
_OPEN_TO_ALL = frozenset({"index", "enter", "health", "files"}) | owner.ENDPOINTS
_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; "
    "img-src 'self' data:; connect-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
}
# A picture may be an SVG that somebody else drew: opened by itself it is shown, but runs nothing.
_PICTURE_POLICY = "default-src 'none'; style-src 'unsafe-inline'; sandbox; frame-ancestors 'none'"


class Page:
    """The Quart app with the page's routes; the gateway adds the WebSocket."""

    def __init__(self, token: str | None) -> None:
        self._token = token
        self._characters: Mapping[str, Character] = {}
        self.app = app = Quart(__name__, static_folder=None)
        app.before_request(self._admit)
        app.after_request(_secure)
        app.add_url_rule("/", "index", self._index)
        app.add_url_rule("/enter", "enter", self._enter, methods=["POST"])
        app.add_url_rule("/health", "health", self._health)
        app.add_url_rule("/static/<name>", "files", self._file)
        app.add_url_rule("/characters", "characters", self._list)
        app.add_url_rule("/portraits/<character>.png", "portrait", self._portrait)
        app.add_url_rule("/backgrounds/<character>", "background", self._background)

    def show(self, characters: Mapping[str, Character]) -> None:
        """Whom the page offers."""
        self._characters = characters

    def visitor(self) -> str | None:
        """Who opens this WebSocket; None: she has no cookie of ours, so the page is to be opened again."""
        if not self._known(websocket.cookies):
            return None
        return _visitor(websocket.cookies)

    def check_socket(self) -> None:
        """Refuse a socket that another site opened in a visitor's browser: it would come with her cookie."""
        self._check_host(websocket.host)
        scheme, _, host = websocket.headers.get("Origin", "").partition("://")
        if scheme not in ("http", "https") or host != websocket.host:
            abort(403)

    # Who may come in

    async def _admit(self) -> None:
        self._check_host(request.host)
        if request.endpoint not in _OPEN_TO_ALL and not self._known(request.cookies):
            abort(401)

    def _check_host(self, host: str) -> None:
        """Without a token only this machine may come in, and not by a name that points to it."""
        name = host.rpartition(":")[0] if re.search(r":\d+$", host) else host
        if self._token is None and not listen.is_loopback(name):
            abort(403, "Set a token to open this page under another name than localhost.")

    def _known(self, cookies: Mapping[str, str]) -> bool:
        return self._token is None or hmac.compare_digest(cookies.get(KEY, "").encode(), self._key().encode())

    def _key(self) -> str:
        """What the cookie holds: made from the token, but not the token."""
        assert self._token is not None
        return hmac.new(self._token.encode(), b"chatnvl page", hashlib.sha256).hexdigest()

    def _let_in(self, given: str) -> Response | None:
        """Back to the page with the cookie that opens it, when the token is right."""
        if self._token is not None and not hmac.compare_digest(given.encode(), self._token.encode()):
            return None
        response = Response(status=303, headers={"Location": "./"})
        if self._token is None:
            return response
        _set_cookie(response, KEY, self._key(), "Lax")  # Lax: a link from elsewhere works
        return response

    # Routes

    async def _index(self) -> Response:
        if (given := request.args.get("token")) is not None:
            return self._let_in(given) or await _door(wrong=True)
        if not self._known(request.cookies):
            return await _door(wrong=False)
        return await _content(STATIC / "index.html")

    async def _enter(self) -> Response:
        form = await request.form
        return self._let_in(form.get("token", "")) or await _door(wrong=True)

    async def _health(self) -> dict[str, bool]:
        return {"ok": True}

    async def _file(self, name: str) -> Response:
        path = STATIC / name
        if path not in STATIC.iterdir():
            abort(404)
        return await _content(path)

    async def _list(self) -> Response:
        """The page asks for this first, so here a new visitor gets her number.

        Not with the page itself: a link on another site opens it without the cookie she has.
        """
        response = jsonify([_describe(character) for character in self._characters.values()])
        _cached(response, "no-store")
        if _visitor(request.cookies) is None:
            _set_cookie(response, VISITOR, secrets.token_hex(16), "Strict")
        return response

    async def _portrait(self, character: str) -> Response:
        known = self._characters.get(character)
        return await _picture(known.portrait if known else None)

    async def _background(self, character: str) -> Response:
        known = self._characters.get(character)
        return await _picture(_background_of(known) if known else None)


def _describe(character: Character) -> dict[str, Any]:
    card = character.card
    you = {"zh": "你", "ja": "あなた", "en": "you"}[character.language]
    greeting = card.first_mes.replace("{{char}}", character.name).replace("{{user}}", you)
    notes = (card.model_extra or {}).get("creator_notes")  # the card's own field for people who choose
    return {
        "id": character.id,
        "name": character.name,
        "language": character.language,
        "greeting": greeting,
        "about": notes if isinstance(notes, str) else "",
        "portrait": _address(f"portraits/{character.id}.png", character.portrait),
        "background": _address(f"backgrounds/{character.id}", _background_of(character)),
    }


def _background_of(character: Character) -> Path | None:
    return next((path for name in _BACKGROUNDS if (path := character.folder / name).is_file()), None)


def _address(url: str, path: Path | None) -> str | None:
    """With the file's time in it, so that a browser may keep the picture for ever."""
    try:
        return f"{url}?v={path.stat().st_mtime_ns:x}" if path else None
    except OSError:
        return None


async def _picture(path: Path | None) -> Response:
    if path is None or not path.is_file():
        abort(404)
    response = await _content(path)
    response.headers["Content-Security-Policy"] = _PICTURE_POLICY
    return _cached(response, f"private, max-age={_YEAR}, immutable") if "v" in request.args else response


async def _content(path: Path) -> Response:
    """A file, asked for each time and answered 304 when it is the same: a new release is seen at once.

    Not by Quart's `send_file`: it leaves the file open when a browser goes away in the middle.
    """
    data = path.read_bytes()
    response = Response(data, content_type=_TYPES[path.suffix])
    response.set_etag(hashlib.sha256(data).hexdigest()[:20])
    await response.make_conditional(request)
    return _cached(response, "no-cache")


async def _door(*, wrong: bool) -> Response:
    """The page that asks for the token. It says nothing about what is behind it."""
    html = (STATIC / "door.html").read_text(encoding="utf-8")
    if wrong:
        html = html.replace("<body>", "<body class=wrong>")
    response = Response(html, 401, content_type="text/html; charset=utf-8")
    return _cached(response, "no-store")


def _cached(response: Response, how: str) -> Response:
    response.headers["Cache-Control"] = how
    return response


def _visitor(cookies: Mapping[str, str]) -> str | None:
    value = cookies.get(VISITOR, "")
    return value if _VISITOR_FORM.fullmatch(value) else None


def _set_cookie(response: Response, name: str, value: str, same_site: str) -> None:
    response.set_cookie(
        name, value, max_age=_YEAR, httponly=True, samesite=same_site, secure=request.scheme == "https"
    )


async def _secure(response: Response) -> Response:
    for name, value in _HEADERS.items():
        response.headers.setdefault(name, value)
    return response
