"""An auditor's first ten minutes, as docs/audit.md has them."""

from __future__ import annotations

import asyncio
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.api.live import PASSWORD, LiveApi, Person, ok
from tests.audit.conftest import sign_all
from tests.house.tree import ROOT

BLOCK = re.compile(r"^## The first ten minutes.*?^```bash\n(.*?)^```", re.DOTALL | re.MULTILINE)


@pytest.mark.skipif(shutil.which("curl") is None, reason="the page says curl")
def test_the_first_ten_minutes_are_as_the_page_has_them(
    api: LiveApi, admin: Person, auditor: Person, user: Person, tmp_path: Path
) -> None:
    path = f"/api/admin/users/{user.user_id}"
    ok(admin.client.put(path, json={"balance": 12.5}))
    asyncio.run(sign_all(api.database_url))
    script = BLOCK.search((ROOT / "docs/audit.md").read_text(encoding="utf-8"))
    assert script is not None
    verifier = tmp_path / "docs/verify/owl_verify.py"
    verifier.parent.mkdir(parents=True)
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    shutil.copy(ROOT / "docs/verify/owl_verify.py", verifier)
    here = {
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "OWL": f"{api.url}/api",
        "EMAIL": auditor.email,
        "PASSWORD": PASSWORD,
        "USER_ID": str(user.user_id),
        "TMPDIR": str(temporary),
    }
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script[1]],
        cwd=tmp_path,
        env=here,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert '"available_fen":1250' in done.stdout
    assert {each.name for each in tmp_path.iterdir()} == {"docs", "temporary"}
    (folder,) = temporary.iterdir()
    *_, last = (folder / "sums.ndjson").read_text(encoding="utf-8").splitlines()
    assert json.loads(last)["report"]["is_right"] is True
    assert (folder / "today.checkpoint").read_text(encoding="utf-8").startswith("owl-factory/")
    assert (folder / "log.owlb").stat().st_size > 0
