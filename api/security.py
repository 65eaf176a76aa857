"""Tokens: who signed them, whom they name, until when. What a user may do is never in them.

Sources: RFC 7519, RFC 8725. HS256 only, by key id; role and activity are read on each request.
"""

from __future__ import annotations

from collections import OrderedDict
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import UUID

import jwt
from msgspec import Struct

from api.rejection import Unauthenticated
from domain.accounts.events import Role
from domain.envelope import Actor

ISSUER: Final = "owl-factory"
AUDIENCE: Final = "owl-factory-api"
TOKEN_BYTES_MAX: Final = 8 * 1024
KEY_BYTES_MIN: Final = 32
_ALGORITHM: Final = "HS256"
_LEEWAY_S: Final = 5
_CACHE_MAX: Final = 10_000
_OPERATORS: Final = frozenset({"admin", "super_admin"})


class Principal(Struct, frozen=True, kw_only=True):
    """Who asks, as the credential row says at this moment."""

    user_id: UUID
    role: Role
    token_version: int

    @property
    def is_operator(self) -> bool:
        """Whether they run the farm."""
        return self.role in _OPERATORS

    @property
    def may_read_of(self) -> UUID | None:
        """Whose things they may read: their own; ``None`` is everybody's."""
        return None if self.is_operator or self.role == "auditor" else self.user_id

    @property
    def actor(self) -> Actor:
        """As whom their commands are recorded."""
        return Actor("admin" if self.is_operator else "user", str(self.user_id))


class Claims(Struct, frozen=True, kw_only=True):
    """What a good token says."""

    user_id: UUID
    token_version: int
    expires_at_s: int


class Tokens:
    """Issues tokens with the first key of the ring and reads those of any."""

    def __init__(self, keys: dict[str, bytes], *, lifetime_s: int) -> None:
        if not keys or any(len(key) < KEY_BYTES_MIN for key in keys.values()):
            raise ValueError(f"a token key has at least {KEY_BYTES_MIN} bytes")
        self._keys = keys
        self._signer = next(iter(keys))
        self.lifetime_s = lifetime_s
        self._read: OrderedDict[str, Claims] = OrderedDict()

    def issue(self, user_id: UUID, token_version: int, *, now: datetime, token_id: UUID) -> str:
        """A token for a user whose password was right."""
        claims = {
            "iss": ISSUER,
            "aud": AUDIENCE,
            "sub": str(user_id),
            "iat": int(now.timestamp()),
            "exp": int((now + timedelta(seconds=self.lifetime_s)).timestamp()),
            "jti": token_id.hex,
            "tv": token_version,
        }
        return jwt.encode(
            claims,
            self._keys[self._signer],
            algorithm=_ALGORITHM,
            headers={"kid": self._signer},
        )

    def read(self, token: str, *, now: datetime) -> Claims:
        """What the token says. A token seen before is not verified again, only its expiry is.

        Raises:
            Unauthenticated: it is malformed, not ours, or its time is over.
        """
        claims = self._read.get(token)
        if claims is None:
            claims = self._verified(token)
            self._read[token] = claims
            if len(self._read) > _CACHE_MAX:
                self._read.popitem(last=False)
        if claims.expires_at_s + _LEEWAY_S <= now.timestamp():
            self._read.pop(token, None)
            raise Unauthenticated
        return claims

    def _verified(self, token: str) -> Claims:
        if len(token) > TOKEN_BYTES_MAX:
            raise Unauthenticated
        try:
            key = self._keys[str(jwt.get_unverified_header(token).get("kid"))]
            claims: dict[str, Any] = jwt.decode(
                token,
                key,
                algorithms=[_ALGORITHM],
                issuer=ISSUER,
                audience=AUDIENCE,
                leeway=_LEEWAY_S,
                options={"require": ["iss", "aud", "sub", "iat", "exp", "jti", "tv"]},
            )
            return Claims(
                user_id=UUID(claims["sub"]),
                token_version=int(claims["tv"]),
                expires_at_s=int(claims["exp"]),
            )
        except (jwt.PyJWTError, KeyError, ValueError, TypeError):
            raise Unauthenticated from None


def bearer(authorizations: list[str]) -> str:
    """The token of the one ``Authorization`` header.

    Raises:
        Unauthenticated: there is none, more than one, or of another scheme.
    """
    if len(authorizations) != 1:
        raise Unauthenticated
    scheme, _, token = authorizations[0].partition(" ")
    if scheme.lower() != "bearer" or not token or " " in token:
        raise Unauthenticated
    return token
