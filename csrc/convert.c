/* SPDX-License-Identifier: Apache-2.0 */
#include "convert.h"

static uint32_t cut_at(const struct fc_convert *convert) {
    uint32_t from = convert->from.snaplen;
    uint32_t to = convert->to.snaplen;
    return from < to ? from : to;
}

static bool is_copy(const struct fc_convert *convert, uint32_t longest) {
    return convert->from.swapped == convert->to.swapped &&
           convert->from.nanoseconds == convert->to.nanoseconds && longest <= cut_at(convert);
}

static void convert_time(const struct fc_convert *convert, struct fc_pcap_record *record) {
    if (convert->from.nanoseconds == convert->to.nanoseconds)
        return;
    if (convert->from.nanoseconds) {
        record->fraction /= 1000;
        return;
    }
    uint64_t fraction = (uint64_t)record->fraction * 1000;
    record->seconds += (uint32_t)(fraction / 1000000000);
    record->fraction = (uint32_t)(fraction % 1000000000);
}

static void store_record(uint8_t *at, const struct fc_pcap_record *record, bool swapped) {
    const uint32_t fields[] = {record->seconds, record->fraction, record->captured, record->wire};
    for (size_t i = 0; i < sizeof fields / sizeof *fields; i++)
        fc_store32(at + 4 * i, swapped ? fc_swap32(fields[i]) : fields[i]);
}

int fc_convert_append(const struct fc_convert *convert, const uint8_t *records, size_t length,
                      uint32_t longest, struct fc_buffer *output) {
    if (length == 0)
        return FC_OK;
    if (is_copy(convert, longest))
        return fc_buffer_append(output, records, length);
    int status = fc_buffer_reserve(output, length);
    if (status < 0)
        return status;
    uint32_t cut = cut_at(convert);
    uint8_t *to = output->bytes + output->length;
    for (size_t offset = 0; offset < length;) {
        struct fc_pcap_record record;
        /* somebody may write the file while it is read: what was checked may have changed */
        if (!fc_bytes_within(offset, FC_PCAP_RECORD_HEADER, length))
            return FC_ERROR_SHRUNK;
        fc_pcap_record_read(records + offset, convert->from.swapped, &record);
        uint32_t captured = record.captured;
        if (!fc_bytes_within(offset + FC_PCAP_RECORD_HEADER, captured, length))
            return FC_ERROR_SHRUNK;
        if (record.captured > cut)
            record.captured = cut;
        convert_time(convert, &record);
        store_record(to, &record, convert->to.swapped);
        memcpy(to + FC_PCAP_RECORD_HEADER, records + offset + FC_PCAP_RECORD_HEADER,
               record.captured);
        to += FC_PCAP_RECORD_HEADER + (size_t)record.captured;
        offset += FC_PCAP_RECORD_HEADER + (size_t)captured;
    }
    output->length = (size_t)(to - output->bytes);
    return FC_OK;
}
