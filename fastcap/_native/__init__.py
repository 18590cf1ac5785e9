"""The only package that sees C. Each module lends one part of the core to Python."""
