"""The same servers as the tests of the HTTP side."""

from tests.api.conftest import admin, api, auditor, fresh_api, user

__all__ = ["admin", "api", "auditor", "fresh_api", "user"]
