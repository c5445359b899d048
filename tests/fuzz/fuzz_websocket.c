/* The other end of a WebSocket, in pieces whose size the bytes say. The first byte: bit 0 = we are the server, bits 1 and 2 the mode
 * (3: exec over it), bit 3 = v5. */
#include <stdlib.h>

#include "stream/remotecommand.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

typedef struct {
    Websocket *w;
    Remote *remote;
    unsigned closes, statuses;
} Fuzz;

static unsigned sum_of(const uint8_t *bytes, size_t n)
{
    unsigned sum = 0;
    for (size_t i = 0; i < n; i++)
        sum += bytes[i];
    return sum % 251;
}

static void on_data(void *arg, unsigned channel, const uint8_t *bytes, size_t n, bool last)
{
    Fuzz *f = arg;
    unsigned sum = sum_of(bytes, n);
    if (sum == 250)
        websocket_free(MOVE(f->w, NULL));
    else if (sum == 249)
        websocket_close(f->w, 1000, "enough");
    else if (last)
        websocket_send(f->w, channel % 10, bytes, n);
}

static void on_close(void *arg, unsigned code, const char *reason)
{
    Fuzz *f = arg;
    (void)sum_of((const uint8_t *)reason, strlen(reason));
    if (f->closes++ || code < 1000 || code > 4999)
        abort();
}

static const WebsocketOps ops = {.on_data = on_data, .on_close = on_close};

static void on_remote_data(void *arg, RemoteStream which, const uint8_t *bytes, size_t n)
{
    Fuzz *f = arg;
    if (sum_of(bytes, n) == 250)
        remote_free(MOVE(f->remote, NULL));
    else
        remote_write(f->remote, which == REMOTE_STDIN ? REMOTE_STDOUT : REMOTE_STDIN, bytes, n);
}

static void on_status(void *arg, const RemoteStatus *s)
{
    Fuzz *f = arg;
    (void)sum_of((const uint8_t *)s->message, strlen(s->message));
    if (f->statuses++)
        abort();
}

static const RemoteOps remote_ops = {.on_data = on_remote_data, .on_status = on_status};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 2)
        return 0;
    Fuzz f = {0};
    bool server = data[0] & 1, v5 = data[0] & 8;
    unsigned mode = data[0] >> 1 & 3;
    if (mode == 3) {
        const RemoteConfig c = {.server = server, .websocket = true, .protocol = remote_protocol(v5 ? "v5.channel.k8s.io" : "v4.base64.channel.k8s.io", true),
                                .stdin_ = true, .stdout_ = true, .stderr_ = true, .tty = data[0] & 16, .ops = &remote_ops, .arg = &f};
        f.remote = remote_new(&c);
    } else {
        f.w = websocket_new(&(WebsocketConfig){server, (WebsocketMode)mode, v5, &ops, &f});
    }
    for (size_t at = 1, piece; at < size && (f.w || f.remote); at += piece) {
        SCOPED(str_done) Str out = {0};
        piece = 1 + data[at] % 64u;
        piece = piece < size - at ? piece : size - at;
        SCOPED(err_free) Err *e = f.w ? websocket_recv(f.w, data + at, piece) : remote_recv(f.remote, data + at, piece);
        if (f.w)
            websocket_take(f.w, &out);
        if (f.remote)
            remote_take(f.remote, &out);
        if (e)
            break;
    }
    if (f.remote)
        remote_lost(f.remote);
    websocket_free(f.w);
    remote_free(f.remote);
    return 0;
}
