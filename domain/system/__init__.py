"""The platform itself: its configuration and its operators' tools."""
