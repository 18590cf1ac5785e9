/* SPDX-License-Identifier: Apache-2.0 */
#include "status.h"

const char *fc_status_text(int status) {
    switch (status) {
    case FC_OK: return "no error";
    case FC_ERROR_SYSTEM: return "a system call failed";
    case FC_ERROR_MEMORY: return "out of memory";
    case FC_ERROR_PROGRAM: return "not a valid filter program";
    case FC_ERROR_CANCELLED: return "cancelled";
    case FC_ERROR_SHRUNK: return "the file became shorter while it was read";
    case FC_ERROR_ARGUMENT: return "an argument is out of range";
    case FC_ERROR_EXISTS: return "the file exists";
    }
    return "unknown status";
}
