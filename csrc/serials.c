/* SPDX-License-Identifier: Apache-2.0 */
#include "serials.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

enum {
    BITS = 64,
    /* Large enough that reads cost little, small enough for the second-level cache; and a record of
     * any length is whole in it. */
    WINDOW = 2 * (FC_PCAP_RECORD_HEADER + FC_SERIALS_LONGEST_FRAME),
};
static const uint64_t MOST = UINT64_C(1) << 36;

int fc_serials_open(struct fc_serials *serials, uint32_t bench, const uint64_t *sent,
                    uint32_t threads) {
    uint64_t most = 0;
    *serials = (struct fc_serials){.bench = bench, .threads = threads};
    for (uint32_t i = 0; i < threads; i++)
        most = sent[i] > most ? sent[i] : most;
    if (threads == 0 || most > MOST / threads)
        return FC_ERROR_ARGUMENT;
    serials->sent = calloc(threads, sizeof *sent);
    serials->bits = calloc((size_t)(most * threads / BITS + 1), sizeof *serials->bits);
    if (serials->sent == NULL || serials->bits == NULL) {
        fc_serials_close(serials);
        return FC_ERROR_MEMORY;
    }
    memcpy(serials->sent, sent, threads * sizeof *sent);
    return FC_OK;
}

/* Only these have a bit. */
static bool was_sent(const struct fc_serials *serials, uint64_t serial) {
    return serial / serials->threads < serials->sent[serial % serials->threads];
}

static void note_first(struct fc_serials *serials, const struct fc_generator_label *label) {
    bool first = serials->distinct++ == 0;
    if (first || label->serial > serials->highest)
        serials->highest = label->serial;
    if (first || label->ns < serials->first_ns)
        serials->first_ns = label->ns;
    if (first || label->ns > serials->last_ns)
        serials->last_ns = label->ns;
}

void fc_serials_note(struct fc_serials *serials, const uint8_t *bytes, size_t captured) {
    struct fc_generator_label label;
    serials->frames++;
    if (!fc_generator_read(bytes, captured, &label)) {
        serials->foreign++;
    } else if (label.bench != serials->bench) {
        serials->other_benches++;
    } else if (!was_sent(serials, label.serial)) {
        serials->never_sent++;
    } else {
        uint64_t *word = &serials->bits[label.serial / BITS];
        uint64_t bit = UINT64_C(1) << label.serial % BITS;
        if (*word & bit)
            serials->duplicates++;
        else
            note_first(serials, &label);
        *word |= bit;
    }
}

/* All whole records of the window. */
static enum fc_scan_stop note_records(struct fc_serials *serials, struct fc_scan *scan) {
    const uint32_t snaplen = scan->layout.snaplen;
    struct fc_pcap_record record;
    for (;;) {
        enum fc_scan_stop stop = fc_scan_next(scan, scan->layout.swapped, &record);
        if (stop != FC_SCAN_RECORD)
            return stop;
        fc_serials_note(serials, scan->bytes + scan->offset - record.captured,
                        record.captured < snaplen ? record.captured : snaplen);
    }
}

static ssize_t read_more(int fd, uint8_t *to, size_t room) {
    ssize_t got;
    do
        got = read(fd, to, room);
    while (got < 0 && errno == EINTR);
    return got;
}

static int walk_over(struct fc_serials *serials, int fd, const struct fc_cancel *cancel,
                     uint8_t *window, struct fc_scan *scan, struct fc_serials_walk *walk) {
    size_t waiting = 0; /* bytes of a record whose end was not read yet */
    for (;;) {
        if (fc_cancel_is_set(cancel))
            return FC_ERROR_CANCELLED;
        ssize_t got = read_more(fd, window + waiting, WINDOW - waiting);
        if (got < 0)
            return FC_ERROR_SYSTEM;
        scan->length = waiting + (size_t)got;
        scan->offset = 0;
        walk->stop = note_records(serials, scan);
        walk->bytes += scan->offset;
        if (got == 0 || (walk->stop != FC_SCAN_END && !fc_scan_is_cut(walk->stop)))
            return FC_OK;
        waiting = scan->length - scan->offset;
        memmove(window, window + scan->offset, waiting);
    }
}

int fc_serials_read(struct fc_serials *serials, int fd, const struct fc_pcap_layout *layout,
                    const struct fc_cancel *cancel, struct fc_serials_walk *walk) {
    *walk = (struct fc_serials_walk){.stop = FC_SCAN_CALLER};
    if (layout->max_captured > FC_SERIALS_LONGEST_FRAME)
        return FC_ERROR_ARGUMENT;
    uint8_t *window = malloc(WINDOW);
    if (window == NULL)
        return FC_ERROR_MEMORY;
    struct fc_scan scan = {.bytes = window, .layout = *layout};
    int status = walk_over(serials, fd, cancel, window, &scan, walk);
    int why = errno;
    free(window);
    errno = why;
    return status;
}

void fc_serials_close(struct fc_serials *serials) {
    free(serials->sent);
    free(serials->bits);
    *serials = (struct fc_serials){0};
}
