"""Who this agent is: the server's id, and the key whose public half the platform knows.

The key is made here and its seed never leaves: it lies in the state directory, readable by its
owner only. The enrolment token is spent once, over HTTPS, for the platform to remember the key.
"""

from __future__ import annotations

import base64
import os
import socket
from http import HTTPStatus
from pathlib import Path
from typing import Final
from uuid import UUID

import httpx
import msgspec
import nkeys
from msgspec import Struct

IDENTITY_FILE: Final = "identity.json"
TOKEN_LIFETIME_S: Final = 60
ANSWER_TIMEOUT_S: Final = 30.0
SPENT: Final = (
    "A token is good for one enrolment within an hour: have an administrator run"
    " `owl gpu enroll NAME` and take the token that it prints"
)
ENROL_PATH: Final = "/api/gpu/servers/enroll"


class NotEnrolled(Exception):
    """This host has no identity yet."""


class EnrolmentRefused(Exception):
    """The platform did not take the token; the text is the platform's.

    ``may_pass``: it could not be reached, or could not answer; the same call may succeed later.
    """

    def __init__(self, message: str, *, may_pass: bool = False) -> None:
        super().__init__(message)
        self.may_pass = may_pass


class Identity(Struct, frozen=True, kw_only=True):
    """What the state directory holds. ``seed`` is secret."""

    server_id: UUID
    name: str
    seed: str
    nats_urls: tuple[str, ...]

    def __repr__(self) -> str:
        return f"Identity(server_id={self.server_id}, name={self.name!r})"

    @property
    def public_key(self) -> str:
        """The public nkey, ``U…``."""
        return public_key_of(self.seed)

    def token(self, now_unix: float) -> str:
        """A token to sign in with at the broker, good for a minute.

        ``owl1.<server_id>.<unix_expires>.<base64url Ed25519 signature of what stands before>``
        """
        signed = f"owl1.{self.server_id}.{int(now_unix) + TOKEN_LIFETIME_S}"
        pair = nkeys.from_seed(bytearray(self.seed, "ascii"))
        signature = base64.urlsafe_b64encode(pair.sign(signed.encode())).decode().rstrip("=")
        pair.wipe()
        return f"{signed}.{signature}"


class _Enrolled(Struct):
    server_id: UUID
    name: str
    nats_urls: tuple[str, ...] = ()


class _Answer(Struct):
    success: bool = False
    message: str = ""
    data: msgspec.Raw = msgspec.Raw(b"null")


def new_seed(randomness: bytes) -> str:
    """An nkey user seed (``SU…``) from 32 random bytes."""
    seed: bytes = nkeys.encode_seed(randomness, nkeys.PREFIX_BYTE_USER)
    return seed.decode()


def public_key_of(seed: str) -> str:
    """The public half of a seed."""
    pair = nkeys.from_seed(bytearray(seed, "ascii"))
    public: bytes = pair.public_key
    pair.wipe()
    return public.decode()


def load_identity(state: Path) -> Identity:
    """The identity that `enrol` left in ``state``.

    Raises:
        NotEnrolled: there is none.
    """
    try:
        return msgspec.json.decode((state / IDENTITY_FILE).read_bytes(), type=Identity)
    except FileNotFoundError:
        raise NotEnrolled(f"no identity in {state}: run `owl-agent enroll` first") from None
    except msgspec.MsgspecError as error:
        raise NotEnrolled(f"the identity in {state} is damaged: {error}") from error


def enrol(api_url: str, token: str, state: Path, *, randomness: bytes) -> Identity:
    """Spend ``token`` and leave an identity in ``state``; an older one is replaced.

    The seed is written before the token is spent: a lost answer does not lose the key, and the
    same call again is answered alike.

    Raises:
        EnrolmentRefused: wrong, used or expired token, or the platform is out of reach.
    """
    state.mkdir(parents=True, exist_ok=True, mode=0o700)
    seed = _kept_seed(state / "enrolling.seed", randomness)
    enrolled = _ask(api_url, token, public_key_of(seed))
    identity = Identity(
        server_id=enrolled.server_id,
        name=enrolled.name,
        seed=seed,
        nats_urls=enrolled.nats_urls,
    )
    _write_secret(state / IDENTITY_FILE, msgspec.json.encode(identity))
    (state / "enrolling.seed").unlink(missing_ok=True)
    return identity


def _ask(api_url: str, token: str, public_key: str) -> _Enrolled:
    body = {"token": token, "public_key": public_key, "hostname": socket.gethostname()}
    try:
        response = httpx.post(
            # with or without the /api at its end, as `owl` takes the same address
            api_url.rstrip("/").removesuffix("/api") + ENROL_PATH,
            json=body,
            headers={"Accept-Language": "en"},
            timeout=ANSWER_TIMEOUT_S,
        )
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        message = f"{api_url} cannot be reached: {error}"
        raise EnrolmentRefused(message, may_pass=True) from error
    try:
        answer = msgspec.json.decode(response.content, type=_Answer)
        if answer.success and response.is_success:
            return msgspec.json.decode(answer.data, type=_Enrolled)
    except msgspec.MsgspecError as error:
        raise EnrolmentRefused(f"{api_url} does not answer like a platform: {error}") from error
    message = answer.message or f"the platform answered {response.status_code}"
    if response.status_code == HTTPStatus.UNAUTHORIZED:
        message = f"{message}. {SPENT}"
    raise EnrolmentRefused(message, may_pass=response.is_server_error)


def _kept_seed(path: Path, randomness: bytes) -> str:
    try:
        seed = path.read_text(encoding="ascii").strip()
        public_key_of(seed)
    except (OSError, ValueError, nkeys.NkeysError):
        seed = new_seed(randomness)
        _write_secret(path, seed.encode())
    return seed


def _write_secret(path: Path, content: bytes) -> None:
    """Replace ``path`` at once; never readable by others, not even while it is written."""
    temporary = path.with_suffix(".new")
    temporary.unlink(missing_ok=True)
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)
