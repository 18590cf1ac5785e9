"""Originals from a spool into outputs: `fastcap follow`, `fastcap run`, `fastcap status`."""
