"""What the single-file verifier cannot read it names, as the program does, accusing nobody."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

from tests.audit.conftest import Notarised, Owl
from tests.audit.test_bundle import SCRIPT, bundled, script


def test_what_the_single_file_cannot_read_is_named_and_accuses_nobody(
    notarised: Notarised, tmp_path: Path
) -> None:
    key, empty = str(notarised.key), tmp_path / "empty"
    path = bundled(notarised, tmp_path / "b.owlb", 301, 320)
    columns = bundled(notarised, tmp_path / "p.owlb", 301, 320, form="parquet")
    empty.write_text("")
    for said, words in (
        (script(path, key, str(empty)), "empty is no checkpoint"),
        (script(path, key, ""), "directory"),
        (script(path, key, "nowhere"), "No such file"),
        (script(path, str(empty)), "is no verifier key"),
        (script(path, str(path)), "is no verifier key, nor a file"),
        (script(path, key, str(columns)), "is no checkpoint"),
        (script(path, "no key"), "is no verifier key, nor a file"),
        (script(tmp_path / "nowhere", key), "No such file"),
        (script(columns, key), "Parquet: owl audit verify-bundle --pub KEY"),
    ):
        assert (said.returncode, said.stdout) == (2, "")
        assert words in said.stderr
        assert "WRONG" not in said.stderr
        assert "Traceback" not in said.stderr


def mangled(key: str) -> list[str]:
    """What becomes of a key that is copied by hand."""
    name, key_id, encoded = key.split("+", 2)
    other = encoded[:20] + ("A" if encoded[20] != "A" else "B") + encoded[21:]
    return [
        f"{name}+{key_id}+{other}",
        f"{name}+{key_id}+{encoded[:-1]}",
        f"{name}+{key_id}+{encoded}A",
        f"{name}+{key_id}+{encoded[:20]}\n{encoded[20:]}",
        f"{name}+{key_id[::-1]}+{encoded}",
        f"{name}+{key_id}+密钥",
        f"x{key}",
    ]


def test_a_key_that_was_mangled_on_its_way_is_wrong_usage_and_accuses_nobody(
    owl: Owl, notarised: Notarised, tmp_path: Path
) -> None:
    path = bundled(notarised, tmp_path / "b.owlb", 301, 320)
    in_a_file = tmp_path / "owl.key"
    for key in mangled(str(notarised.key)):
        in_a_file.write_text(key)
        for given in (key, str(in_a_file)):
            said = script(path, given)
            assert (said.returncode, said.stdout) == (2, ""), key
            assert "is no verifier key, nor a file that holds one" in said.stderr
            told = owl("verify-bundle", str(path), "--pub", given, code=2).stderr
            assert "verifier key" in told, key


def test_the_single_file_without_its_library_says_so_and_accuses_nobody(tmp_path: Path) -> None:
    """Exit code 1 would say that something is not as it was signed."""
    alone = shutil.copy(SCRIPT, tmp_path / "owl_verify.py")
    for said in ((tmp_path, "owl.key"), (tmp_path / "nowhere", "a+b+c")):
        command = [sys.executable, "-I", "-S", str(alone), *map(str, said)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert (done.returncode, done.stdout) == (2, "")
        assert done.stderr == "No module named 'cryptography'\n"


def test_an_empty_checkpoint_is_refused_by_both_programs(
    owl: Owl, notarised: Notarised, tmp_path: Path
) -> None:
    """What a failed download leaves must not turn the comparison off."""
    path, empty = bundled(notarised, tmp_path / "b.owlb", 301, 320), tmp_path / "empty"
    empty.write_text("")
    bundle = (str(path), "--pub", str(notarised.key), "--prev", str(empty))
    assert str(empty) in owl("verify-bundle", *bundle, code=2).stderr
    assert script(path, str(notarised.key), str(empty)).returncode == 2


def test_a_stretch_that_cannot_be_is_wrong_usage(owl: Owl, tmp_path: Path) -> None:
    output = tmp_path / "b.owlb"
    for stretch, words in (
        (("--from", "9", "--to", "5"), "--to 5 is before --from 9"),
        (("--to", "1001"), "the log ends at event 1000"),
        (("--from", "1001"), "the log ends at event 1000"),
    ):
        said = owl("export", *stretch, "-o", str(output), code=2)
        assert words in said.stderr
    assert list(tmp_path.glob("b.owlb*")) == []


def test_a_file_that_is_there_is_overwritten_only_by_force(owl: Owl, tmp_path: Path) -> None:
    for words in (("export", "--to", "300"), ("receipt", "300")):
        kept = tmp_path / words[0]
        kept.write_text("an older one")
        said = owl(*words, "-o", str(kept), code=2)
        assert f"{kept} is there already" in " ".join(said.stderr.split())
        assert "--force" in said.stderr
        assert kept.read_text() == "an older one"
        owl(*words, "-o", str(kept), "--force")
        assert kept.read_bytes() != b"an older one"
