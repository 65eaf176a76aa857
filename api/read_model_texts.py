"""Why an act on a read model was not possible, in words: what is so, and what to do.

The command line says it in English, the API in the reader's language.
"""

from __future__ import annotations

from typing import Final

from api.messages import Text
from projections.not_possible import NotPossible, Why

WHY_NOT: Final[dict[Why, Text]] = {
    "being_rebuilt": Text(
        "{name} 正在重建或核对中，请等待其结束，或先 owl projections pause {name}",
        "{name} is being built or compared just now: wait, or owl projections pause {name}",
    ),
    "nothing_beside": Text(
        "{name} 只有第 {live} 代，没有可比较的；"
        "先 owl projections rebuild {name} --switch manual 从日志另建一代，再核对",
        "of {name} only generation {live} is there, so there is nothing to compare it with:"
        " owl projections rebuild {name} --switch manual builds another from the log",
    ),
    "nothing_built": Text(
        "查询看到的已是 {name} 的第 {live} 代，没有另建的；"
        "owl projections rebuild {name} 可重建并切换",
        "queries see generation {live} of {name} already and nothing else is built:"
        " owl projections rebuild {name} builds another and switches to it",
    ),
    "shown_already": Text(
        "查询看到的已是 {name} 的第 {live} 代，没有新建的；"
        "owl projections rollback {name} 可切到保留的第 {kept} 代，"
        "owl projections rebuild {name} 可重建",
        "queries see generation {live} of {name} already and nothing newer is built:"
        " owl projections rollback {name} takes them to generation {kept}, which is kept;"
        " owl projections rebuild {name} builds another",
    ),
    "not_built_to_its_end": Text(
        "{name} 的第 {other} 代只建到 {percent} %；owl projections resume {name} 继续",
        "generation {other} of {name} is built to {percent} % only:"
        " owl projections resume {name} goes on with it",
    ),
    "built_by_other_folds": Text(
        "{name} 的第 {other} 代由另一版本的程序所建，请用那一版本操作，"
        "或 owl projections rebuild {name} 用本版本重建",
        "generation {other} of {name} was built by another version: use that version's program,"
        " or owl projections rebuild {name} to build by this one's",
    ),
    "nobody_feeds": Text(
        "运行中的程序都没有本版本的算法，{name} 切换后将无人更新、停在原处："
        "请先启动本版本的 owl work；若仍要如此，可执行 owl projections switch {name} --unfed"
        " 或 owl projections rebuild {name} --unfed",
        "no program that runs has this version's folds of {name}, so its rows would stand still"
        " once queries see them: start owl work of this version first; owl projections switch"
        " {name} --unfed, or owl projections rebuild {name} --unfed, does it all the same",
    ),
    "live_lags": Text(
        "{name} 的在用数据落后于新建的一代；请看 owl projections status {name}，赶上后再核对",
        "the live rows of {name} are behind what was built:"
        " look at owl projections status {name}, and compare when they have caught up",
    ),
    "kept_lags": Text(
        "{name} 保留的一代没有跟上；请看 owl projections status {name}，赶上后再核对",
        "the generation of {name} that is kept does not keep up:"
        " look at owl projections status {name}, and compare when it has caught up",
    ),
    "nothing_kept": Text(
        "{name} 只有第 {live} 代，没有保留可退回的；"
        "owl projections rebuild {name} 可从日志重建",
        "of {name} only generation {live} is there and none is kept to go back to:"
        " owl projections rebuild {name} builds its rows anew",
    ),
    "kept_is_behind": Text(
        "{name} 保留的第 {kept} 代停在位置 {at}，而查询已见到 {seen}，没有程序在更新它："
        "它由另一版本的程序所建；请启动那一版本并用其程序退回，或重建",
        "generation {kept} of {name} stands at position {at} and queries have seen {seen}; it"
        " was made by other folds and no program that runs has them: start the version that"
        " has, and roll back with its program; or rebuild",
    ),
    "kept_has_stopped": Text(
        "{name} 保留的第 {kept} 代停在位置 {at}，而查询已见到 {seen}；"
        "请看 owl projections status {name}，修复后 owl projections resume {name}",
        "generation {kept} of {name} has stopped at position {at} and queries have seen {seen}:"
        " see owl projections status {name}; mended, owl projections resume {name}",
    ),
    "kept_has_other_tables": Text(
        "{name} 保留的第 {kept} 代有别的表，由另一版本的程序所建；请用那一版本的程序退回",
        "generation {kept} of {name} has other tables, since another version made it:"
        " roll back with that version's program",
    ),
    "kept_is_unfed": Text(
        "{name} 保留的第 {kept} 代由另一版本的程序所建，运行中的程序都没有其算法，"
        "退回后将无人更新、停在原处：请先启动那一版本的 owl work；若仍要退回，可执行"
        " owl projections rollback {name} --unfed",
        "generation {kept} of {name} was made by other folds and no program that runs has them,"
        " so its rows would stand still once queries see them: start owl work of the version"
        " that has them first; owl projections rollback {name} --unfed goes back all the same",
    ),
    "kept_is_read": Text(
        "{name} 保留的一代正被长时间读取（如 verify、diff 或重建后的比较），没有删除；"
        "请在其结束后再试",
        "what is kept of {name} is being read for long, by verify, diff or the comparison after"
        " a rebuild, and nothing was dropped: try again when that has ended",
    ),
    "nothing_at_work": Text(
        "{name} 没有正在进行的重建，无可暂停",
        "no rebuild of {name} is at work: nothing to pause",
    ),
    "nothing_being_built": Text(
        "{name} 没有正在建或建好待切换的，无可取消",
        "nothing of {name} is being built or waits: nothing to cancel",
    ),
    "not_stopped": Text(
        "{name} 没有停下，也没有等待继续的重建",
        "{name} has not stopped, and no rebuild of it waits: nothing to resume",
    ),
}


def why_not(error: NotPossible) -> Text:
    """The sentence."""
    about = {"name": error.read_model, **error.about}
    return Text(*(text.format_map(about) for text in WHY_NOT[error.why]))
