"""From money to result, through every process there is."""

import psycopg

from projections.audit.folds import FOLDS
from tests.whole.farm import CLIP, Farm, new_name
from tests.whole.processes import wait_for

HEAD = "SELECT max(notification_id) FROM owl_log.events"
FOLDED = "SELECT count(*) FROM owl_private.snapshot_folds WHERE position >= %s"


def test_a_task_tells_its_whole_story_in_sql(farm: Farm) -> None:
    user = farm.user(new_name(), yuan=20)
    task_id = user.submit("video_analysis", video_url=CLIP.as_uri())
    task = user.ended(task_id)
    assert task["status"] == "completed", task
    assert task["cost"] > 0
    assert user.ask("GET", "/users/me")["balance"] == round(20 - task["cost"], 2)
    story = farm.whole_story(task_id)
    often = {"tasks.task_progressed/1", "telemetry.task_output_received/1"}
    assert often <= {tag for _, tag in story}
    assert ("telemetry", "telemetry.task_output_received/1") in story
    assert [tag for _, tag in story if tag not in often] == [
        "tasks.task_submitted/2",
        "wallet.hold_placed/1",
        "tasks.task_assigned/1",
        "tasks.task_started/1",
        "tasks.task_completed/1",
        "wallet.hold_settled/1",
    ]


def test_what_a_task_wrote_and_made_can_be_fetched(farm: Farm) -> None:
    user = farm.user(new_name(), yuan=20)
    task_id = user.submit("video_analysis", video_url=CLIP.as_uri())
    task = user.ended(task_id)
    picture = task["artifacts"][0]
    answer = user.http.get(f"/tasks/{task_id}/artifacts/{picture['name']}")
    assert len(answer.content) == picture["size_bytes"]
    assert answer.content.startswith(b"\xff\xd8")
    assert user.ask("GET", f"/logs/tasks/{task_id}")["items"]


def test_states_are_kept_for_auditors_as_far_as_the_log_goes(farm: Farm) -> None:
    farm.user(new_name(), yuan=1)
    with psycopg.connect(farm.database_url, autocommit=True) as connection:
        head = connection.execute(HEAD).fetchone()
        wait_for(
            lambda: connection.execute(FOLDED, head).fetchone() == (len(FOLDS),),
            "every fold has come so far",
        )


def test_a_running_task_is_cancelled_and_pays_for_what_it_ran(farm: Farm) -> None:
    user = farm.user(new_name())
    task_id = user.submit("test", seconds=60)
    wait_for(lambda: user.task(task_id)["status"] == "running", "the task runs")
    user.ask("POST", f"/tasks/{task_id}/cancel")
    task = user.ended(task_id)
    assert (task["status"], task["reason"]) == ("cancelled", "cancelled_by_user")
