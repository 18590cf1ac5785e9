"""Filter text -> checked tree -> program. Plain data in, plain data out; no native code of ours."""
