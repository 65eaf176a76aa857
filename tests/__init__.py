"""The proof. Every folder here is a package, so that `tests/domain` cannot shadow `domain`."""
