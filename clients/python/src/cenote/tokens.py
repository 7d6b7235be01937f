"""Tokens: who may do what (admin)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime, timedelta
from typing import Any

from .http import Http, path
from .values import instant_or_none


@dataclass(frozen=True)
class Grant:
    """Rights on the tables that match; `*` may stand before or after a literal."""

    database: str
    measurement: str = "*"
    permissions: Sequence[str] = ("read",)


@dataclass(frozen=True)
class Token:
    """A token without its secret, except in the answer that made it."""

    id: int
    name: str
    description: str
    permissions: list[str]
    grants: list[Grant]
    default_database: str | None
    created_at: datetime | None
    last_used_at: datetime | None
    expires_at: datetime | None
    enabled: bool
    #: What to send; known only when it is made.
    secret: str | None = field(default=None, repr=False)


class Tokens:
    """The tokens of the node's tenant."""

    def __init__(self, http: Http):
        self._http = http

    def create(
        self,
        name: str,
        *,
        permissions: Iterable[str] | None = None,
        grants: Iterable[Grant] | None = None,
        expires_in: timedelta | None = None,
        default_database: str | None = None,
        description: str = "",
    ) -> Token:
        """A new token. Without rights it may read and write everywhere; with grants, only what they say."""
        asked: dict[str, Any] = {"name": name, "description": description}
        if permissions is not None:
            asked["permissions"] = list(permissions)
        if grants is not None:
            asked["grants"] = [asdict(grant) for grant in grants]
        if expires_in is not None:
            asked["expires_in"] = f"{int(expires_in.total_seconds())}s"
        if default_database is not None:
            asked["default_database"] = default_database
        made = self._http.ask("POST", path("auth", "tokens"), asked)
        return _token(made, made["token"])

    def list(self) -> list[Token]:
        """All tokens."""
        return [_token(token) for token in self._http.ask("GET", path("auth", "tokens"))["tokens"]]

    def revoke(self, token: Token | int) -> None:
        """Disables a token at once."""
        self._http.ask("POST", path("auth", "tokens", _id(token), "revoke"))

    def rotate(self, token: Token | int) -> str:
        """A new secret; the old one ends at once."""
        secret: str = self._http.ask("POST", path("auth", "tokens", _id(token), "rotate"))["new_token"]
        return secret

    def delete(self, token: Token | int) -> None:
        """Deletes a token."""
        self._http.ask("DELETE", path("auth", "tokens", _id(token)))


def _id(token: Token | int) -> str:
    return str(token.id if isinstance(token, Token) else token)


def _token(shown: dict[str, Any], secret: str | None = None) -> Token:
    return Token(
        id=shown["id"],
        name=shown["name"],
        description=shown["description"],
        permissions=shown["permissions"],
        grants=[Grant(grant["database"], grant["measurement"], grant["permissions"]) for grant in shown["grants"]],
        default_database=shown["default_database"],
        created_at=instant_or_none(shown.get("created_at")),
        last_used_at=instant_or_none(shown.get("last_used_at")),
        expires_at=instant_or_none(shown.get("expires_at")),
        enabled=shown["enabled"],
        secret=secret,
    )
