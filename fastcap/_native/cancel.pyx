"""One thread asks others, deep in native code, to stop."""

from fastcap._native.csrc cimport fc_cancel_is_set, fc_cancel_set


cdef class Cancel:
    """Set once, by any thread; native work that was given it ends within a tenth of a second.

    In another process it arrives as a new one that nobody sets.
    """

    def set(self) -> None:
        fc_cancel_set(&self.c)

    def is_set(self) -> bool:
        return fc_cancel_is_set(&self.c)

    def __reduce__(self):
        return Cancel, ()
