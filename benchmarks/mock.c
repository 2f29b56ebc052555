/* A backend that costs next to nothing: one thread, epoll, one canned chat completion per request, keep-alive.
 *
 *   gcc -O2 -o bin/mock mock.c && bin/mock PORT [LATENCY_MS]
 *
 * Requests need a Content-Length (or no body). With a latency, answers wait in a ring of expiry times: all latencies are
 * equal, so the oldest is always due first and no heap is needed. Only for benchmarks: no limits, no errors, loopback. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define CONNECTIONS 16384
#define BUFFER (1 << 20)
#define RING (1 << 20)

typedef struct { char *data; size_t size; unsigned generation; } connection;
typedef struct { int fd; unsigned generation; double due; } answer;

static connection connections[CONNECTIONS];
static answer ring[RING];
static size_t ring_head, ring_tail;
static char response[4096];
static size_t response_size;
static int epoll_fd;
static double latency;

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec + t.tv_nsec / 1e9;
}

static void make_response(void) {
    char body[2048], text[512];
    memset(text, 'x', sizeof text - 1);
    for (size_t i = 7; i < sizeof text - 1; i += 8) text[i] = ' ';
    text[sizeof text - 1] = 0;
    int size = snprintf(body, sizeof body,
        "{\"id\":\"chatcmpl-0123456789abcdef\",\"object\":\"chat.completion\",\"created\":1700000000,"
        "\"model\":\"mock-model-2026\",\"choices\":[{\"index\":0,\"message\":{\"role\":\"assistant\","
        "\"content\":\"%s\",\"refusal\":null},\"logprobs\":null,\"finish_reason\":\"stop\"}],"
        "\"usage\":{\"prompt_tokens\":101,\"completion_tokens\":64,\"total_tokens\":165,"
        "\"prompt_tokens_details\":{\"cached_tokens\":0},\"completion_tokens_details\":{\"reasoning_tokens\":0}},"
        "\"system_fingerprint\":\"fp_0123456789\"}", text);
    response_size = snprintf(response, sizeof response,
        "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s", size, body);
}

static void drop(int fd) {
    close(fd);
    connections[fd].size = 0;
    connections[fd].generation++;
}

static void reply(int fd) {
    if (write(fd, response, response_size) != (ssize_t)response_size) drop(fd);
}

/* The length of the first whole request in the buffer, or 0. */
static size_t request_size(const char *data, size_t size) {
    const char *end = memmem(data, size, "\r\n\r\n", 4);
    if (!end) return 0;
    size_t head = end - data + 4, body = 0;
    for (const char *line = data; line < end; ) {
        const char *next = memmem(line, data + size - line, "\r\n", 2);
        if (!strncasecmp(line, "content-length:", 15)) body = strtoul(line + 15, NULL, 10);
        line = next + 2;
    }
    return head + body <= size ? head + body : 0;
}

static void readable(int fd) {
    connection *c = &connections[fd];
    if (!c->data) c->data = malloc(BUFFER);
    ssize_t got = read(fd, c->data + c->size, BUFFER - c->size);
    if (got <= 0) {
        if (got < 0 && errno == EAGAIN) return;
        drop(fd);
        return;
    }
    c->size += got;
    size_t used = 0, length;
    unsigned generation = c->generation;
    while (c->generation == generation && (length = request_size(c->data + used, c->size - used))) {
        used += length;
        if (latency > 0) {
            ring[ring_tail++ % RING] = (answer){fd, c->generation, now() + latency};
        } else {
            reply(fd);
        }
    }
    if (c->generation != generation) return;
    memmove(c->data, c->data + used, c->size - used);
    c->size -= used;
}

int main(int argc, char **argv) {
    int port = argc > 1 ? atoi(argv[1]) : 8999;
    latency = argc > 2 ? atof(argv[2]) / 1e3 : 0;
    make_response();
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0), one = 1;
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port)};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (bind(listener, (struct sockaddr *)&address, sizeof address) || listen(listener, 4096)) {
        perror("mock");
        return 1;
    }
    epoll_fd = epoll_create1(0);
    struct epoll_event event = {.events = EPOLLIN, .data.fd = listener}, events[512];
    epoll_ctl(epoll_fd, EPOLL_CTL_ADD, listener, &event);
    printf("ready\n");
    fflush(stdout);
    for (;;) {
        int timeout = -1;
        if (ring_head != ring_tail) {
            double wait = ring[ring_head % RING].due - now();
            timeout = wait > 0 ? (int)(wait * 1e3) + 1 : 0;
        }
        int count = epoll_wait(epoll_fd, events, 512, timeout);
        for (int i = 0; i < count; i++) {
            int fd = events[i].data.fd;
            if (fd != listener) {
                readable(fd);
                continue;
            }
            int client;
            while ((client = accept4(listener, NULL, NULL, SOCK_NONBLOCK)) >= 0) {
                if (client >= CONNECTIONS) { close(client); continue; }
                setsockopt(client, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
                struct epoll_event added = {.events = EPOLLIN, .data.fd = client};
                epoll_ctl(epoll_fd, EPOLL_CTL_ADD, client, &added);
            }
        }
        if (latency > 0) {
            double moment = now();
            while (ring_head != ring_tail && ring[ring_head % RING].due <= moment) {
                answer *a = &ring[ring_head++ % RING];
                if (connections[a->fd].generation == a->generation) reply(a->fd);
            }
        }
    }
}
