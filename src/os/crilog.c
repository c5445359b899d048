#include "os/crilog.h"

static void show(CriLog *l, const char *bytes, size_t n, Str *out)
{
    if (l->limit >= 0 && (int64_t)n >= l->limit) { /* the kubelet cuts the line, and ends */
        n = (size_t)l->limit;
        l->over = true;
    }
    str_add_n(out, bytes, n);
    if (l->limit >= 0)
        l->limit -= (int64_t)n;
}

/* The moment as Go's RFC3339NanoFixed has it: nine digits, and the zone that was there. */
static void show_stamp(CriLog *l, size_t n, Str *out)
{
    char text[CRILOG_HEAD_MAX + 16];
    size_t seconds = sizeof "2026-01-02T15:04:05" - 1, at = seconds, digits = 0;
    if (n < seconds)
        return;
    memcpy(text, l->head, seconds);
    text[at++] = '.';
    const char *p = l->head + seconds, *end = l->head + n;
    if (p < end && *p == '.')
        for (p++; p < end && *p >= '0' && *p <= '9'; p++)
            if (digits < 9)
                text[at + digits++] = *p;
    while (digits < 9)
        text[at + digits++] = '0';
    at += digits;
    memcpy(text + at, p, (size_t)(end - p));
    at += (size_t)(end - p);
    text[at++] = ' ';
    show(l, text, at, out);
}

/* "2026-01-02T15:04:05.1Z stdout F ": what its text is for. */
static void begin_text(CriLog *l, Str *out)
{
    char *stream = memchr(l->head, ' ', l->n_head), *tag, *end = l->head + l->n_head - 1; /* at the third blank */
    int64_t ns;
    l->at = CRILOG_SKIP;
    if (!stream || !(tag = memchr(stream + 1, ' ', (size_t)(end - stream - 1))))
        return;
    size_t n_stream = (size_t)(tag - stream - 1), n_stamp = (size_t)(stream - l->head);
    if (n_stream != 6 || (memcmp(stream + 1, "stdout", 6) != 0 && memcmp(stream + 1, "stderr", 6) != 0))
        return;
    *stream = '\0';
    if (!clock_parse(l->head, &ns) || (l->since_ns != NS_NONE && ns < l->since_ns))
        return;
    size_t n_tag = (size_t)(end - tag - 1); /* tags may follow the first, behind colons */
    l->partial = n_tag >= 1 && tag[1] == 'P' && (n_tag == 1 || tag[2] == ':');
    l->at = CRILOG_TEXT;
    if (l->timestamps && !l->inside)
        show_stamp(l, n_stamp, out);
}

static size_t feed_head(CriLog *l, const char *bytes, size_t n, Str *out)
{
    for (size_t i = 0; i < n; i++) {
        if (bytes[i] == '\n') { /* torn: what is no line is left out */
            l->n_head = 0;
            continue;
        }
        l->head[l->n_head++] = bytes[i];
        size_t blanks = 0;
        for (size_t k = 0; bytes[i] == ' ' && k < l->n_head; k++)
            blanks += l->head[k] == ' ';
        if (blanks == 3)
            begin_text(l, out);
        else if (l->n_head == sizeof l->head)
            l->at = CRILOG_SKIP;
        if (l->at != CRILOG_HEAD)
            return i + 1;
    }
    return n;
}

static size_t feed_text(CriLog *l, const char *bytes, size_t n, Str *out)
{
    const char *nl = memchr(bytes, '\n', n);
    size_t text = nl ? (size_t)(nl - bytes) : n;
    if (l->at == CRILOG_TEXT)
        show(l, bytes, text + (nl && !l->partial), out);
    if (!nl)
        return n;
    if (l->at == CRILOG_TEXT)
        l->inside = l->partial;
    l->at = CRILOG_HEAD;
    l->n_head = 0;
    return text + 1;
}

bool crilog_feed(CriLog *l, const char *bytes, size_t n, Str *out)
{
    for (size_t done = 0; done < n && !l->over;)
        done += (l->at == CRILOG_HEAD ? feed_head : feed_text)(l, bytes + done, n - done, out);
    return !l->over;
}

void crilog_next_file(CriLog *l)
{
    l->at = CRILOG_HEAD;
    l->n_head = 0;
}

size_t crilog_tail_back(const char *bytes, size_t n, bool last, int64_t *left)
{
    size_t end = n - (last && n && bytes[n - 1] == '\n');
    if (*left == 0)
        return n;
    for (const char *nl; (nl = memrchr(bytes, '\n', end)); end = (size_t)(nl - bytes))
        if (--*left == 0)
            return (size_t)(nl - bytes) + 1;
    return 0;
}
