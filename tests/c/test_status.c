/* SPDX-License-Identifier: Apache-2.0
 *
 * Every status has a text of its own, and a number that is none has one too.
 */
#include "check.h"
#include "status.h"

static void every_status_has_a_text_of_its_own(void) {
    for (int status = FC_ERROR_EXISTS; status <= FC_OK; status++) {
        CHECK(strlen(fc_status_text(status)) > 0);
        CHECK(strcmp(fc_status_text(status), "unknown status") != 0);
        for (int other = FC_ERROR_EXISTS; other < status; other++)
            CHECK(strcmp(fc_status_text(status), fc_status_text(other)) != 0);
    }
}

static void a_number_that_is_no_status_has_a_text_too(void) {
    const int numbers[] = {1, FC_ERROR_EXISTS - 1, INT32_MAX, INT32_MIN};
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++)
        CHECK(strcmp(fc_status_text(numbers[i]), "unknown status") == 0);
}

int main(void) {
    TEST(every_status_has_a_text_of_its_own);
    TEST(a_number_that_is_no_status_has_a_text_too);
    return check_result();
}
