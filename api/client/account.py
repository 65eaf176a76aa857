"""An account as its own user and administrators see it."""

from __future__ import annotations

from rich.table import Table

from api.client.answers import Me
from api.client.wording import clean, local, yuan


def account_view(user: Me) -> Table:
    """Who it is, what they may do and what they have; further rows may follow."""
    table = Table.grid(padding=(0, 2))
    table.add_column(style="bold", no_wrap=True)
    table.add_column()
    table.add_row("User", clean(f"{user.username}  {user.full_name}"))
    table.add_row("E-mail", clean(user.email))
    table.add_row("Id", clean(user.id))
    active = "may log in" if user.is_active else "inactive: may not log in"
    table.add_row("Role", clean(f"{user.role}, {active}"))
    table.add_row("Balance", yuan(user.balance))
    if user.held_balance:
        table.add_row("  held", yuan(user.held_balance))
        table.add_row("  available", yuan(user.available_balance))
    table.add_row("Tasks", f"{user.total_tasks:,}")
    table.add_row("Since", local(user.created_at))
    table.add_row("Last login", local(user.last_login))
    return table
