"""The published Postman collection on a farm whose agent takes each task at once.

Its task begins or ends between two requests, as it comes. The other folders know no agent:
``tests/api/test_postman.py`` runs them all.
"""

from pathlib import Path

from tests.api.newman import folders, run_against, with_newman
from tests.whole.farm import Farm

FOLDERS = ("认证 Authentication", "充值 Recharge", "任务 Tasks")


@with_newman
def test_the_collections_tasks_run_while_an_agent_works(farm: Farm, tmp_path: Path) -> None:
    origin = f"http://127.0.0.1:{farm.ports[0]}"
    run = run_against(origin, tmp_path / "report.json", request_s=20, only=FOLDERS)
    wanted = sum(len(folders()[name]) for name in FOLDERS)
    assert run["stats"]["requests"] == {"total": wanted, "pending": 0, "failed": 0}
