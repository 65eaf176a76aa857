"""The operator's own files: those in the media directories, and none beside them."""

from __future__ import annotations

from pathlib import Path

import pytest

from gpu_agent.fetch import Fetcher, FetchPolicy
from gpu_agent.media import MediaRefused, MediaSource, NoMedia

pytestmark = pytest.mark.anyio


@pytest.fixture
def media(tmp_path: Path) -> Path:
    directory = tmp_path / "media"
    (directory / "sub").mkdir(parents=True)
    (directory / "clip.mp4").write_text("clip")
    (directory / "sub" / "猫 1.mp4").write_text("cat")
    (directory / "inside").symlink_to("clip.mp4")
    (directory / "outside").symlink_to("/etc/passwd")
    (directory / "up").symlink_to("..")
    (tmp_path / "secret").write_text("secret")
    return directory


async def bring(media: Path | None, url: str, workspace: Path) -> Path:
    directories = [] if media is None else [workspace / "none", media]
    return await MediaSource(Fetcher(FetchPolicy()), directories).bring(url, workspace)


@pytest.mark.parametrize(
    ("url", "text"),
    [
        ("file:clip.mp4", "clip"),
        ("FILE:clip.mp4", "clip"),
        ("file:./sub/../clip.mp4", "clip"),
        ("file:inside", "clip"),
        ("file:sub/%E7%8C%AB%201.mp4", "cat"),
        ("file://localhost{media}/clip.mp4", "clip"),
        ("file://{media}/clip.mp4", "clip"),
    ],
)
async def test_the_operators_files_are_brought(
    media: Path, tmp_path: Path, url: str, text: str
) -> None:
    path = await bring(media, url.format(media=media), tmp_path)
    assert path.read_text() == text


@pytest.mark.parametrize(
    "url",
    [
        "file:",
        "file:.",
        "file:sub",
        "file:missing.mp4",
        "file:../secret",
        "file:%2e%2e/secret",
        "file:sub/../../secret",
        "file:outside",
        "file:up/secret",
        "file:/etc/passwd",
        "file:///etc/passwd",
        "file:////etc/passwd",
        "file:///../secret",
        "file:///%2e%2e/secret",
        "file://{media}/../secret",
        "file://evil.example/clip.mp4",
        "file:clip.mp4%00.txt",
        "file:%ff%fe",
        "file:" + "a" * 5_000,
    ],
)
async def test_nothing_outside_the_media_directory_is_brought(
    media: Path, tmp_path: Path, url: str
) -> None:
    with pytest.raises(MediaRefused):
        await bring(media, url.replace("{media}", str(media)), tmp_path)


async def test_without_a_media_directory_no_file_is_brought(tmp_path: Path) -> None:
    with pytest.raises(NoMedia, match="no media directory"):
        await bring(None, "file:///etc/hostname", tmp_path)
