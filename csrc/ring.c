/* SPDX-License-Identifier: Apache-2.0 */
#include "ring.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/filter.h>
#include <linux/if_ether.h>
#include <poll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#ifndef PACKET_IGNORE_OUTGOING
#define PACKET_IGNORE_OUTGOING 23 /* Linux 4.20 */
#endif

static int set_option(int fd, int option, const void *value, size_t size) {
    return setsockopt(fd, SOL_PACKET, option, value, (socklen_t)size) < 0 ? FC_ERROR_SYSTEM : FC_OK;
}

int fc_ring_set_filter(int fd, const struct fc_ring_filter *filter) {
    if (filter->count == 0 || filter->count > BPF_MAXINSNS)
        return FC_ERROR_ARGUMENT;
    struct sock_fprog program = {
        .len = (unsigned short)filter->count,
        .filter = (struct sock_filter *)(uintptr_t)filter->instructions,
    };
    if (setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof program) < 0)
        return FC_ERROR_SYSTEM;
    return FC_OK;
}

int fc_ring_reject_all(int fd) {
    static const struct sock_filter reject = BPF_STMT(BPF_RET | BPF_K, 0);
    struct fc_ring_filter filter = {.instructions = &reject, .count = 1};
    return fc_ring_set_filter(fd, &filter);
}

/* One "frame" of the size of a block: V3 packs frames of any length and only checks the product. */
static int make_ring(struct fc_ring *ring, const struct fc_ring_settings *settings) {
    struct tpacket_req3 request = {
        .tp_block_size = settings->block_size,
        .tp_block_nr = settings->block_count,
        .tp_frame_size = settings->block_size,
        .tp_frame_nr = settings->block_count,
        .tp_retire_blk_tov = FC_RING_TIMEOUT_MS,
    };
    int status = set_option(ring->fd, PACKET_RX_RING, &request, sizeof request);
    if (status < 0)
        return status;
    ring->block_size = settings->block_size;
    ring->block_count = settings->block_count;
    /* No MAP_LOCKED: the pages are the kernel's and stay, and the limit of locked memory counts
     * for people who are not root. */
    void *map = mmap(NULL, ring->block_size * ring->block_count, PROT_READ | PROT_WRITE, MAP_SHARED,
                     ring->fd, 0);
    if (map == MAP_FAILED)
        return FC_ERROR_SYSTEM;
    ring->map = map;
    return FC_OK;
}

static int bind_to(int fd, int interface) {
    struct sockaddr_ll address = {
        .sll_family = AF_PACKET,
        .sll_protocol = htons(ETH_P_ALL),
        .sll_ifindex = interface,
    };
    return bind(fd, (struct sockaddr *)&address, sizeof address) < 0 ? FC_ERROR_SYSTEM : FC_OK;
}

/* Protocol 0 until the ring is there: with ETH_P_ALL from the start frames would be queued, and
 * counted as dropped, while it is made. */
static int set_up(struct fc_ring *ring, const struct fc_ring_settings *settings) {
    int version = TPACKET_V3;
    int yes = 1;
    struct packet_mreq membership = {
        .mr_ifindex = settings->interface,
        .mr_type = PACKET_MR_PROMISC,
    };
    int status = set_option(ring->fd, PACKET_VERSION, &version, sizeof version);
    if (status == FC_OK)
        status = make_ring(ring, settings);
    if (status == FC_OK)
        status = fc_ring_reject_all(ring->fd);
    if (status == FC_OK && settings->ignore_outgoing)
        status = set_option(ring->fd, PACKET_IGNORE_OUTGOING, &yes, sizeof yes);
    if (status == FC_OK)
        status = bind_to(ring->fd, settings->interface);
    /* a membership ends with its socket, also when we are killed */
    if (status == FC_OK && settings->promiscuous)
        status = set_option(ring->fd, PACKET_ADD_MEMBERSHIP, &membership, sizeof membership);
    return status;
}

int fc_ring_open(struct fc_ring *ring, const struct fc_ring_settings *settings) {
    *ring = (struct fc_ring){.fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0)};
    int status = ring->fd < 0 ? FC_ERROR_SYSTEM : set_up(ring, settings);
    if (status < 0) {
        int why = errno;
        fc_ring_close(ring);
        errno = why;
    }
    return status;
}

void fc_ring_over(struct fc_ring *ring, uint8_t *memory, size_t block_size, uint32_t block_count) {
    *ring = (struct fc_ring){
        .fd = -1, .map = memory, .block_size = block_size, .block_count = block_count};
}

/* Of a ring over memory. A block that was handed over before costs one look at the ring too many.
 */
static int wait_for_wake(int fd, int milliseconds) {
    struct pollfd poll_fd = {.fd = fd, .events = POLLIN};
    uint64_t times;
    if (poll(&poll_fd, 1, milliseconds) <= 0)
        return FC_OK;
    return read(fd, &times, sizeof times) < 0 && errno != EAGAIN ? FC_ERROR_SYSTEM : FC_OK;
}

int fc_ring_wait(const struct fc_ring *ring, int milliseconds) {
    if (ring->fd < 0 && ring->wakes != NULL)
        return wait_for_wake(*ring->wakes, milliseconds);
    struct pollfd poll_fd = {.fd = ring->fd, .events = POLLIN | POLLERR};
    int ready = poll(&poll_fd, 1, milliseconds);
    if (ready < 0)
        return errno == EINTR ? FC_OK : FC_ERROR_SYSTEM;
    if (ready == 0 || (poll_fd.revents & POLLERR) == 0)
        return FC_OK;
    int error = 0; /* reading it clears it, or poll would return at once from now on */
    socklen_t length = sizeof error;
    if (getsockopt(ring->fd, SOL_SOCKET, SO_ERROR, &error, &length) == 0 && error == 0)
        return FC_OK;
    errno = error ? error : errno;
    return FC_ERROR_SYSTEM;
}

/* As the kernel does it: the drops in one step, so that none is counted twice or never. */
static void read_told(struct fc_ring_statistics *told, struct fc_ring_statistics *statistics) {
    statistics->dropped = __atomic_exchange_n(&told->dropped, 0, __ATOMIC_ACQ_REL);
    statistics->accepted =
        __atomic_exchange_n(&told->accepted, 0, __ATOMIC_ACQ_REL) + statistics->dropped;
    statistics->full = __atomic_exchange_n(&told->full, 0, __ATOMIC_ACQ_REL);
}

int fc_ring_read_statistics(const struct fc_ring *ring, struct fc_ring_statistics *statistics) {
    struct tpacket_stats_v3 read = {0};
    socklen_t length = sizeof read;
    *statistics = (struct fc_ring_statistics){0};
    if (ring->fd < 0) {
        if (ring->told != NULL)
            read_told(ring->told, statistics);
        return FC_OK;
    }
    if (getsockopt(ring->fd, SOL_PACKET, PACKET_STATISTICS, &read, &length) < 0)
        return FC_ERROR_SYSTEM;
    statistics->accepted = read.tp_packets;
    statistics->dropped = read.tp_drops;
    statistics->full = read.tp_freeze_q_cnt;
    return FC_OK;
}

int fc_ring_read_counter(int fd, uint64_t *counted) {
    struct tpacket_stats read = {0};
    socklen_t length = sizeof read;
    if (getsockopt(fd, SOL_PACKET, PACKET_STATISTICS, &read, &length) < 0)
        return FC_ERROR_SYSTEM;
    *counted = read.tp_packets; /* the kernel has added those it dropped */
    return FC_OK;
}

uint32_t fc_ring_fill(const struct fc_ring *ring) {
    uint32_t waiting = 0;
    for (uint32_t i = 0; i < ring->block_count; i++)
        waiting += fc_ring_is_ours(fc_ring_at(ring, i));
    return waiting;
}

void fc_ring_close(struct fc_ring *ring) {
    if (ring->fd >= 0) { /* else the memory is the caller's */
        if (ring->map != NULL)
            munmap(ring->map, ring->block_size * ring->block_count);
        close(ring->fd);
    }
    *ring = (struct fc_ring){.fd = -1};
}
