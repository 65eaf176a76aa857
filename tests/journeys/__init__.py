"""The published contract's chapters, each walked once over HTTP."""
