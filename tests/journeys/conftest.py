"""The same servers as the tests of the HTTP side."""

from tests.api.conftest import admin, api, auditor, database_url, fresh_api, user

__all__ = ["admin", "api", "auditor", "database_url", "fresh_api", "user"]
