"""What a user action says to a person, in Chinese and English."""

from __future__ import annotations

from typing import Final

from api.messages import Language, Text

ACTIONS: Final[dict[str, Text]] = {
    "accounts.user_registered/1": Text("注册账户", "Opened an account"),
    "accounts.user_logged_in/1": Text("登录", "Logged in"),
    "accounts.profile_changed/1": Text("修改个人资料", "Changed the profile"),
    "accounts.password_changed/1": Text("修改密码", "Changed the password"),
    "accounts.role_changed/1": Text("变更用户角色", "Changed a user's role"),
    "accounts.user_deactivated/1": Text("停用用户", "Deactivated a user"),
    "accounts.user_reactivated/1": Text("启用用户", "Reactivated a user"),
    "accounts.user_erased/1": Text("清除用户个人数据", "Erased a user's personal data"),
    "wallet.balance_adjusted/1": Text("调整用户余额", "Adjusted a user's balance"),
    "recharge.code_issued/1": Text("生成充值码", "Issued a recharge code"),
    "recharge.code_redeemed/1": Text("使用充值码", "Redeemed a recharge code"),
    "recharge.code_revealed/1": Text("查看完整充值码", "Looked at a whole recharge code"),
    "recharge.code_revoked/1": Text("作废充值码", "Revoked a recharge code"),
    "tasks.task_submitted/1": Text("创建任务", "Created a task"),
    "tasks.task_submitted/2": Text("创建任务", "Created a task"),
    "tasks.task_cancel_requested/1": Text("请求取消任务", "Asked for a task to be cancelled"),
    "tasks.task_cancelled/1": Text("取消任务", "Cancelled a task"),
    "tasks.task_retried/1": Text("重新运行任务", "Ran a task again"),
    "tasks.task_deleted/1": Text("删除任务", "Deleted a task"),
    "fleet.server_registered/1": Text("添加GPU服务器", "Added a GPU server"),
    "fleet.enrolment_token_issued/1": Text("签发服务器注册令牌", "Issued an enrolment token"),
    "fleet.server_changed/1": Text("修改GPU服务器", "Changed a GPU server"),
    "fleet.server_drained/1": Text("排空GPU服务器", "Drained a GPU server"),
    "fleet.server_resumed/1": Text("恢复GPU服务器", "Resumed a GPU server"),
    "fleet.server_removed/1": Text("移除GPU服务器", "Removed a GPU server"),
    "system.configuration_changed/1": Text("修改系统配置", "Changed the configuration"),
    "accounts.login_refused/1": Text("登录被拒绝", "Was refused a login"),
    "system.audit_accessed/1": Text("查阅审计日志", "Looked at the audit log"),
    "system.audit_tail_ended/1": Text("结束跟踪审计日志", "Stopped following the audit log"),
    "system.log_read/1": Text("查阅或下载日志", "Read or downloaded a log"),
    "system.person_reported/1": Text(
        "查看某人的全部存储数据", "Read all that is stored about a person"
    ),
    "system.log_key_rotated/1": Text("更换日志签名密钥", "Changed the key that signs the log"),
    "system.read_model_switched/1": Text("切换读模型", "Switched a read model"),
}


def title(tag: str, language: Language) -> str:
    """The action's name; its tag where it has none yet."""
    text = ACTIONS.get(tag)
    return text.in_language(language) if text else tag
