"""Benches of captures: traffic whose every frame is known again in the files."""
