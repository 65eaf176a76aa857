"""Every sentence a client can be told, in Chinese and English. Codes are never translated.

One table per kind: ``ERRORS`` by error code, ``DENIED`` by the policy of a route, ``REASONS``
by a refusal's own reason, ``FAULTS`` by what is wrong with a field. Source: the published
contract, chapter 错误处理.
Long because a table: all that is said stands in one place, to be read in one voice.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any, Final, Literal, NamedTuple

from msgspec import Struct

Language = Literal["zh", "en"]


class Text(NamedTuple):
    """One sentence in both languages."""

    zh: str
    en: str

    def in_language(self, language: Language, /, **values: Any) -> str:
        """The sentence, its ``{placeholders}`` filled in."""
        text = self.zh if language == "zh" else self.en
        return text.format_map(values) if values else text

    def filled(self, **values: Any) -> Text:
        """With its ``{placeholders}`` filled in."""
        return Text(self.zh.format_map(values), self.en.format_map(values))


class Fault(Struct, frozen=True):
    """What is wrong with a field: a key of ``FAULTS`` and what fills its placeholders."""

    kind: str
    values: dict[str, Any] = {}


OK: Final = Text("操作成功", "OK")

COMPRESSED: Final = Text(
    "请求体不能压缩，请去掉 Content-Encoding 后重试",
    "A compressed body is not taken: send it without Content-Encoding",
)

NO_SUCH_ADDRESS: Final = Text(
    "资源不存在，请检查地址或编号；全部接口见 /docs",
    "Not found: check the address or the id; /docs shows every address",
)

NOT_ASCII: Final = Text(
    "地址中有未编码的非 ASCII 字符，请按 UTF-8 做百分号编码后重试，"
    "例如 ?search=%E9%98%9F%E5%88%97",
    "The address has characters beyond ASCII: percent-encode them as UTF-8,"
    " such as ?search=%E9%98%9F%E5%88%97",
)

BEHIND: Final = Text(
    "读模型还没有读到 Owl-Min-Position 的位置：请稍后重试；新版本部署期间可能要等到重建完成，"
    "不带该请求头可读到已有的数据",
    "The read models have not come to Owl-Min-Position: try again in a moment; while a new"
    " version's rows are being built it takes until they are, and without the header you read"
    " what there is",
)

ERRORS: Final[dict[str, Text]] = {
    "INVALID_CREDENTIALS": Text(
        "无效的认证凭据，请重新登录", "Invalid credentials: log in again"
    ),
    "ACCESS_DENIED": Text(
        "访问被拒绝：当前角色没有此权限，请联系管理员",
        "Access denied: your role may not do this, so ask an administrator",
    ),
    "RESOURCE_NOT_FOUND": Text(
        "资源不存在，请检查地址或编号", "Not found: check the address or the id"
    ),
    "VALIDATION_ERROR": Text(
        "请求参数验证失败",
        "The request is not valid: correct the fields in details.field_errors",
    ),
    "INSUFFICIENT_BALANCE": Text(
        "余额不足，请先充值，或填写更短的 estimated_duration："
        "任务按其冻结费用，结束后退还未用部分",
        "Insufficient balance: recharge, or give a shorter estimated_duration; its price is"
        " held, and what is unused comes back",
    ),
    "TASK_LIMIT_EXCEEDED": Text(
        "任务数量超限，请等待已有任务结束", "Too many open tasks: wait for one to end"
    ),
    "SERVER_UNAVAILABLE": Text(
        "服务器暂时不可用，请稍后重试", "Unavailable for the moment: try again soon"
    ),
    "INTERNAL_ERROR": Text(
        "服务器内部错误，请把请求编号告诉管理员",
        "Internal error: tell an administrator the request id",
    ),
    "CONFLICT": Text("请求与当前数据冲突，请刷新后重试", "Conflict: reload and try again"),
    "INVALID_STATE": Text(
        "当前状态不允许此操作，请刷新后再看",
        "Not possible in the present state: reload and look again",
    ),
    "EMAIL_TAKEN": Text(
        "该邮箱已被注册，请直接登录或换一个邮箱",
        "This e-mail address is already registered: log in, or take another one",
    ),
    "USERNAME_TAKEN": Text(
        "该用户名已被使用，请换一个",
        "This username is already in use: choose another one",
    ),
    "CODE_EXPIRED": Text(
        "充值码已过期，请换一个",
        "The recharge code has expired: use another one",
    ),
    "CODE_EXHAUSTED": Text(
        "充值码已被用完，请换一个",
        "The recharge code has been used up: use another one",
    ),
    "CODE_REVOKED": Text(
        "充值码已被作废，请换一个",
        "The recharge code was revoked: use another one",
    ),
    "CODE_ALREADY_REDEEMED": Text(
        "您已使用过该充值码，请换一个",
        "You have redeemed this recharge code before: use another one",
    ),
    "RATE_LIMITED": Text(
        "请求过于频繁，请稍后重试",
        "Too many requests: wait, then try again",
    ),
    "PAYLOAD_TOO_LARGE": Text(
        "请求体过大，请缩减到 256 KiB 以内",
        "The request body is too large: keep it within 256 KiB",
    ),
    "UNSUPPORTED_MEDIA_TYPE": Text(
        "请求体类型不受支持，请使用 application/json",
        "Unsupported media type: send application/json",
    ),
    "METHOD_NOT_ALLOWED": Text(
        "该地址不支持此请求方法，请改用响应头 Allow 列出的方法",
        "This address does not take this method: use one that the Allow header names",
    ),
    "IDEMPOTENCY_MISMATCH": Text(
        "该 Idempotency-Key 已用于另一个请求，请换用新的",
        "This Idempotency-Key was used for another request: take a new one",
    ),
    "BAD_REQUEST": Text(
        "请求无法识别，请检查 HTTP 格式后重试",
        "The request cannot be understood: check that it is well-formed HTTP",
    ),
}

DENIED: Final[dict[str, Text]] = {
    "MEMBER": Text(
        "访问被拒绝：此操作仅限用户和管理员，审计员只能查看，请换用其他身份登录",
        "Access denied: this is for users and administrators, and an auditor only reads:"
        " log in as another",
    ),
    "READER": Text(
        "访问被拒绝：此操作仅限管理员和审计员，请联系管理员",
        "Access denied: this is for administrators and auditors, so ask one",
    ),
    "ADMIN": Text(
        "访问被拒绝：此操作仅限管理员，请联系管理员",
        "Access denied: this is for administrators, so ask one",
    ),
    "SUPER_ADMIN": Text(
        "访问被拒绝：此操作仅限超级管理员，请联系超级管理员",
        "Access denied: this is for super administrators, so ask one",
    ),
}
"""By the policy that refused, whose it is."""

REASONS: Final[dict[str, Text]] = {
    "the user is inactive": Text(
        "该用户已被停用，请联系管理员",
        "The user is inactive: ask an administrator",
    ),
    "the task has ended": Text(
        "任务已经结束，请刷新查看结果",
        "The task has ended: reload to see its result",
    ),
    "the enrolment token is wrong, used or too old": Text(
        "注册令牌无效、已用过或已过期，请管理员重新签发（owl gpu enroll）",
        "The enrolment token is wrong, used or too old:"
        " ask an administrator for a new one (owl gpu enroll)",
    ),
    "only a failed or cancelled task can be run again": Text(
        "只有失败或已取消的任务可以重新运行，请另建任务或先取消",
        "Only a failed or cancelled task can be run again: create another, or cancel it first",
    ),
    "a running task cannot be deleted: cancel it first": Text(
        "运行中的任务不能删除，请先取消", "A running task cannot be deleted: cancel it first"
    ),
    "tasks still run on the server: drain it first": Text(
        "服务器上仍有任务在运行，请先排空",
        "Tasks still run on the server: drain it first",
    ),
    "the balance cannot fall below what is held for open tasks": Text(
        "余额不能低于未完成任务的冻结金额，请调高金额或先取消任务",
        "The balance cannot fall below what is held for open tasks: raise it, or cancel them",
    ),
    "no such recharge code": Text(
        "充值码不存在，请核对后重新输入",
        "No such recharge code: check it and enter it again",
    ),
    "the code is used up": Text(
        "充值码已被用完，无需作废，请刷新查看",
        "The recharge code is used up, so there is nothing to revoke: reload to see it",
    ),
    "another change of keys came first": Text(
        "日志密钥刚刚被另一次操作更换，请查看后重试",
        "Another change of keys came first: look again, then try again",
    ),
    "the farm no longer runs this type": Text(
        "平台已不再提供该任务类型，请换一种类型另建任务",
        "The farm no longer runs this type of task: create one of another type",
    ),
    "an admin cannot demote or deactivate themselves": Text(
        "管理员不能给自己降级或停用自己，请让另一位管理员操作",
        "An admin cannot demote or deactivate themselves: ask another admin",
    ),
    "only a super admin makes or changes a super admin": Text(
        "只有超级管理员可以任命或修改超级管理员，请联系超级管理员",
        "Only a super admin makes or changes a super admin: ask one",
    ),
    "only an active admin changes users": Text(
        "只有在用的管理员可以修改用户，请重新登录",
        "Only an active admin changes users: log in again",
    ),
    "the last active admin stays": Text(
        "不能降级或停用最后一位管理员，请先任命另一位",
        "The last active admin stays: appoint another one first",
    ),
    "too many wrong tries": Text(
        "错误次数过多，请 {retry_after_s} 秒后再试",
        "Too many wrong tries: wait {retry_after_s} s, then try again",
    ),
    "too many registrations": Text(
        "注册过于频繁，请 {retry_after_s} 秒后再试",
        "Too many accounts are being opened: wait {retry_after_s} s, then try again",
    ),
    "too many at once": Text(
        "同时进行的同类请求过多，请等待前面的请求完成后再试",
        "Too many of these requests at once: wait until the earlier ones are answered",
    ),
    "no event there": Text(
        "没有这个事件，请用 GET /api/audit/events?order=desc&limit=1 查看最新的位置",
        "No such event: GET /api/audit/events?order=desc&limit=1 shows the newest position",
    ),
    "the password was changed since it was checked": Text(
        "密码刚刚被修改，请重新登录", "The password was just changed: log in again"
    ),
    "the user administers the platform: take the role away first": Text(
        "该用户是管理员，请先撤销其角色",
        "The user administers the platform: take the role away first",
    ),
    "the user has open tasks: cancel them first": Text(
        "该用户还有未完成的任务，请先取消", "The user has open tasks: cancel them first"
    ),
    "the platform is in maintenance": Text(
        "系统维护中，暂停新的操作，请稍后再试；查询和取消任务不受影响",
        "Under maintenance: try again later; reading and cancelling tasks go on",
    ),
    "the user was erased": Text(
        "该用户的个人数据已被清除，请选择其他用户",
        "The user was erased: choose another one",
    ),
    "the task is not open": Text(
        "任务已经结束，请刷新查看结果",
        "The task has ended: reload to see its result",
    ),
}

FAULTS: Final[dict[str, Text]] = {
    "missing": Text(
        "请填写{label}",
        "{label} is required: give it",
    ),
    "unknown": Text("未知字段，请删除", "Unknown field: remove it"),
    "duplicate": Text(
        "字段重复出现，请只保留一个",
        "The field is given twice: keep one",
    ),
    "unknown_parameter": Text(
        "未知的查询参数，请删除；此处可用：{taken}",
        "Unknown query parameter: remove it; taken here: {taken}",
    ),
    "no_parameters": Text(
        "此处不接受查询参数，请删除", "No query parameter is taken here: remove it"
    ),
    "repeated_parameter": Text(
        "查询参数重复出现，请只保留一个",
        "The query parameter is given twice: keep one",
    ),
    "want_str": Text("{label}必须是字符串", "{label} must be a string"),
    "want_int": Text("{label}必须是整数", "{label} must be an integer"),
    "want_float": Text("{label}必须是数字", "{label} must be a number"),
    "want_bool": Text("{label}必须是 true 或 false", "{label} must be true or false"),
    "want_object": Text("{label}必须是对象", "{label} must be an object"),
    "want_array": Text("{label}必须是数组", "{label} must be an array"),
    "too_short": Text(
        "{label}长度至少{limit}位", "{label} must be at least {limit} characters long"
    ),
    "too_long": Text(
        "{label}长度不能超过{limit}位", "{label} must be at most {limit} characters long"
    ),
    "too_few": Text("{label}至少要有{limit}项", "{label} must have at least {limit} items"),
    "too_many": Text("{label}最多{limit}项", "{label} must have at most {limit} items"),
    "format": Text(
        "{label}格式不正确",
        "{label} is not in the right format: check it",
    ),
    "like": Text(
        "{label}格式不正确，应为例如 {example} 的形式",
        "{label} is not in the right format: write it like {example}",
    ),
    "no_tag": Text(
        "没有事件标签符合 {tag}，请更正，例如 {meant}",
        "No event has the tag {tag}: correct it, for example to {meant}",
    ),
    "moment": Text(
        "{label}必须是位置、日期或带时区的 RFC 3339 时间，例如 1042、2024-12-31"
        " 或 2024-12-31T23:59:59Z",
        "{label} must be a position, a date or an RFC 3339 time with its zone, such as 1042,"
        " 2024-12-31 or 2024-12-31T23:59:59Z",
    ),
    "at_least": Text("{label}不能小于{limit}", "{label} must not be less than {limit}"),
    "at_most": Text("{label}不能大于{limit}", "{label} must not be greater than {limit}"),
    "above": Text("{label}必须大于{limit}", "{label} must be greater than {limit}"),
    "below": Text("{label}必须小于{limit}", "{label} must be less than {limit}"),
    "multiple": Text("{label}必须是{limit}的倍数", "{label} must be a multiple of {limit}"),
    "choice": Text("{label}取值无效，可选：{choices}", "{label} must be one of: {choices}"),
    "time": Text(
        "{label}必须是 RFC 3339 时间，例如 2024-12-31T23:59:59Z",
        "{label} must be an RFC 3339 time such as 2024-12-31T23:59:59Z",
    ),
    "year": Text(
        "{label}的年份必须在 2000 到 2100 之间",
        "The year of {label} must be between 2000 and 2100",
    ),
    "before_start": Text(
        "{label}不能早于开始日期", "{label} must not be before the start date"
    ),
    "too_many_events": Text(
        "范围过大，最多 {limit} 个事件，请缩小或指定 entity",
        "The stretch is too long: at most {limit} events; narrow it, or give an entity",
    ),
    "too_many_days": Text(
        "时间范围过长，最多 {limit} 天，请分几次下载",
        "The span is too long: download it in parts of at most {limit} days",
    ),
    "date_or_span": Text(
        "date 与 start_date、end_date 只能选择其一",
        "Give either date, or start_date and end_date",
    ),
    "other_log": Text(
        "{label}仅适用于 log_type={log_type}，请删除",
        "{label} is only for log_type={log_type}: remove it",
    ),
    "past": Text("{label}必须是将来的时间", "{label} must be in the future"),
    "date": Text(
        "{label}必须是日期，例如 2024-01-31", "{label} must be a date such as 2024-01-31"
    ),
    "uuid": Text(
        "{label}必须是带连字符的 UUID，例如 01a20370-b0be-7122-8728-d9e4135c8227",
        "{label} must be a UUID with its dashes, like 01a20370-b0be-7122-8728-d9e4135c8227",
    ),
    "user_or_all": Text(
        "{label}必须是用户的 UUID 或 all", "{label} must be a user's UUID, or all"
    ),
    "number_range": Text(
        "{label}数值超出范围，请改用较小的数",
        "{label} is out of range: use a smaller number",
    ),
    "amount": Text(
        "{label}必须在 {least} 到 {most} 之间，最多两位小数",
        "{label} must be between {least} and {most} with at most two decimals",
    ),
    "batch_total": Text(
        "一批充值码最多可兑出 {limit} 元（金额 × 数量 × 每码可用人数），请减小其中一项",
        "The codes of one request may pay out {limit} yuan together (amount × codes × users of"
        " each): lower one of these",
    ),
    "username": Text(
        "用户名只能包含字母、数字、下划线、点和连字符，长度 3 到 50 位",
        "A username has 3 to 50 letters, digits, underscores, dots and hyphens",
    ),
    "reserved": Text(
        "该用户名为平台保留，请换一个", "This username is reserved: choose another one"
    ),
    "mixed_scripts": Text(
        "{label}不能混用外形相似的不同文字（如拉丁字母和西里尔字母），请只用一种",
        "{label} mixes scripts that look alike, such as Latin and Cyrillic: use one of them",
    ),
    "blank": Text(
        "{label}不能只有空格或不可见字符，请填写内容",
        "{label} has nothing to see in it: write something, or leave it out",
    ),
    "characters": Text(
        "{label}含有控制字符或双向控制符，请删除",
        "{label} contains control or bidirectional characters: remove them",
    ),
    "url_form": Text(
        "{label}格式不正确，请填写不含空格和不可见字符的完整网址，例如 https://example.com/video.mp4",
        "{label} is no complete address without spaces and invisible characters:"
        " write it like https://example.com/video.mp4",
    ),
    "url_scheme": Text(
        "{label}必须是 https、http 或 file 地址",
        "{label} must be an https, http or file address",
    ),
    "url_credentials": Text(
        "{label}不能包含用户名或密码，请删除 @ 及之前的部分",
        "{label} must not hold a user or password: remove what stands up to the @",
    ),
    "url_port": Text(
        "{label}只能使用 80 或 443 端口，请更换端口",
        "{label} may use port 80 or 443 only: choose one of them",
    ),
    "url_host": Text(
        "{label}的主机名无效，请填写域名或规范的 IP 地址，非英文域名请写成 xn-- 形式",
        "The host of {label} is not valid: write a domain name (xn-- if not ASCII) or an IP"
        " address in its usual form",
    ),
    "url_address": Text(
        "{label}指向内网或本机，请使用公网可以访问的地址",
        "{label} leads into a private network: use an address on the public internet",
    ),
    "url_file": Text(
        "{label}必须指向服务器媒体目录内的文件，不能含有 ..，例如 file:clip.mp4",
        "{label} must name a file in the servers' media directory, without ..,"
        " like file:clip.mp4",
    ),
    "code": Text(
        "充值码格式不正确，应为 OWL-XXXX-XXXX-XXXX",
        "A recharge code looks like OWL-XXXX-XXXX-XXXX",
    ),
    "too_large": Text(
        "{label}过大，请缩减到 {limit} 字节以内",
        "{label} is too large: keep it within {limit} bytes",
    ),
    "too_deep": Text(
        "嵌套过深，请减少到 {limit} 层以内",
        "Nested too deep: keep it within {limit} levels",
    ),
    "body_empty": Text(
        "请求体不能为空，请发送 JSON 对象",
        "The request body is empty: send a JSON object",
    ),
    "body_malformed": Text(
        "请求体不是有效的 JSON，请检查格式",
        "The request body is not valid JSON: check its form",
    ),
    "body_encoding": Text(
        "请求体不是有效的 UTF-8，请改用 UTF-8 编码",
        "The request body is not valid UTF-8: encode it so",
    ),
    "body_object": Text("请求体必须是 JSON 对象", "The request body must be a JSON object"),
    "idempotency_key": Text(
        "Idempotency-Key 只能给出一个，由 1 到 255 个可见的 ASCII 字符组成，不含空格",
        "Give one Idempotency-Key of 1 to 255 visible ASCII characters without spaces",
    ),
    "query_encoding": Text(
        "查询参数不是有效的 UTF-8 或数量过多，请检查后重试",
        "The query is not valid UTF-8, or has too many parameters: check it",
    ),
    "same": Text(
        "新密码不能与当前密码相同", "The new password must differ from the current one"
    ),
    "longer_than": Text("{label}必须大于 {other}", "{label} must be longer than {other}"),
    "task_types": Text(
        "任务类型只能包含小写字母、数字和下划线，并以字母开头",
        "A task type has lower-case letters, digits and underscores, a letter first",
    ),
    "no_price_left": Text(
        "至少保留一种任务类型的价格，否则无法提交任务",
        "Keep the price of one type of task at least: without it no task can be submitted",
    ),
    "nothing": Text("请至少填写一个字段", "Give at least one field"),
    "invalid": Text(
        "{label}无效，请参照接口文档修改",
        "{label} is not valid: see the API's description",
    ),
}

LABELS: Final[dict[str, Text]] = {
    "email": Text("邮箱", "The e-mail address"),
    "password": Text("密码", "The password"),
    "current_password": Text("当前密码", "The current password"),
    "new_password": Text("新密码", "The new password"),
    "username": Text("用户名", "The username"),
    "full_name": Text("姓名", "The full name"),
    "title": Text("标题", "The title"),
    "description": Text("描述", "The description"),
    "task_type": Text("任务类型", "The task type"),
    "priority": Text("优先级", "The priority"),
    "estimated_duration": Text("预计时长（分钟）", "The estimated duration in minutes"),
    "config": Text("任务配置", "The task's config"),
    "config.video_url": Text("视频地址", "The video address"),
    "config.analysis_type": Text("分析类型", "The analysis type"),
    "config.timeout_seconds": Text("超时秒数", "The timeout"),
    "amount": Text("金额", "The amount"),
    "balance": Text("余额", "The balance"),
    "batch_size": Text("生成数量", "The batch size"),
    "max_uses": Text("可用次数", "The number of uses"),
    "expires_at": Text("过期时间", "The expiry time"),
    "code": Text("充值码", "The recharge code"),
    "page": Text("页码", "The page"),
    "page_size": Text("每页数量", "The page size"),
    "status": Text("状态", "The status"),
    "sort_by": Text("排序字段", "The sort field"),
    "sort_order": Text("排序方向", "The sort order"),
    "name": Text("名称", "The name"),
    "max_concurrent_tasks": Text("最大并发任务数", "The number of concurrent tasks"),
    "token": Text("注册令牌", "The enrolment token"),
    "public_key": Text("公钥", "The public key"),
    "user_id": Text("用户编号", "The user id"),
    "role": Text("角色", "The role"),
    "task_id": Text("任务编号", "The task id"),
    "level": Text("日志级别", "The level"),
    "log_type": Text("日志类型", "The log type"),
    "date": Text("日期", "The date"),
    "search": Text("搜索关键词", "The search text"),
    "start_date": Text("开始日期", "The start date"),
    "end_date": Text("结束日期", "The end date"),
    "is_active": Text("启用状态", "The activity"),
    "reason": Text("原因", "The reason"),
    "max_concurrent_tasks_per_user": Text("每位用户的任务上限", "The task limit per user"),
    "default_task_timeout": Text("默认任务超时（秒）", "The default task timeout"),
    "maintenance_mode": Text("维护模式", "The maintenance mode"),
    "prices_per_minute": Text("每分钟价格", "Each price per minute"),
    "body": Text("请求体", "The body"),
}
"""What a field is called in a sentence; others go by their own name."""


def sentence(field: str, fault: Fault, language: Language) -> str:
    """What to tell the client about one field."""
    label = LABELS.get(field)
    shown = label.in_language(language) if label else field
    return FAULTS[fault.kind].in_language(language, label=shown, **fault.values)


@lru_cache(maxsize=256)
def language_of(accept_language: str) -> Language:
    """The language to answer in: English only when it is wanted more than Chinese."""
    wanted: dict[str, float] = {}
    for part in accept_language.split(","):
        tag, _, quality = part.strip().partition(";q=")
        primary = tag.strip().lower().partition("-")[0]
        try:
            weight = float(quality) if quality else 1.0
        except ValueError:
            weight = 0.0
        wanted[primary] = max(weight, wanted.get(primary, 0.0))
    chinese = wanted.get("zh", wanted.get("*", 0.0))
    return "en" if wanted.get("en", 0.0) > chinese else "zh"
