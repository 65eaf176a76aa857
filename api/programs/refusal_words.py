"""What a person reads of a refusal: the API's sentence and what to do, in one language."""

from __future__ import annotations

import re
from typing import Final

import click
from click.core import ParameterSource

from api.client.http import ApiRefused
from api.client.session import Session
from api.client.wording import clean, local, yuan
from api.messages import Language, Text
from api.programs.ids import IdType

SHOWS_THE_PROFILES: Final = Text(
    "用 `owl profiles` 可查看这里的登录档", "`owl profiles` shows the logins kept here"
)
NOT_SIGNED_IN: Final = Text("尚未登录 {at}{profile}", "you are not signed in to {at}{profile}")
SIGNED_IN: Final = Text(
    "当前以 {email}（{role}）登录 {at}{profile}",
    "you are signed in as {email} ({role}) to {at}{profile}",
)
ENDED: Final = Text(
    "{email} 在 {at}{profile} 的登录已于 {then} 到期",
    "your login as {email} to {at}{profile} ended at {then}",
)
VOID: Final = Text(
    "{email} 在 {at}{profile} 的登录已失效：密码或角色已更改，或帐户已停用",
    "your login as {email} to {at}{profile} is no longer taken: the password or the role was"
    " changed, or the account deactivated",
)
IN_PROFILE: Final = Text("（登录档 {name}）", " in profile {name}")
SIGN_IN_AS_ANOTHER: Final = Text(
    "请用 {login} 以有此权限的身份登录", "sign in as one who may with {login}"
)
MISSING: Final = Text(
    "须冻结 {required}，可用 {available}，还差 {missing}：请用 `{redeem}` 充值，"
    "或以更短的 `--estimate 分钟` 提交",
    "{required} is to be held and {available} available, so {missing} is missing: `{redeem}`,"
    " or submit with fewer `--estimate MINUTES`",
)
SHOWS_THE_IDS: Final = Text("用 `{listing}` 可查看编号", "`{listing}` shows the ids")
TRY_AGAIN: Final = Text("请在 {seconds} 秒后重试", "try again in {seconds} s")
_GIVEN: Final = frozenset(
    {ParameterSource.COMMANDLINE, ParameterSource.ENVIRONMENT, ParameterSource.PROMPT}
)
_FIELDS: Final = {"video_file": "config.video_url", "video_url": "config.video_url"}
"""The API's name of a field, where a command calls the parameter for it otherwise."""
_SIGNING_IN: Final = frozenset({"login", "register"})


def login_command(profile: str | None, api_url: str = "") -> str:
    """What to call to sign in, in this profile, at ``api_url`` if it has to be named."""
    where = f" --api {api_url}" if api_url else ""
    return f"`owl login --profile {profile}{where}`" if profile else f"`owl login{where}`"


def is_signing_in() -> bool:
    """Whether the command at work asks for a login: a refusal is of what it was given."""
    return click.get_current_context().info_name in _SIGNING_IN


def standing(
    session: Session | None, token: str, at: str, profile: str | None, language: Language
) -> str:
    """Who is signed in at this address, in words; nothing of a token from elsewhere."""
    where = {"at": at, "profile": ""}
    if profile:
        where["profile"] = IN_PROFILE.in_language(language, name=profile)
    if session is None:
        if token:
            return ""
        said = NOT_SIGNED_IN.in_language(language, **where)
        return f"{said}\n  {SHOWS_THE_PROFILES.in_language(language)}" if profile else said
    about = {**where, "email": session.email}
    if session.is_void:
        return "" if token else VOID.in_language(language, **about)
    if token != session.token:
        then = local(session.expires_at)
        return "" if token else ENDED.in_language(language, **about, then=then)
    return SIGNED_IN.in_language(language, **about, role=session.role)


def sentence(error: ApiRefused, standing: str, profile: str | None, language: Language) -> str:
    """The refusal, what it is about, and what may help."""
    if error.code == "INVALID_CREDENTIALS" and not is_signing_in():
        return f"{error}: {login_command(profile)}" + (f"\n  {standing}" if standing else "")
    fields = error.details.get("field_errors")
    # that the fields are named is said to programs: here they follow
    head = re.split("[:\uff1a]", error.message)[0] if fields else error.message
    lines = [f"{head} ({error.code})"]
    if error.code == "ACCESS_DENIED":
        login = login_command(profile)
        lines.append(f"  {SIGN_IN_AS_ANOTHER.in_language(language, login=login)}")
        if standing:
            lines.append(f"  {standing}")
    seconds = f"{error.retry_after_s:,.0f}"
    if error.retry_after_s and f" {error.retry_after_s:.0f} " not in error.message:
        lines.append(f"  {TRY_AGAIN.in_language(language, seconds=seconds)}")
    if error.code == "RESOURCE_NOT_FOUND":
        lines += [
            f"  {SHOWS_THE_IDS.in_language(language, listing=of.listing)}"
            for param in click.get_current_context().command.params
            if isinstance(of := param.type, IdType)
        ]
    if error.code == "INSUFFICIENT_BALANCE":
        lines.append(f"  {_what_is_missing(error, profile, language)}")
    elif isinstance(fields, dict):
        given = _as_given()
        lines += [
            f"  {given.get(name, name)}: {said}"
            for name, found in fields.items()
            for said in found
        ]
    else:
        lines += [
            f"  {name}: {said}"
            for name, said in error.details.items()
            if name != "retry_after_s"  # that is said above
        ]
    return clean("\n".join(lines)).plain


def _as_given() -> dict[str, str]:
    """By the API's name of a field, the option or argument that gave it to this command."""
    context = click.get_current_context()
    given: dict[str, str] = {}
    for param in context.command.params:
        name = str(param.name)
        if context.get_parameter_source(name) in _GIVEN:
            shown = param.opts[0] if isinstance(param, click.Option) else name.upper()
            given[_FIELDS.get(name, name)] = shown
    return given


def _what_is_missing(error: ApiRefused, profile: str | None, language: Language) -> str:
    required, available = error.details["required"], error.details["available"]
    return MISSING.in_language(
        language,
        required=yuan(required),
        available=yuan(available),
        missing=yuan(required - available),
        redeem="owl redeem CODE" + (f" --profile {profile}" if profile else ""),
    )
