"""How fast fastcap is: benches of its parts, and whole commands beside their peers."""
