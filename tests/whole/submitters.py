"""Clients that submit while things break, and what must be true of it afterwards."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from uuid import uuid4

import httpx
import psycopg

from tests.whole.farm import Client, Farm, new_name

PATIENCE_S = 120


class Submitter(threading.Thread):
    """Submits free tasks and writes down what it was told; repeats what it was not told."""

    def __init__(self, client: Client, stop: threading.Event) -> None:
        super().__init__()
        self.client = client
        self.told: list[str] = []
        self.slowest_s = 0.0
        self.refusals: set[tuple[int, str]] = set()
        self._stop_asked = stop

    def run(self) -> None:
        while not self._stop_asked.is_set():
            self._submit_until_told(str(uuid4()))

    def _submit_until_told(self, key: str) -> None:
        body = {"title": f"fault {key}", "task_type": "test"}
        while True:
            began = time.monotonic()
            try:
                answer = self.client.http.post(
                    "/tasks", json=body, headers={"Idempotency-Key": key}
                )
            except httpx.TransportError:
                time.sleep(0.05)
                continue
            finally:
                self.slowest_s = max(self.slowest_s, time.monotonic() - began)
            if answer.is_success:
                self.told.append(answer.json()["data"]["id"])
                self.client.ended(self.told[-1], within_s=60)
                return
            self.refusals.add((answer.status_code, answer.json()["error_code"]))
            time.sleep(0.05)


@contextmanager
def submitting(farm: Farm, count: int) -> Iterator[list[Submitter]]:
    """So many submitters at work on both APIs; afterwards each has had its last answer."""
    stop = threading.Event()
    submitters = [
        Submitter(farm.user(new_name(), number=number % 2), stop) for number in range(count)
    ]
    for submitter in submitters:
        submitter.start()
    try:
        yield submitters
    finally:
        stop.set()
        for submitter in submitters:
            submitter.join(PATIENCE_S)
    assert not any(submitter.is_alive() for submitter in submitters)


def check_told(farm: Farm, submitters: list[Submitter]) -> None:
    """What was told is stored, and what was repeated is stored once."""
    told = [task_id for submitter in submitters for task_id in submitter.told]
    assert told
    with psycopg.connect(farm.database_url) as connection:
        stored = {
            row[0]
            for row in connection.execute(
                "SELECT fact ->> 'task_id' FROM owl_log.story"
                " WHERE tag = 'tasks.task_submitted/2'"
            )
        }
    assert set(told) <= stored, "a write that was acknowledged is gone"
    for submitter in submitters:
        submitted = titles(submitter.client)
        assert len(submitted) == len(set(submitted)), "a repeated write was done twice"


def titles(client: Client) -> list[str]:
    """Of all tasks that are the user's."""
    found, pages, page = list[str](), 1, 0
    while page < pages:
        page += 1
        told = client.ask("GET", f"/tasks?page_size=100&page={page}")
        found += [task["title"] for task in told["items"]]
        pages = told["total_pages"]
    return found
