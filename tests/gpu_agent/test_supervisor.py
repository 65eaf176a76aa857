"""What a task may do to the agent that runs it: nothing."""

from __future__ import annotations

import asyncio
import errno
import hashlib
import signal
import time
from pathlib import Path
from typing import Any

import pytest

from gpu_agent.fetch import Fetcher, FetchPolicy
from gpu_agent.media import MediaSource
from gpu_agent.supervisor import Limits
from tests.gpu_agent.conftest import Diary, OpenChildren, attempt, offspring, until

pytestmark = pytest.mark.anyio
SOON_MS, TRIES = 50, 200


async def test_a_task_runs_in_another_process_and_gives_its_result(
    open_children: OpenChildren,
) -> None:
    async with open_children() as children:
        diary = Diary()
        run = attempt(children, diary, "test", {"seconds": 0.3, "output": 2, "note": "猫头鹰"})
        outcome = await run.run()
    assert outcome.kind == "completed"
    assert outcome.result["lines"] == 2
    assert outcome.result["echo"]["note"] == "猫头鹰"
    assert diary.begun == 1
    assert diary.text == ["line 1 of 2", "line 2 of 2"]
    assert diary.progress == sorted(diary.progress)
    assert diary.progress[-1] > 30
    assert 250 < outcome.run_ms < 60_000


async def test_the_children_know_every_plugin_and_why_one_is_broken(
    tmp_path: Path, open_children: OpenChildren
) -> None:
    async with open_children() as children:
        hello = children.hello
    assert {"test", "video_analysis", "segfault"} <= set(hello.task_types)
    assert "no_such_module" in hello.refused["broken"]
    assert "broken" not in hello.task_types


async def test_an_unknown_task_type_fails_without_harm(open_children: OpenChildren) -> None:
    async with open_children() as children:
        outcome = await attempt(children, Diary(), "no_such_type").run()
    assert (outcome.kind, outcome.reason) == ("failed", "internal")


@pytest.mark.parametrize(
    ("task_type", "config", "reason", "message"),
    [
        ("test", {"fail": True}, "user_error", "asked for a failure"),
        ("test", {"seconds": -1}, "user_error", "config"),
        ("test", {"seconds": "long"}, "user_error", "config"),
        ("test", {"output": 10**9}, "user_error", "config"),
        ("fail_softly", {}, "user_error", "of no use"),
        ("raise", {}, "internal", "LookupError: no such thing"),
        ("exit", {"code": 3}, "internal", "code 3"),
        ("exit", {"code": 0}, "internal", "code 0"),
        ("segfault", {}, "internal", "code -11"),
        ("kill_itself", {}, "out_of_memory", "killed by the system"),
        ("exit", {"code": 137}, "out_of_memory", "killed by the system"),
    ],
)
async def test_a_failure_says_whose_it_is(
    open_children: OpenChildren,
    task_type: str,
    config: dict[str, Any],
    reason: str,
    message: str,
) -> None:
    async with open_children() as children:
        outcome = await attempt(children, Diary(), task_type, config).run()
        after = await attempt(children, Diary(), "test").run()
    assert (outcome.kind, outcome.reason) == ("failed", reason)
    assert message in outcome.message
    assert after.kind == "completed", "the next task is not touched"


async def test_a_defect_in_a_plugin_leaves_its_traceback_in_the_log(
    open_children: OpenChildren,
) -> None:
    diary = Diary()
    async with open_children() as children:
        await attempt(children, diary, "raise").run()
    assert ("ERROR", "Traceback (most recent call last):") in diary.lines


async def test_a_task_over_its_memory_is_out_of_memory(open_children: OpenChildren) -> None:
    async with open_children(memory_mib=4_096) as children:
        outcome = await attempt(children, Diary(), "allocate").run()
    assert outcome.reason == "out_of_memory"


async def test_whatever_a_task_prints_is_its_log(open_children: OpenChildren) -> None:
    diary = Diary()
    async with open_children() as children:
        await attempt(children, diary, "print_everywhere").run()
    assert set(diary.text) == {
        "by print",
        "by stderr",
        "by a program",
        "no newline at the end",
        "by the context",
    }
    assert ("WARNING", "by the context") in diary.lines


async def test_a_flood_of_output_is_cut_and_says_so(open_children: OpenChildren) -> None:
    diary = Diary()
    limits = Limits(output_lines=100)
    async with open_children() as children:
        outcome = await attempt(
            children, diary, "flood", {"lines": 50_000}, limits=limits
        ).run()
    assert outcome.kind == "completed"
    assert len(diary.text) == 100
    assert diary.text[-1].endswith("cut")


async def test_a_flood_of_bytes_is_cut_too(open_children: OpenChildren) -> None:
    diary = Diary()
    async with open_children() as children:
        await attempt(
            children, diary, "flood", {"lines": 1_000}, limits=Limits(output_bytes=5_000)
        ).run()
    assert sum(map(len, diary.text)) < 5_200
    assert diary.text[-1].endswith("cut")


async def test_plain_files_are_delivered_with_their_digest_and_links_are_not(
    open_children: OpenChildren,
) -> None:
    async with open_children() as children:
        run = attempt(children, Diary(), "leave_files", {"count": 2})
        outcome = await run.run()
        assert outcome.directory is not None
        assert [file.name for file in outcome.files] == ["0.txt", "1.txt"]
        assert outcome.files[0].sha256 == hashlib.sha256(b"file 0").hexdigest()
        assert outcome.files[0].media_type == "text/plain"
        assert (outcome.directory / "0.txt").read_text() == "file 0"
        run.clean_up()
        await until(lambda: not outcome.directory.exists() if outcome.directory else True)


@pytest.mark.parametrize("act", [("leave_files", {"count": 9}), ("large_file", {"size": 2000})])
async def test_too_much_left_behind_is_a_failure(
    open_children: OpenChildren, act: tuple[str, dict[str, Any]]
) -> None:
    limits = Limits(artifact_count=8, artifact_bytes=1_000)
    async with open_children() as children:
        outcome = await attempt(children, Diary(), *act, limits=limits).run()
    assert (outcome.kind, outcome.reason) == ("failed", "output_quota")


async def test_one_enormous_file_cannot_fill_the_disk(open_children: OpenChildren) -> None:
    async with open_children(file_mib=1) as children:
        outcome = await attempt(children, Diary(), "large_file", {"size": 2 << 20}).run()
    assert outcome.kind == "failed"
    assert "File too large" in outcome.message


async def test_the_agent_fetches_for_a_task(
    open_children: OpenChildren, tmp_path: Path
) -> None:
    media = tmp_path / "media"
    media.mkdir()
    (media / "clip.txt").write_text("the operator's own")
    source = MediaSource(Fetcher(FetchPolicy()), [media])
    async with open_children() as children:
        given = await attempt(
            children, Diary(), "fetch", {"url": "file:clip.txt"}, media=source
        ).run()
        refused = await attempt(
            children, Diary(), "fetch", {"url": "file:/etc/passwd"}, media=source
        ).run()
    assert given.result == {"text": "the operator's own"}
    assert (refused.kind, refused.reason) == ("failed", "user_error")


class FullDisk(MediaSource):
    """Fails as it does when the agent's disk is full, or by a defect: not as a refusal."""

    async def bring(self, url: str, workspace: Path) -> Path:
        raise OSError(errno.ENOSPC, "No space left on device", str(workspace / url))


async def test_a_file_that_the_agent_cannot_bring_ends_the_task_at_once_and_for_free(
    open_children: OpenChildren,
) -> None:
    source = FullDisk(Fetcher(FetchPolicy()))
    async with open_children() as children, asyncio.timeout(30):
        outcome = await attempt(
            children, Diary(), "fetch", {"url": "https://example.com/x"}, media=source
        ).run()
    assert (outcome.kind, outcome.reason) == ("failed", "internal")
    assert "No space left" in outcome.message


async def test_a_task_sees_the_devices_it_was_given_and_no_secret_of_the_agent(
    open_children: OpenChildren, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OWL_AGENT_TOKEN", "canary")
    async with open_children() as children:
        outcome = await attempt(
            children, Diary(), "environment", gpu_uuids=("GPU-1", "GPU-2")
        ).run()
        without = await attempt(children, Diary(), "environment").run()
    assert outcome.result["CUDA_VISIBLE_DEVICES"] == "GPU-1,GPU-2"
    assert without.result["CUDA_VISIBLE_DEVICES"] == "", "empty hides every device"
    assert "canary" not in str(outcome.result)


async def test_a_killed_fork_server_takes_its_children_along_and_is_started_again(
    open_children: OpenChildren,
) -> None:
    diary = Diary()
    async with open_children() as children:
        running = asyncio.create_task(attempt(children, diary, "test", {"seconds": 60}).run())
        await until(lambda: bool(diary.progress))
        family = offspring()
        family[0].send_signal(signal.SIGKILL)
        outcome = await asyncio.wait_for(running, 30)
        again = await attempt(children, Diary(), "test").run()
        await until(lambda: not any(child.is_running() for child in family))
    assert outcome.kind == "failed"
    assert again.kind == "completed"


async def test_many_tasks_run_side_by_side(open_children: OpenChildren) -> None:
    async with open_children() as children:
        runs = [attempt(children, Diary(), "test", {"seconds": 0.2}) for _ in range(24)]
        outcomes = await asyncio.gather(*(run.run() for run in runs))
    assert [outcome.kind for outcome in outcomes] == ["completed"] * 24


async def test_closing_leaves_no_process_and_no_workspace(
    open_children: OpenChildren, tmp_path: Path
) -> None:
    async with open_children(standby=3) as children:
        await attempt(children, Diary(), "test").run()
        family = offspring()
        assert family
    assert [process for process in family if process.is_running()] == []
    assert list((tmp_path / "work").iterdir()) == []


async def test_a_task_starts_within_milliseconds(open_children: OpenChildren) -> None:
    """A tenth of a ms on an idle machine; on any machine, one of many."""
    async with open_children(standby=2) as children:
        took_ms: list[float] = []
        while not took_ms or (took_ms[-1] >= SOON_MS and len(took_ms) < TRIES):
            began = time.perf_counter()
            outcome = await attempt(children, Diary(), "test").run()
            took_ms.append(1000 * (time.perf_counter() - began))
            assert outcome.kind == "completed"
    assert took_ms[-1] < SOON_MS
