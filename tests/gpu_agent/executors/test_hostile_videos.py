"""Files that are no video, or more than one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from gpu_agent.executors import TaskFailed
from gpu_agent.executors.video_analysis import EXECUTOR
from tests.gpu_agent.executors.clips import BUNNY, Context, analyse


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"not a video",
        b"\x00" * 4096,
        b"<html><body>404</body></html>",
        b"\xff\xd8\xff\xe0 half a jpeg",
        BUNNY.read_bytes()[:2_000],
    ],
)
def test_what_is_no_video_is_the_users_error(
    context: Context, tmp_path: Path, content: bytes
) -> None:
    (tmp_path / "x").write_bytes(content)
    with pytest.raises(TaskFailed) as failed:
        analyse(tmp_path / "x", context)
    assert failed.value.reason == "user_error"


@pytest.mark.parametrize(
    ("name", "text"),
    [
        (
            "list.m3u8",
            "#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\n{secret}\n#EXT-X-ENDLIST\n",
        ),
        ("list.txt", "ffconcat version 1.0\nfile {secret}\n"),
        ("list.mpd", '<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011"/>'),
        ("list.sdp", "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nm=video 9 RTP/AVP 96\n"),
    ],
)
def test_a_playlist_that_names_other_files_is_not_followed(
    context: Context, tmp_path: Path, name: str, text: str
) -> None:
    (tmp_path / "secret.mp4").write_bytes(BUNNY.read_bytes())
    (tmp_path / name).write_text(text.format(secret=tmp_path / "secret.mp4"))
    with pytest.raises(TaskFailed):
        analyse(tmp_path / name, context)


@pytest.mark.parametrize(
    "config",
    [{}, {"video_url": ""}, {"video_url": 7}, {"video_url": "x" * 3_000}, {"thumbnails": 900}],
)
def test_a_bad_configuration_is_the_users_error(
    context: Context, config: dict[str, Any]
) -> None:
    wanted = {"video_url": str(BUNNY)} if "thumbnails" in config else {}
    with pytest.raises(TaskFailed, match="config"):
        EXECUTOR.run(wanted | config, context)


def test_a_sound_file_has_no_picture(context: Context, tmp_path: Path) -> None:
    with av.open(str(tmp_path / "s.mkv"), "w") as container:
        stream = container.add_stream("aac", rate=48_000)
        frame = av.AudioFrame.from_ndarray(np.zeros((2, 1024), dtype=np.float32), "fltp")
        frame.rate = 48_000
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    with pytest.raises(TaskFailed, match="no picture stream"):
        analyse(tmp_path / "s.mkv", context)
