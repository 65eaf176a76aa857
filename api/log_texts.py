"""What an event of a task's log says to a person, in Chinese and English."""

from __future__ import annotations

from typing import Any, Final

from api.failure_texts import failure, told_of
from api.messages import Language, Text
from api.plain_text import plain
from domain.money import to_yuan
from projections.task_logs import LogLine

TEXTS: Final[dict[str, Text]] = {
    "tasks.task_submitted/1": Text(
        "任务已创建，等待分配", "Task created, waiting for a server"
    ),
    "tasks.task_submitted/2": Text(
        "任务已创建，等待分配", "Task created, waiting for a server"
    ),
    "tasks.task_assigned/1": Text("任务已分配到服务器", "Task assigned to a server"),
    "tasks.task_started/1": Text("任务开始运行", "Task started"),
    "tasks.task_progressed/1": Text("任务进度更新", "Task progressed"),
    "tasks.task_cancel_requested/1": Text("已请求取消任务", "Cancellation requested"),
    "tasks.task_completed/1": Text("任务已完成", "Task completed"),
    "tasks.task_failed/1": Text("任务失败", "Task failed"),
    "tasks.task_cancelled/1": Text("任务已取消", "Task cancelled"),
    "tasks.task_requeued/1": Text(
        "平台故障，任务已免费重新排队", "Lost by the platform: queued again, free of charge"
    ),
    "tasks.task_retried/1": Text("任务重新运行", "Task runs again"),
    "tasks.task_deleted/1": Text("任务已删除", "Task deleted"),
    "tasks.stale_report_refused/1": Text(
        "过期的上报已被拒绝", "A report on an older attempt was refused"
    ),
    "wallet.hold_placed/1": Text("费用已冻结", "Money set aside"),
    "wallet.hold_extended/1": Text("冻结费用已增加", "More money set aside"),
    "wallet.hold_settled/1": Text("费用已结算", "Cost settled"),
}

_COLON = Text("：", ": ")


def said(line: LogLine, language: Language) -> str:
    """A line's text: output as data, without terminal escapes; an event as a sentence."""
    if line.text is not None:
        return plain(line.text)
    text = TEXTS.get(line.tag or "")
    if text is None:
        return str(line.tag)
    sentence = text.in_language(language)
    if more := _more(line.tag or "", line.data or {}, language):
        return f"{sentence}{_COLON.in_language(language)}{more}"
    return sentence


def shown_data(line: LogLine) -> dict[str, Any] | None:
    """A line's data as whoever reads logs may have it: no more of a failure than is told."""
    if line.data is None or "error_message" not in line.data:
        return line.data
    told = told_of(line.data["reason"], line.data["error_message"])
    return line.data | {"error_message": told}


def _more(tag: str, data: dict[str, Any], language: Language) -> str:
    """What tells this line from the others of its kind."""
    match tag:
        case "tasks.task_progressed/1":
            return f"{data['progress']:.1f} % {plain(data.get('note', ''))}".rstrip()
        case "wallet.hold_placed/1" | "wallet.hold_extended/1":
            return f"¥{to_yuan(data['amount_fen']):,.2f}"
        case "wallet.hold_settled/1":
            return f"¥{to_yuan(data['charged_fen']):,.2f}"
        case "tasks.task_failed/1":
            return failure(data["reason"], data.get("error_message", ""), language)
        case "tasks.task_cancelled/1":
            return failure(data["reason"], "", language)
        case _:
            return ""
