"""Why a task ended without success, as its user is told: what is wrong, and what to do.

Law: one sentence for each reason, the same in the task and in its log. What a program said of
itself is added where the user's own input is at fault, and it helps; else it is the platform's
own affair and stays in the event.
"""

from __future__ import annotations

import re
from typing import Final

from api.messages import Language, Text
from api.plain_text import plain
from domain.tasks.events import Reason

FAILURES: Final[dict[Reason, Text]] = {
    "user_error": Text(
        "任务的输入或配置有误，请修正后另建任务",
        "The task's input or configuration is wrong: correct it and create another task",
    ),
    "timeout": Text(
        "任务运行超过了时限，请缩小输入或放宽 config.timeout_seconds 后另建任务",
        "The task ran longer than its time limit: create another one with a smaller input or"
        " a longer config.timeout_seconds",
    ),
    "out_of_memory": Text(
        "任务所需的内存超出限制，请缩小输入后另建任务",
        "The task needed more memory than it may have: create another one with a smaller input",
    ),
    "output_quota": Text(
        "任务的输出超出限制，请减少输出后另建任务",
        "The task wrote more than it may: create another one that writes less",
    ),
    "agent_lost": Text(
        "运行任务的服务器失联，平台不再自动重试，本次不收费，请重新运行",
        "The task's server went away and the platform gave it up, free of charge: run it again",
    ),
    "gpu_error": Text(
        "服务器的 GPU 发生故障，平台不再自动重试，本次不收费，请重新运行",
        "The server's GPU failed and the platform gave the task up, free of charge:"
        " run it again",
    ),
    "agent_refused": Text(
        "没有服务器接受此任务，本次不收费，请稍后重新运行，或联系管理员",
        "No server took the task on, free of charge: run it again later,"
        " or ask an administrator",
    ),
    "internal": Text(
        "平台内部错误，任务未能完成，本次不收费，请重新运行，若仍失败请把任务编号告诉管理员",
        "The platform failed, free of charge: run the task again, and tell an administrator"
        " its id if that fails too",
    ),
    "balance_exhausted": Text(
        "余额已用完，任务已被停止，请充值后重新运行",
        "The balance was used up and the task was stopped: recharge, then run it again",
    ),
    "cancelled_by_user": Text(
        "任务由其用户取消，如仍需要请重新运行",
        "Its user cancelled the task: run it again if it is still wanted",
    ),
    "cancelled_by_admin": Text(
        "任务被管理员取消，请向管理员了解原因",
        "An administrator cancelled the task: ask one why",
    ),
}
_TOLD: Final[frozenset[Reason]] = frozenset({"user_error", "out_of_memory", "output_quota"})
"""Where what a program said says more than the reason does, of the user's own input."""
_NO_SUCH_HOST: Final = re.compile(r"^(\S+): (\S+) cannot be found$")
"""What an agent says of an address whose name there is not: the commonest mistake of all."""
_ASIDE: Final = Text("（{detail}）", " ({detail})")


def failure(reason: Reason, detail: str, language: Language) -> str:
    """The sentence for ``reason``; ``detail`` is what the failing program said."""
    sentence = FAILURES[reason].in_language(language)
    if told := told_of(reason, detail):
        if language == "zh":
            told = _NO_SUCH_HOST.sub(r"\1：找不到主机 \2，请检查网址", told)
        return sentence + _ASIDE.in_language(language, detail=told)
    return sentence


def told_of(reason: Reason, detail: str) -> str:
    """What is told of what the failing program said; nothing where it is the platform's own."""
    return plain(detail).strip() if reason in _TOLD else ""
