"""What a signed-in agent may do on the broker, and who is not let in at all."""

from __future__ import annotations

import asyncio
import base64
import os
from contextlib import suppress
from typing import Any
from uuid import UUID, uuid4

import nkeys
import pytest
from nats.aio.client import Client
from nats.errors import Error as NatsError
from nats.js.errors import Error as JetStreamError

from commands import admission
from commands.fleet import RemoveServer, remove_server
from domain.fleet.messages import (
    AGENTS_STREAM,
    artifact_bucket,
    receipts_subject,
    work_consumer,
    work_subject,
)
from tests.commands.loops.plant import SOON_S, Plant, RunningWorker, connect, eventually, now
from tests.commands.loops.scripted_agent import ScriptedAgent
from tests.stack import LiveStack

pytestmark = pytest.mark.anyio


CANARY = "owl.canary"


class Identity:
    """A server's key and what it signs."""

    def __init__(self, server_id: UUID) -> None:
        self.server_id = server_id
        self._seed = nkeys.encode_seed(os.urandom(32), nkeys.PREFIX_BYTE_USER)
        self.public_key = nkeys.from_seed(bytearray(self._seed)).public_key.decode()

    def token(self, *, lives_s: int = 60, server_id: UUID | None = None) -> str:
        said = f"owl1.{server_id or self.server_id}.{int(now().timestamp()) + lives_s}"
        signature = nkeys.from_seed(bytearray(self._seed)).sign(said.encode())
        return f"{said}.{base64.urlsafe_b64encode(signature).decode().rstrip('=')}"


class SignedIn:
    """A client that notes what it was denied."""

    def __init__(self) -> None:
        self.denied: list[str] = []
        self.client: Client

    async def open(self, address: str, server_id: UUID, token: Any, **options: Any) -> None:
        self.client = await connect(
            address,
            token=token,
            inbox_prefix=f"_INBOX_{server_id}".encode(),
            error_cb=self._note,
            **options,
        )

    async def _note(self, error: Exception) -> None:
        self.denied.append(str(error))

    async def denied_publishing(self, subjects: list[str]) -> list[str]:
        for subject in [*subjects, CANARY]:
            await self.client.publish(subject, b"{}")
        return await self._denied_of(subjects)

    async def denied_subscribing(self, subjects: list[str]) -> list[str]:
        for subject in subjects:
            await self.client.subscribe(subject)
        await self.client.publish(CANARY, b"{}")
        return await self._denied_of(subjects)

    async def _denied_of(self, subjects: list[str]) -> list[str]:
        """Those denied, by the time the last one is: the broker answers in order."""
        await eventually(lambda: any(f'"{CANARY}"' in text for text in self.denied))
        texts, self.denied = " ".join(self.denied).lower(), []
        return [subject for subject in subjects if f'"{subject.lower()}"' in texts]


class Gate:
    """A worker that answers the broker, and two enrolled servers."""

    def __init__(self, plant: Plant, worker: RunningWorker, address: str) -> None:
        self.plant = plant
        self.worker = worker
        self.address = address
        self.mine: Identity
        self.theirs: Identity

    async def enrol(self) -> Identity:
        identity = Identity(uuid4())
        await self.plant.server(public_key=identity.public_key, server_id=identity.server_id)
        return identity

    async def sign_in(self, identity: Identity, **options: Any) -> SignedIn:
        signed_in = SignedIn()
        await signed_in.open(self.address, identity.server_id, identity.token, **options)
        return signed_in

    async def refuses(self, token: str, server_id: UUID) -> bool:
        client = Client()
        try:
            await client.connect(
                self.address,
                token=token,
                inbox_prefix=f"_INBOX_{server_id}".encode(),
                allow_reconnect=False,
                error_cb=_ignore,
            )
        except (NatsError, OSError):
            return True
        finally:
            await client.close()
            await _close_transport(client)
        return False


async def _ignore(_: Exception) -> None:
    return


async def _close_transport(client: Client) -> None:
    """The library leaves the socket of a refused connection to the garbage collector."""
    if client._transport is not None:
        client._transport.close()  # type: ignore[no-untyped-call]
        with suppress(OSError):
            await client._transport.wait_closed()  # type: ignore[no-untyped-call]


@pytest.fixture
async def gate(plant: Plant, session_stack: LiveStack) -> Gate:
    plant.issuer_seed = session_stack.callout_seed
    worker = await plant.start_worker()
    await eventually(worker.leads)
    opened = Gate(plant, worker, session_stack.nats_address)
    opened.mine, opened.theirs = await opened.enrol(), await opened.enrol()
    await eventually(lambda: len(worker.loop("topology")._known) == 2)
    return opened


async def test_an_enrolled_agent_signs_in_and_works(gate: Gate) -> None:
    signed_in = await gate.sign_in(gate.mine)
    agent = await ScriptedAgent(signed_in.client, gate.mine.server_id).start()
    await eventually(lambda: agent.confirmed_heartbeat)
    task_id = await gate.plant.submit()
    await gate.plant.phase(task_id, "completed")
    assert signed_in.denied == []
    await agent.stop()
    await signed_in.client.close()


async def test_an_agent_has_its_own_subjects_and_no_others(gate: Gate) -> None:
    me, them = gate.mine.server_id, gate.theirs.server_id
    signed_in = await gate.sign_in(gate.mine)
    mine, theirs = artifact_bucket(me), artifact_bucket(them)
    own = [
        f"owl.reports.{me}.heartbeat",
        f"$JS.API.CONSUMER.MSG.NEXT.{AGENTS_STREAM}.{work_consumer(me)}",
        f"$JS.ACK.{AGENTS_STREAM}.{work_consumer(me)}.1.1.1.1.0",
        f"$O.{mine}.C.abc",
        f"$JS.API.STREAM.INFO.OBJ_{mine}",
    ]
    foreign = [
        f"owl.reports.{them}.heartbeat",
        f"owl.reports.{me}.heartbeat.more",
        "owl.reports.everybody.heartbeat",
        work_subject(me),
        work_subject(them),
        receipts_subject(them),
        "owl.events.tasks.task_completed",
        "owl.hints.committed",
        f"$JS.API.CONSUMER.MSG.NEXT.{AGENTS_STREAM}.{work_consumer(them)}",
        f"$JS.API.CONSUMER.CREATE.{AGENTS_STREAM}",
        f"$JS.API.CONSUMER.DELETE.{AGENTS_STREAM}.{work_consumer(me)}",
        f"$JS.ACK.{AGENTS_STREAM}.{work_consumer(them)}.1.1.1.1.0",
        "$JS.ACK.OWL_REPORTS.tasks-1-1.1.1.1.1.0",
        f"$O.{theirs}.C.abc",
        f"$O.{theirs}.M.abc",
        f"$JS.API.STREAM.INFO.OBJ_{theirs}",
        f"$JS.API.STREAM.PURGE.OBJ_{theirs}",
        f"$JS.API.STREAM.DELETE.OBJ_{mine}",
        f"$JS.API.STREAM.UPDATE.OBJ_{mine}",
        "$JS.API.STREAM.NAMES",
        "$JS.API.STREAM.LIST",
        "$JS.API.INFO",
        "$JS.API.STREAM.PURGE.OWL_EVENTS",
        "$JS.API.STREAM.DELETE.OWL_REPORTS",
        "$JS.API.STREAM.MSG.GET.OWL_EVENTS",
        "$JS.API.DIRECT.GET.OWL_EVENTS",
        "$SYS.REQ.SERVER.PING",
        "$SYS.REQ.USER.AUTH",
        f"_INBOX_{them}.abc",
        "_INBOX.abc",
    ]
    assert await signed_in.denied_publishing(own) == []
    assert await signed_in.denied_publishing(foreign) == foreign
    heard = [work_subject(me), receipts_subject(me), f"_INBOX_{me}.>"]
    unheard = [
        *(
            ">",
            "*",
            "owl.>",
            "owl.agents.>",
            "owl.agents.*.work",
            "owl.hints.>",
            "owl.events.>",
        ),
        *(work_subject(them), receipts_subject(them), f"_INBOX_{them}.>", "_INBOX.>"),
        *("$SYS.>", "$JS.>", "$JS.API.>", "$O.>", f"$O.{theirs}.>", "owl.reports.>"),
    ]
    assert await signed_in.denied_subscribing(heard) == []
    assert await signed_in.denied_subscribing(unheard) == unheard
    await signed_in.client.close()


async def test_an_agent_can_leave_a_file_in_its_own_bucket_only(gate: Gate) -> None:
    signed_in = await gate.sign_in(gate.mine)
    broker = signed_in.client.jetstream(timeout=1)
    bucket = await broker.object_store(artifact_bucket(gate.mine.server_id))
    await bucket.put("name", b"x" * 300_000)
    assert (await bucket.get_info("name")).size == 300_000
    with pytest.raises((NatsError, JetStreamError, TimeoutError)):
        await broker.object_store(artifact_bucket(gate.theirs.server_id))
    await signed_in.client.close()


async def test_bad_tokens_are_refused(gate: Gate) -> None:
    me, them = gate.mine.server_id, gate.theirs.server_id
    token = gate.mine.token()
    stranger = Identity(uuid4())
    assert await gate.refuses(gate.mine.token(lives_s=-1), me)
    assert await gate.refuses(gate.mine.token(lives_s=10_000), me)
    assert await gate.refuses(gate.mine.token(server_id=them), them)
    assert await gate.refuses(stranger.token(), stranger.server_id)
    assert await gate.refuses(token[:-4] + "AAAA", me)
    assert await gate.refuses(token.replace("owl1", "owl2"), me)
    for nonsense in ("", "owl1...", "owl1.x.y.z", "x" * 10_000, f"owl1.{me}.1.", "owl1.é.1.é"):
        assert await gate.refuses(nonsense, me)
    assert not await gate.refuses(token, me)


async def test_a_removed_server_is_out_at_the_end_of_its_session(
    gate: Gate, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(admission, "SESSION_S", 2)
    closed = asyncio.Event()

    async def note_closed() -> None:
        closed.set()

    await gate.sign_in(gate.mine, closed_cb=note_closed)
    removal = RemoveServer(server_id=gate.mine.server_id, running_tasks=0)
    await gate.plant.run(remove_server, removal)
    async with asyncio.timeout(SOON_S):
        await closed.wait()
    assert await gate.refuses(gate.mine.token(), gate.mine.server_id)
    assert not await gate.refuses(gate.theirs.token(), gate.theirs.server_id)
