"""The published Postman collection, run by Postman's own runner where the machine has it.

Skipped where ``newman`` is not on PATH; ``test_documents`` runs the same file everywhere, with
the few lines of script that it has read by us. ``tests/whole`` runs it beside an agent.
"""

from itertools import chain
from pathlib import Path

from api.registration import ensure_dev_admin
from tests.api.live import LiveApi
from tests.api.newman import folders, run_against, with_newman


@with_newman
def test_the_collection_runs_in_postmans_own_runner(fresh_api: LiveApi, tmp_path: Path) -> None:
    fresh_api.call(ensure_dev_admin(fresh_api.platform))
    run = run_against(fresh_api.url, tmp_path / "report.json", request_s=5)
    items = list(chain.from_iterable(folders().values()))
    assert run["stats"]["requests"] == {"total": len(items), "pending": 0, "failed": 0}
    with_tests = [item for item in items if "event" in item]
    assert run["stats"]["assertions"]["total"] == len(with_tests) >= 35
