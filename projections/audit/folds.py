"""What entities are made of: which streams fold into which states, and by what exactly.

The digest of a fold changes with every definition in the domain that it reaches: a state that
was kept under another digest was made by other rules.
"""

from __future__ import annotations

from functools import cache
from typing import Any, Final
from uuid import UUID

from msgspec import Struct

from domain.accounts.user import USER, User
from domain.catalogue import BY_TAG
from domain.decider import Decider
from domain.fleet.server import SERVER, Server
from domain.recharge.code import CODE, Code
from domain.tasks.task import TASK, Task
from domain.wallet.wallet import WALLET, Wallet
from projections.fingerprint import fingerprint_of


class Fold(Struct, frozen=True, kw_only=True):
    """How one kind of stream folds; ``name`` stands before the fields of its state.

    ``defined`` is the module and the name of the decider, ``state`` what a stream that has
    begun folds into. ``is_personal``: the state is about the user that its facts name.
    """

    name: str
    decider: Decider[Any]
    defined: tuple[str, str]
    state: type[Struct]
    is_personal: bool = False

    @property
    def fingerprint(self) -> str:
        """Sixteen hexadecimal digits that change when the fold, its state or its facts do."""
        return _fingerprint(*self.defined)

    def owner(self, state: Any, fact: Any) -> UUID | None:
        """Whom a state is about, which ``fact`` was the last to change."""
        if not self.is_personal:
            return None
        owner: UUID = fact.user_id if isinstance(state, Wallet) else state.user_id
        return owner


OF_USER: Final = Fold(
    name="user",
    decider=USER,
    defined=("domain.accounts.user", "USER"),
    state=User,
    is_personal=True,
)
OF_ACCOUNT: Final = Fold(
    name="account",
    decider=WALLET,
    defined=("domain.wallet.wallet", "WALLET"),
    state=Wallet,
    is_personal=True,
)
OF_TASK: Final = Fold(
    name="task",
    decider=TASK,
    defined=("domain.tasks.task", "TASK"),
    state=Task,
    is_personal=True,
)
OF_SERVER: Final = Fold(
    name="server", decider=SERVER, defined=("domain.fleet.server", "SERVER"), state=Server
)
OF_CODE: Final = Fold(
    name="code", decider=CODE, defined=("domain.recharge.code", "CODE"), state=Code
)
FOLDS: Final = (OF_USER, OF_ACCOUNT, OF_TASK, OF_SERVER, OF_CODE)


@cache
def fold_of(tag: str) -> Fold | None:
    """The fold of the streams that hold facts with this tag, if they are of an entity."""
    fact = BY_TAG.get(tag)
    return next((each for each in FOLDS if fact and each.decider.begins(fact)), None)


@cache
def _fingerprint(module: str, name: str) -> str:
    return fingerprint_of((module, name))
