/* SPDX-License-Identifier: Apache-2.0
 *
 * Every failure the core can report. Functions return 0 (FC_OK) or one of these, all negative;
 * results leave through the last arguments. The core never prints and never exits.
 * fastcap/_native/status.pyx is the one place that turns a status into an exception.
 */
#ifndef FC_STATUS_H
#define FC_STATUS_H

enum fc_status {
    FC_OK = 0,
    FC_ERROR_SYSTEM = -1,    /* a system call failed: errno says why */
    FC_ERROR_MEMORY = -2,    /* no memory */
    FC_ERROR_PROGRAM = -3,   /* a filter program breaks the rules in program.h */
    FC_ERROR_CANCELLED = -4, /* the caller asked to stop */
    FC_ERROR_SHRUNK = -5,    /* a file ends before the range that was to be read */
    FC_ERROR_ARGUMENT = -6,  /* an argument is out of its range */
    FC_ERROR_EXISTS = -7,    /* the name is taken, and replacing was not allowed */
};

/* A short English text; never NULL, never freed. */
const char *fc_status_text(int status);

#endif
