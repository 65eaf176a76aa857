"""What every field of the API means, with its unit and an example.

Long because it is a table.

A name means the same wherever it stands; where it does not, ``Struct.name`` says what it means
there. Fields that carry their own description in their struct are not repeated here.
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple


class FieldText(NamedTuple):
    """A field in both languages, and how a value of it looks."""

    zh: str
    en: str
    example: Any = None


_ID: Final = "01a20370-b0be-7122-8728-d9e4135c8227"
_TIME: Final = "2024-01-15T10:30:00Z"
_EVENT_ID: Final = f"{_ID}/3"
_DIGEST: Final = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"
_HASH: Final = "CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I="

F = FieldText
FIELDS: Final[dict[str, FieldText]] = {
    # ── identity ──────────────────────────────────────────────────────────────────────────────
    "id": F("编号", "The id.", _ID),
    "user_id": F("用户编号", "The user's id.", _ID),
    "task_id": F("任务编号", "The task's id.", _ID),
    "server_id": F("服务器编号", "The server's id.", _ID),
    "batch_id": F("批次编号", "The id of the batch that the code belongs to.", _ID),
    "recharge_record_id": F("充值记录编号", "The id of the redemption.", _ID),
    "gpu_server_id": F(
        "运行任务的服务器编号，未分配时为空",
        "The server that runs or ran the task; null before it has one.",
        _ID,
    ),
    "event_id": F("事件编号：流/版本", "The event's stream and version in its log.", _EVENT_ID),
    "position": F("事件在日志中的位置", "Where the event stands in its log.", 1042),
    "request_id": F(
        "请求编号，即 X-Request-ID",
        "The request that caused it, its X-Request-ID.",
        "req-7f3a9c21",
    ),
    # ── people ────────────────────────────────────────────────────────────────────────────────
    "email": F(
        "邮箱，不区分大小写", "The e-mail address; case does not matter.", "user@example.com"
    ),
    "username": F("用户名", "The username.", "newuser"),
    "full_name": F("姓名", "What the person is called.", "新用户"),
    "role": F("角色", "What the user may do.", "user"),
    "is_active": F("是否启用", "Whether the user may log in.", True),
    "last_login": F("最近登录时间", "When the user last logged in; null before that.", _TIME),
    "access_token": F(
        "令牌，放入 Authorization 请求头", "The token for the Authorization header.", "eyJ…"
    ),
    "token_type": F("令牌类型，固定为 bearer", "Always `bearer`.", "bearer"),
    "expires_in": F("令牌有效期，单位秒", "Seconds that the token is good for.", 1800),
    "user": F("令牌属于谁", "Whose token it is."),
    # ── money, in yuan ────────────────────────────────────────────────────────────────────────
    "balance": F(
        "余额，单位元，含冻结金额", "Yuan not yet settled, what is held included.", 100.5
    ),
    "held_balance": F("冻结金额，单位元", "Yuan held for open tasks.", 31.5),
    "available_balance": F(
        "可用余额，单位元", "Yuan that may be spent: balance less holds.", 69.0
    ),
    "current_balance": F("当前余额，单位元", "Yuan not yet settled, holds included.", 100.5),
    "new_balance": F("充值后的余额，单位元", "Yuan of balance after the recharge.", 250.0),
    "amount": F("金额，单位元", "Yuan.", 100.0),
    "total_amount": F("总金额，单位元", "Yuan of all codes together.", 1000.0),
    "cost": F("费用，单位元，运行中实时累计", "Yuan; grows live while the task runs.", 5.25),
    "AttemptItem.cost": F("该次运行的费用，单位元", "Yuan that this attempt cost.", 5.25),
    "hold": F("为任务冻结的金额，单位元", "Yuan held for the task.", 31.5),
    "price_per_minute": F(
        "提交时锁定的每分钟价格，单位元", "Yuan per minute, frozen at submit.", 1.05
    ),
    "total_cost": F("累计费用，单位元", "Yuan charged in all.", 150.75),
    "total_revenue": F(
        "已结算收入，单位元，已扣退款", "Yuan charged for tasks, net of refunds.", 25680.5
    ),
    "total_recharged": F("累计充值，单位元", "Yuan that came in by codes.", 30000.0),
    "total_granted": F(
        "累计人工调整，单位元", "Yuan that admins gave, less what they took.", 120.0
    ),
    "outstanding_balance": F(
        "用户尚可使用的金额，单位元", "Yuan that users may still use, holds included.", 4439.5
    ),
    # ── recharge codes ────────────────────────────────────────────────────────────────────────
    "code": F("充值码", "The recharge code.", "OWL-ABCD-2345-EFGH"),
    "RedeemRequest.code": F(
        "充值码，不区分大小写，可省略连字符",
        "The code, in any case, dashes optional.",
        "OWL-ABCD-1234-EFGH",
    ),
    "CodeItem.code": F("充值码（打码）", "The code, masked.", "OWL-ABCD-****-****"),
    "RecordItem.code": F("充值码（打码）", "The code, masked.", "OWL-ABCD-****-****"),
    "codes": F("新生成的充值码", "The new codes."),
    "total_generated": F("生成数量", "How many codes there are.", 10),
    "max_uses": F("最多可由多少位用户使用", "How many users may redeem it.", 1),
    "used_count": F("已使用次数", "How many users have redeemed it.", 0),
    "expires_at": F("过期时间，空为永不过期", "When it expires; null for never.", _TIME),
    "created_by": F("创建者", "Who made it, as kind and id.", f"admin:{_ID}"),
    "last_used_at": F("最近使用时间", "When it was last redeemed.", _TIME),
    # ── tasks ─────────────────────────────────────────────────────────────────────────────────
    "title": F("任务标题", "The task's title.", "视频分析任务"),
    "description": F("描述", "Free text.", "分析视频内容"),
    "task_type": F("任务类型", "The type of task, one of those enabled.", "video_analysis"),
    "priority": F("优先级 1 到 5，越大越先运行", "1 to 5; higher goes first.", 2),
    "estimated_duration": F(
        "预计时长，单位分钟；按其冻结费用，未填按平台默认值（10），结束后退还未用部分",
        "Minutes, an estimate. Its price is held (without it, that of the platform's default,"
        " 10), and what is unused comes back at the end.",
        30,
    ),
    "config": F(
        "任务配置，随任务类型而定",
        "What the type of task takes.",
        {"video_url": "https://example.com/video.mp4", "analysis_type": "content"},
    ),
    "result": F(
        "任务结果，完成前为空对象", "What came out; empty before the end.", {"scenes": 3}
    ),
    "status": F("状态", "The status.", "completed"),
    "phase": F("更细的状态", "The status in more detail.", "completed"),
    "reason": F("未成功的原因", "Why it was not successful; null else."),
    "fault": F("责任方", "Whose fault it was; null when there is none."),
    "GpuItem.fault": F(
        "故障，正常时为空", "What is wrong with it; null while it is well.", "xid 79"
    ),
    "progress": F("进度，0 到 100", "Percent done.", 45.5),
    "attempt": F("第几次运行", "The number of the attempt, from 1.", 1),
    "attempts": F("各次运行", "Every attempt, the oldest first."),
    "outcome": F("运行结局，进行中为空", "How it ended; null while it lasts.", "completed"),
    "run_seconds": F("实际运行时长，单位秒", "Seconds really run.", 300.0),
    "error_message": F(
        "错误信息",
        "Of a task that failed: what is wrong and what to do, in one sentence; null else.",
        "任务的输入或配置有误，请修正后另建任务（no such video）",
    ),
    "pending_reason": F("为何等待", "Why it waits; null when it does not."),
    "queue_position": F("排队位置，从 1 开始", "The place in the queue, from 1.", 3),
    "eta": F("预计完成时间", "When it is expected to end; null when unknown.", _TIME),
    "timeout_seconds": F("超时，单位秒", "Seconds after which it is killed.", 3600),
    "artifacts": F("任务产物", "The files that the task made."),
    "ArtifactItem.name": F("文件名", "The file's name.", "thumbnail-01.jpg"),
    "size_bytes": F("大小，单位字节", "Bytes.", 20480),
    "sha256": F("内容的 SHA-256", "The SHA-256 of its bytes, in hex.", _DIGEST),
    "media_type": F("媒体类型", "Its media type.", "image/jpeg"),
    "url": F(
        "下载地址，相对于主机",
        "Where it is, relative to the host.",
        f"/api/tasks/{_ID}/artifacts/thumbnail-01.jpg",
    ),
    # ── times ─────────────────────────────────────────────────────────────────────────────────
    "created_at": F("创建时间", "When it was made.", _TIME),
    "updated_at": F("更新时间", "When it last changed.", _TIME),
    "assigned_at": F("分配时间", "When a server was chosen.", _TIME),
    "started_at": F("开始时间", "When it began to run; null before that.", _TIME),
    "ended_at": F("结束时间", "When it ended; null before that.", _TIME),
    "completed_at": F("结束时间", "When it ended, however; null before that.", _TIME),
    "timestamp": F("时间", "From when it is; null when there is nothing yet.", _TIME),
    "last_task_date": F("最近提交任务的时间", "When the last task was submitted.", _TIME),
    "last_heartbeat": F("最近心跳时间", "When it was last heard of.", _TIME),
    "registered_at": F("登记时间", "When it was registered.", _TIME),
    "enrolled_at": F("代理注册时间", "When its agent enrolled; null before that.", _TIME),
    "token_expires_at": F("注册令牌过期时间", "When the enrolment token dies.", _TIME),
    # ── counts ────────────────────────────────────────────────────────────────────────────────
    "total_tasks": F("任务总数，含已删除", "All tasks, deleted ones too.", 25),
    "pending_tasks": F("等待中的任务数", "Tasks that wait.", 3),
    "SystemItem.running_tasks": F("运行中的任务数", "Tasks that run.", 25),
    "completed_tasks": F("已完成的任务数", "Tasks that completed.", 20),
    "failed_tasks": F("失败的任务数", "Tasks that failed.", 2),
    "cancelled_tasks": F("已取消的任务数", "Tasks that were cancelled.", 1),
    "total_users": F("用户总数", "All users.", 1250),
    "active_users": F("启用的用户数", "Users who may log in.", 890),
    "total_gpu_servers": F("服务器总数", "All servers.", 3),
    "online_gpu_servers": F("在线服务器数", "Servers that are online.", 2),
    "total_servers": F("服务器总数", "All servers.", 3),
    "online_servers": F("在线服务器数", "Servers that are online.", 2),
    "offline_servers": F("离线服务器数", "Servers that are not online.", 1),
    "total_gpus": F("GPU 总数", "All GPUs.", 6),
    "busy_gpus": F("运行任务的 GPU 数", "GPUs on which a task runs.", 4),
    "idle_gpus": F("空闲的 GPU 数", "GPUs of online servers on which none runs.", 2),
    "total_running_tasks": F("运行中的任务数", "Tasks that run.", 5),
    "queue_length": F("等待中的任务数", "Tasks that wait.", 3),
    # ── servers ───────────────────────────────────────────────────────────────────────────────
    "name": F("名称", "The name.", "GPU-Server-01"),
    "GpuItem.name": F("GPU 型号", "The model.", "NVIDIA H200"),
    "GpuUsage.name": F("GPU 型号", "The model.", "NVIDIA H200"),
    "host": F(
        "主机名，仅管理员可见", "What the host calls itself; empty for users.", "gpu-01.lan"
    ),
    "hostname": F("主机名", "What the host calls itself.", "gpu-01.lan"),
    "ServerItem.status": F(
        "状态：在线、离线、维护（排空）或故障",
        "Online, offline, maintenance (drained) or error.",
        "online",
    ),
    "current_tasks": F("正在运行的任务数", "How many tasks it runs now.", 2),
    "max_concurrent_tasks": F("最大并发任务数", "How many tasks it may run at once.", 4),
    "gpu_count": F("GPU 数量", "How many GPUs it has.", 2),
    "gpus": F("各 GPU", "Its GPUs."),
    "gpu_usage": F("各 GPU 的用量", "Its GPUs now; empty when it is not online."),
    "running_tasks": F(
        "正在运行的任务，普通用户只看到自己的", "The tasks that run there; users see their own."
    ),
    "total_memory": F("显存总量，单位 GiB", "GiB of GPU memory.", 24.0),
    "used_memory": F(
        "已用显存，单位 GiB，用量未知时为空，没有 GPU 时为 0",
        "GiB of GPU memory in use; null while its figures are not shown or no GPU of it tells;"
        " 0 where it has none.",
        12.5,
    ),
    "ClusterItem.used_memory": F(
        "已用显存，单位 GiB，只计在线服务器",
        "GiB of GPU memory in use on online servers; 0 while none tells.",
        45.2,
    ),
    "memory_total": F("显存总量，单位 GiB", "GiB of memory.", 12.0),
    "memory_used": F("已用显存，单位 GiB", "GiB of memory in use.", 10.2),
    "cpu_usage": F("CPU 使用率，0 到 100", "Percent; null unless online.", 45.2),
    "memory_usage": F(
        "内存使用率，0 到 100", "Percent of host memory; null unless online.", 68.3
    ),
    "usage": F("GPU 使用率，0 到 100", "Percent; null when not available.", 85.5),
    "average_gpu_usage": F("在线 GPU 平均使用率", "Percent over all online GPUs.", 78.5),
    "temperature": F("温度，单位摄氏度", "Degrees Celsius.", 61.0),
    "power": F("功率，单位瓦", "Watts.", 310.0),
    "healthy": F("是否正常", "Whether it is well.", True),
    "gpu_id": F("GPU 序号", "Its index on its server.", 0),
    "uuid": F("GPU 的 UUID", "The driver's id for it.", "GPU-6f1c2a94"),
    "simulated": F("是否为模拟数据", "Whether it is made up, for want of a real GPU.", False),
    "agent_version": F(
        "代理版本，仅管理员可见", "The agent's version; empty for users.", "0.10.0"
    ),
    "enrolment_token": F(
        "一次性注册令牌，仅在此显示",
        "The single-use enrolment token, shown only here.",
        "owl_…",
    ),
    "token": F("注册令牌", "The enrolment token.", "owl_…"),
    "public_key": F("公钥", "The public key.", "U" + "A" * 55),
    "nats_urls": F("消息服务器地址", "Where the broker is.", ["nats://farm.example.com:4222"]),
    "changed": F("是否有变化", "Whether anything changed.", True),
    # ── logs ──────────────────────────────────────────────────────────────────────────────────
    "level": F("日志级别", "The level.", "INFO"),
    "message": F("一句话", "What a person reads.", "操作成功"),
    "source": F("来源：事件或任务输出", "An event of the platform, or the task's own output."),
    "actor": F("操作者", "Who did it, as kind and id.", f"user:{_ID}"),
    "event": F("事件标签", "The event's tag, or the line's name.", "tasks.task_submitted/2"),
    "action": F("操作的事件标签", "The event's tag.", "tasks.task_submitted/2"),
    "data": F("事件内容，金额单位为分", "What the event says; money in fen.", {"priority": 2}),
    "fields": F("日志字段", "The line's fields.", {"path": "/api/tasks", "status": 503}),
    "SystemLine.id": F("行号", "The number of the line.", 5120),
    "program": F("进程", "The program that wrote it.", "serve"),
    "logger": F("记录器", "The part of the program that wrote it.", "api.access"),
    "target_user_id": F(
        "被操作的用户编号", "Whose account it was done to, if not their own.", _ID
    ),
    "target_username": F("被操作的用户名", "What that user is called.", "newuser"),
    "ActionLine.user_id": F("操作者编号", "Who did it; null for the machine's operator.", _ID),
    "ActionLine.username": F("操作者用户名", "What they are called now.", "newuser"),
    # ── audit ─────────────────────────────────────────────────────────────────────────────────
    "Entry.position": F("事件在日志中的位置", "Where the event stands in the log.", 4711),
    "stream": F("事件流编号", "The stream that it belongs to.", _ID),
    "version": F("在流中的版本，从 1 开始", "Its place in the stream, from 1.", 3),
    "tag": F("事件标签", "What kind of event it is.", "wallet.hold_placed/1"),
    "recorded_at": F(
        "记录时间，精确到微秒", "When it was recorded.", "2024-01-15T10:30:00.250000Z"
    ),
    "command_id": F("命令编号", "The command that it comes from.", _ID),
    "correlation_id": F("请求编号", "The request that started it all.", "req-7f3a9c21"),
    "causation_id": F("起因事件的位置", "The event that caused it; null if none did.", 4709),
    "fact": F(
        "事件内容，个人信息为密文，金额单位为分",
        "What it says, as stored: personal fields encrypted, money in fen.",
        {"type": "wallet.hold_placed/1", "amount_fen": 3150},
    ),
    "EventPage.upto": F(
        "回答截至的位置", "The position up to which the answer tells of the log.", 5120
    ),
    "next_after": F("续读位置，读完为空", "Give it as `after`; null at the end.", 4760),
    "ProvenEvent.event": F("事件", "The event."),
    "Step.entry": F("事件", "The event."),
    "Traced.entry": F("事件", "The event."),
    "changes": F(
        "变化的字段，旧值与新值",
        "The fields that changed, each with its value before and after.",
        {"account.available_fen": [10000, 6850]},
    ),
    "HistoryPage.upto": F("回答截至的位置", "Up to which position this tells.", 5120),
    "entity": F("实体", "The entity, as kind and id.", f"user:{_ID}"),
    "EntityState.position": F("截至的位置", "After which event it was so.", 4711),
    "state": F(
        "状态，各字段按部分命名，金额单位为分",
        "Its fields under the names of its parts; money in fen.",
        {"task.phase": "completed", "task.attempt": 1},
    ),
    "after": F("起始位置", "What happened after this position.", 4000),
    "Difference.upto": F("截至的位置", "Up to this position.", 5000),
    "streams": F("有新事件的流", "The streams that grew; null where an entity was given."),
    "first_version": F("区间内的首个版本", "Its first version in between.", 3),
    "last_version": F("区间内的末个版本", "Its last version in between.", 7),
    "last_position": F("末个事件的位置", "Where its last event stands.", 4990),
    "category": F("类别", "What kind of stream it is.", "tasks"),
    "depth": F("上方起因的层数", "How many causes stand above it.", 1),
    "TraceAnswer.upto": F("回答截至的位置", "Up to which position this tells.", 5120),
    "is_complete": F("是否完整", "Whether this is all of it.", True),
    "index": F("叶的序号，从 0 开始", "The leaf's index: its position less one.", 4710),
    "size": F("树所含的事件数", "How many events the tree is over.", 5000),
    "old_size": F("旧树所含的事件数", "How many events the older tree is over.", 4000),
    "leaf": F("叶的哈希，base64", "The leaf's hash, in base64.", _HASH),
    "root": F("根的哈希，base64", "The root's hash, in base64.", _HASH),
    "old_root": F("旧根的哈希，base64", "The older root's hash, in base64.", _HASH),
    "InclusionProof.proof": F(
        "路径上的哈希，base64", "The hashes beside the path, leaf first, in base64.", [_HASH]
    ),
    "ConsistencyProof.proof": F(
        "证明用的哈希，base64", "The proof's hashes, in base64.", [_HASH]
    ),
    "proof": F(
        "C2SP tlog-proof 文本，未要求时为空",
        "A C2SP tlog-proof; null unless it was asked for.",
        "c2sp.org/tlog-proof@v1\n…",
    ),
    "key": F(
        "校验公钥", "A verifier key, as C2SP writes it.", "owl-factory/1+482267a2+AQOhB7…"
    ),
    "since": F(
        "该密钥签署的首个检查点的大小", "The size of the first checkpoint that it signs.", 4711
    ),
    "signs_now": F("是否为当前签名密钥", "Whether it is the one that signs now.", True),
    "rotation": F(
        "密钥变更声明，首个密钥为空",
        "The statement that names it, signed by the key before and by it; null for the first.",
        "owl-log-key-rotation/1\nafter 4700\n…",
    ),
    "signed_at": F("签名时间", "When it was signed.", _TIME),
    "ListedCheckpoint.root": F("根的哈希，十六进制", "The root's hash, in hex.", _DIGEST),
    "key_id": F("签名密钥的编号", "The id of the verifier key that signed it.", "482267a2"),
    "note": F(
        "检查点原文", "The checkpoint itself, a C2SP signed note.", "owl-factory/1\n5000\n…"
    ),
    "next_at": F(
        "续读位置，读完为空", "Give it as `at` for older ones; null at the end.", 4000
    ),
    "available_fen": F("可用余额，单位分", "What can be spent, in fen.", 24_950),
    "held_fen": F("冻结金额，单位分", "What tasks hold, in fen.", 100),
    "moved_at": F("余额最近变动的位置", "Where money moved last; 0 if never.", 4711),
    "events": F("涉及的事件数", "How many events were added up.", 3),
    "checks": F("核对的规则", "The rules that were checked.", ["R1", "R2", "R3"]),
    "compared_at": F("读模型所在的位置", "Where the read model stood; null with `at`.", 5000),
    "is_right": F("是否无误", "Whether nothing was found.", True),
    "findings": F("发现的问题", "What does not add up, in the log's order."),
    "check": F("被违反的规则", "The rule that was broken.", "R2"),
    "Finding.position": F("问题所在的位置", "Where it shows.", 4711),
    "Finding.message": F("说明", "What is wrong.", "an account of another user"),
    # ── pages, envelope, health ───────────────────────────────────────────────────────────────
    "items": F("本页内容", "What is on the page."),
    "total": F("总数", "How many there are on all pages.", 100),
    "page": F("页码，从 1 开始", "The page, from 1.", 1),
    "page_size": F("每页数量", "How many fit on a page.", 20),
    "total_pages": F("总页数", "How many pages there are.", 5),
    "success": F("是否成功", "Whether it worked.", False),
    "error_code": F("错误码", "What went wrong, for programs.", "VALIDATION_ERROR"),
    "details": F(
        "错误详情，随错误码而定",
        "What there is to add; depends on the code.",
        {"field_errors": {"email": ["邮箱格式不正确"]}},
    ),
    "postgres": F("数据库状态", "Whether Postgres answers."),
    "nats": F("消息服务状态", "Whether NATS answers; requests are served without."),
    "read_model_lag": F("读模型落后的事件数", "Events that the slowest read model lags.", 0),
    "stopped_read_models": F("停止的读模型", "Read models that could not go on.", []),
    "outdated_read_models": F("其他版本的读模型", "Their rows are another version's.", []),
    # ── requests ──────────────────────────────────────────────────────────────────────────────
    "UserRequest.role": F("角色", "What the user may do.", "admin"),
    "UserRequest.is_active": F("是否启用", "Whether the user may log in.", False),
    "UserRequest.reason": F("原因", "Why, for the record.", "退款"),
    "IssueRequest.description": F("描述", "What the codes are for.", "新用户充值码"),
    "batch_size": F("生成数量", "How many codes.", 10),
    "current_password": F("当前密码", "The password as it is.", "old_password"),
    "new_password": F("新密码", "The password as it shall be.", "new_password"),
    # ── in addresses ──────────────────────────────────────────────────────────────────────────
    "path.task_id": F("任务编号", "The task's id.", _ID),
    "path.server_id": F("服务器编号", "The server's id.", _ID),
    "path.code_id": F("充值码编号", "The code's id, not the code itself.", _ID),
    "path.user_id": F("用户编号", "The user's id.", _ID),
    "path.name": F("产物文件名", "The file's name.", "thumbnail-01.jpg"),
    "query.page": F("页码", "The page, from 1.", 1),
    "query.page_size": F("每页数量", "Items on a page.", 20),
    "query.status": F("状态过滤", "Only those with this status."),
    "query.task_type": F("任务类型过滤", "Only tasks of this type.", "video_analysis"),
    "query.sort_by": F("排序字段", "What to order by."),
    "query.sort_order": F("排序方向", "Ascending or descending."),
    "query.user_id": F("用户编号", "A user's id.", _ID),
    "query.task_id": F("任务编号", "A task's id.", _ID),
    "query.start_date": F("开始日期", "The first UTC day.", "2024-01-01"),
    "query.end_date": F("结束日期", "The last UTC day.", "2024-01-31"),
    "query.date": F("日期", "One UTC day.", "2024-01-15"),
    "query.search": F("搜索关键词", "Literal text.", "timeout"),
    "path.event": F("事件位置", "The event's position.", "1"),
    "path.stream_id": F("事件流编号", "The event's stream.", _ID),
    "path.version": F("流中的版本", "The event's version in its stream.", "1"),
    "query.from": F("起始位置或时间", "A position or a time.", "1"),
    "query.to": F("结束位置或时间", "A position or a time.", "2030-01-31T00:00:00Z"),
    "query.type": F("事件标签", "A tag.", "wallet.*"),
    "query.stream": F("事件流编号", "A stream.", _ID),
    "query.entity": F("实体", "An entity.", f"user:{_ID}"),
    "query.actor": F("操作者", "An actor.", "admin:*"),
    "query.account": F("涉及的用户", "A user.", _ID),
    "query.correlation": F("请求编号", "A request.", "req-7f3a9c21"),
    "query.amount_min": F("最小金额，单位元", "Yuan.", "100.00"),
    "path.account": F("用户编号", "The id of the user whose account it is.", _ID),
    "query.at": F("截至位置", "A position.", 1),
    "query.since": F("此前的事件数", "A number of events.", 1),
    "query.withhold": F("隐去的事件标签", "Tags.", "accounts.*"),
    "path.kind": F("实体种类", "`user`, `task`, `server` or `code`.", "user"),
    "path.entity_id": F("实体编号", "The entity's id.", _ID),
    "path.cause": F("事件位置或请求编号", "A position, or a request id.", "1"),
    "path.level": F("瓦片层级", "The tile's level, or `entries`.", "0"),
    "path.number": F("瓦片编号", "The tile's number, as C2SP writes it.", "000.p/1"),
    "query.as_of": F("截至位置或时间", "A position or a time.", "2030-01-31T00:00:00Z"),
    "query.position": F("事件位置", "A position.", 1),
    "query.size": F("事件数", "A number of events.", 1),
    "query.max_seconds": F("最长时间，单位秒", "Seconds.", 3600),
    "query.after": F("续读位置", "A position.", 1),
    # ── read models ───────────────────────────────────────────────────────────────────────────
    "read_model": F("读模型名称", "The read model's name.", "tasks"),
    "path.read_model": F("读模型名称", "The read model's name.", "tasks"),
    "path.act": F(
        "操作：pause、resume、cancel、verify、switch、rollback（再次则切回）、drop-old",
        "One of pause, resume, cancel, verify, switch, rollback, drop-old. A second rollback"
        " goes forward again.",
        "verify",
    ),
    "act": F("操作", "What was ordered.", "rebuild"),
    "read_models": F("全部读模型", "All read models."),
    "as_of": F("回答的时刻", "When this was so.", _TIME),
    "standing": F("状态", "How far it is."),
    "OrderReceipts.orders": F("每个读模型一个命令", "An order for each read model."),
    "orders": F("最近十次操作，新的在前", "What was ordered lately, the newest first."),
    "generations": F("各代数据表", "The generations of its tables."),
    "generation": F("第几代", "Which generation of its tables.", 2),
    "fingerprint": F(
        "生成规则的指纹", "The digest of the folds and tables that made it.", "9f86d081884c7d65"
    ),
    "condition": F(
        "状况",
        "Whether it follows its log, has stopped, lags unfed, or is another version's.",
        "following",
    ),
    "lag_events": F("落后的事件数", "How many events it is behind its log.", 0),
    "stopped_at": F("停在哪个事件", "The event at which it has stopped, or null.", 812),
    "ReadModelStanding.source": F("事件来源", "Which log it is made of.", "business"),
    "ReadModelStanding.rebuild": F(
        "最近一次重建",
        "Its last rebuild, or null.",
        {
            "generation": 2,
            "step": "folding",
            "is_interrupted": False,
            "percent": 62.5,
            "position": 652,
            "upto": 1042,
            "events_per_s": 51200.0,
            "eta_s": 12.5,
            "switching": "auto",
            "max_load": 0.5,
            "workers": 1,
            "error": None,
            "began_at": _TIME,
            "updated_at": _TIME,
        },
    ),
    "GenerationStanding.state": F(
        "live 供查询，kept 备回退，building 在建",
        "`live` is what queries see, `kept` the way back, `building` not yet seen.",
        "live",
    ),
    "GenerationStanding.position": F(
        "已处理到的位置", "The last event that it has folded.", 1042
    ),
    "GenerationStanding.error": F(
        "停止原因", "Why it has stopped, or null.", "position 812 cannot be folded"
    ),
    "step": F("到哪一步", "What it has come to.", "folding"),
    "is_interrupted": F(
        "是否中断；resume 从断点继续", "Whether its process died; `resume` goes on.", False
    ),
    "percent": F("进度，0 到 100", "How much of the history is folded.", 62.5),
    "upto": F("目标位置", "The position at which its history ends.", 1042),
    "events_per_s": F("每秒处理事件数", "Its pace, in events a second.", 51200.0),
    "eta_s": F("预计剩余秒数", "Seconds to go at this pace, or null.", 12.5),
    "switching": F(
        "auto 自动切换，manual 等待 switch", "Whether it waits for `switch`.", "auto"
    ),
    "max_load": F("占用时间比例", "The share of the time in which it works.", 0.5),
    "workers": F("处理进程数", "How many processes fold; 1 is the leading worker's own.", 1),
    "ReadModelStanding.comparison": F(
        "最近一次比较，没有则为空",
        "How the last comparison of two of its generations ended, or null.",
        {
            "live_generation": 2,
            "other_generation": 1,
            "at_position": 1042,
            "checksum": "9797ca8248139596",
            "tables_that_differ": [],
            "rows_that_differ": 0,
            "told": "tasks: generations 2 (live) and 1 are equal at position 1,042",
            "compared_at": _TIME,
        },
    ),
    "live_generation": F("在用的一代", "The generation that queries saw.", 2),
    "other_generation": F("与之比较的一代", "The one that it was compared with.", 1),
    "other_state": F(
        "building 建好待切换，kept 备回退",
        "`building` is built and waits, `kept` is the way back.",
        "kept",
    ),
    "at_position": F("比较时的位置", "The position as of which they were compared.", 1042),
    "live_position": F(
        "在用一代的位置，落后时此后的变化也计入",
        "Where the live rows stood; behind `at_position` if no program feeds them.",
        1042,
    ),
    "other_position": F(
        "另一代的位置，落后时此后的变化也计入",
        "Where the others stood; behind `at_position` if no program feeds them.",
        1042,
    ),
    "ComparisonStanding.checksum": F(
        "新建数据的校验和，不同规则时为空",
        "The checksum of the rows that were compared; empty where other folds made one side.",
        "9797ca8248139596",
    ),
    "ReadModelDiff.checksum": F(
        "数据的校验和，不同规则时为空",
        "The checksum of the rows that were compared; empty where other folds made one side.",
        "9797ca8248139596",
    ),
    "tables_that_differ": F("不同的表", "The tables that were not the same.", ["tasks"]),
    "rows_that_differ": F(
        "不同的行数，未计数时为空",
        "How many rows were not the same; null where they were not counted.",
        0,
    ),
    "ComparisonStanding.compared_at": F("比较时间", "When they were compared.", _TIME),
    "plan": F("重建计划", "What a rebuild would do."),
    "live_fingerprint": F(
        "在用数据的规则指纹", "The digest of the folds of the live rows.", "9f86d081884c7d65"
    ),
    "this_fingerprint": F(
        "本版本的规则指纹", "The digest of this version's folds.", "3b1f0a4c99d2e7f8"
    ),
    "RebuildPlan.changed": F(
        "规则是否已变", "Whether this version folds it otherwise than the live rows.", True
    ),
    "RebuildPlan.events": F("要读的事件数", "How many events are to be read.", 1042),
    "disk_bytes": F(
        "所需磁盘，单位字节", "The disk that it takes beside the live rows, in bytes.", 8388608
    ),
    "RebuildPlan.seconds": F(
        "预计时长，单位秒，未知时为空",
        "How long it takes at the pace of the last rebuild, in seconds; null before one.",
        12.5,
    ),
    "tables": F("不同的表", "The tables that differ."),
    "new_tables": F("只有另一代有的表", "Tables that only the others have.", ["more"]),
    "gone_tables": F("只有在用一代有的表", "Tables that only the live rows have.", []),
    "rows": F("不同的行", "Rows that differ, as many as were asked for."),
    "ReadModelDiff.seconds": F("用时，单位秒", "How long it took, in seconds.", 0.25),
    "table": F("表", "The table.", "tasks"),
    "live_rows": F("在用一代的行数", "Live rows; null where they were not counted.", 120),
    "other_rows": F("另一代的行数", "The others; null where they were not counted.", 120),
    "TableDiff.changed": F("同键而不同的行数", "Rows of one key that differ.", 3),
    "only_live": F("只有在用一代有的行数", "Rows that only the live side has.", 0),
    "only_other": F("只有另一代有的行数", "Rows that only the other side has.", 0),
    "columns": F("不同的列", "The columns that differ.", ["title"]),
    "new_columns": F("只有另一代有的列", "Columns that only the others have.", []),
    "gone_columns": F("只有在用一代有的列", "Columns that only the live rows have.", []),
    "retyped_columns": F("类型不同的列", "Columns of another type.", []),
    "buckets": F(
        "不同的桶，共 256 个", "The buckets of keys, of 256, whose checksums differ.", [17]
    ),
    "RowDiff.key": F("键", "The row's key.", {"task_id": _ID}),
    "live": F("在用一代的行，没有则为空", "The live row, or null.", {"title": "a"}),
    "other": F("另一代的行，没有则为空", "The other row, or null.", {"title": "b"}),
    "RebuildStanding.position": F("已处理到的位置", "The last event that it has folded.", 652),
    "RebuildStanding.error": F("失败原因", "Why it failed or waits, or null.", "rows differ"),
    "began_at": F("开始时间", "When its process took it up.", _TIME),
    "asked_by": F("下令者", "Who ordered it, as kind and id.", f"admin:{_ID}"),
    "asked_at": F("下令时间", "When it was ordered.", _TIME),
    "Order.state": F(
        "at work 执行中，done 完成，refused 无法执行，expired 过期，interrupted 中断",
        "What became of it; `expired`: no worker took it within ten minutes.",
        "done",
    ),
    "told": F("结果说明", "What came of it.", "generation 1 → 2"),
}
HEADERS: Final[dict[str, tuple[str, dict[str, Any], str]]] = {
    "Last-Event-ID": (
        "续读位置，取自上次的 id。Go on after this position, the last `id` that was read.",
        {"type": "string", "pattern": r"^\d{0,18}$"},
        "1",
    ),
    "Range": (
        "只取文件的一部分，用于续传。One part of the file only, to go on with a download.",
        {"type": "string", "maxLength": 40},
        "bytes=0-",
    ),
    "If-Range": (
        "仅当 ETag 未变时续传。The `ETag` of what is there already; else the whole is sent.",
        {"type": "string", "maxLength": 100},
        '"0000"',
    ),
    "Accept-Language": (
        "消息语言，zh（默认）或 en。The language of messages: zh (default) or en.",
        {"type": "string"},
        "zh",
    ),
    "X-Request-ID": (
        "请求编号，原样返回并写入事件与日志。Echoed, and in every event and log line.",
        {"type": "string"},
        "req-7f3a9c21",
    ),
    "Idempotency-Key": (
        (
            "幂等键，24 小时内重复同一请求只执行一次。The same key and body within 24 hours is"
            " done once and answered alike, with `Idempotent-Replay: true`; another body: 422."
        ),
        {"type": "string", "maxLength": 255},
        "submit-2024-01-15-001",
    ),
    "Owl-Min-Position": (
        (
            "至少读到该位置，取自写操作回答的 Owl-Position。Read no older than this position,"
            " from the `Owl-Position` of a write."
        ),
        {"type": "string", "pattern": r"^\d{0,18}$"},
        "1",
    ),
}
TAGS: Final[dict[str, str]] = {
    "认证 Authentication": "注册与登录。Open an account, log in.",
    "用户 Users": "当前用户。The signed-in user.",
    "任务 Tasks": "提交、查看、取消、重新运行任务。Submit, watch, cancel and rerun tasks.",
    "GPU 监控 GPU farm": "服务器与集群。Servers and the whole farm.",
    "充值 Recharge": "充值码与充值记录。Recharge codes and what was redeemed.",
    "管理 Administration": "统计、用户与配置（管理员）。For administrators.",
    "日志 Logs": "系统、用户操作与任务日志。What processes, people and tasks did.",
    "审计 Audit": "事件日志及其证明。The event log and its proofs; looking is an event too.",
    "健康 Health": "进程是否可用。Whether the process can serve.",
}
