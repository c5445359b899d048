#include "daemon/log.h"

#include <stdio.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/str.h"
#include "os/fs.h"
#include "wire/json.h"

const char *const log_level_names[] = {"debug", "info", "warn", "error", NULL};
const char *const log_format_names[] = {"logfmt", "json", NULL};

/* As it stands where that cannot be misread, else quoted. */
static void add_value(Str *s, const char *v)
{
    bool plain = *v != '\0';
    for (const char *p = v; *p && plain; p++)
        plain = (unsigned char)*p > ' ' && (unsigned char)*p < 0x7f && !strchr("=\"\\", *p);
    if (plain)
        str_add(s, v);
    else
        str_add_quoted(s, v);
}

char *log_text(const Log *l, LogLevel level, int64_t ts_ns, const char *msg, const LogField *fields, size_t n)
{
    char ts[CLOCK_TEXT_MAX];
    clock_format(ts_ns, 6, ts);
    if (l->format == LOG_JSON) {
        SCOPED(json_unref) json_t *o = json_object();
        json_object_set_new(o, "ts", json_string(ts));
        json_object_set_new(o, "level", json_string(log_level_names[level]));
        json_object_set_new(o, "msg", json_string(msg));
        for (size_t i = 0; i < n; i++)
            if (fields[i].value) /* NULL for what is no UTF-8: then the key is left out, too */
                json_object_set_new(o, fields[i].key, json_string(fields[i].value));
        return json_text(o, false);
    }
    Str s = {0};
    str_fmt(&s, "ts=%s level=%s msg=", ts, log_level_names[level]);
    add_value(&s, msg);
    for (size_t i = 0; i < n; i++)
        if (fields[i].value) {
            str_fmt(&s, " %s=", fields[i].key);
            add_value(&s, fields[i].value);
        }
    return str_take(&s);
}

void log_line(const Log *l, LogLevel level, int64_t ts_ns, const char *msg, const LogField *fields, size_t n)
{
    if (level < l->level)
        return;
    SCOPED(mem_free) char *text = log_text(l, level, ts_ns, msg, fields, n);
    SCOPED(mem_free) char *line = mem_fmt("%s\n", text);
    size_t len = strlen(line);
    if (write(STDERR_FILENO, line, len) < 0) {
        /* Nobody reads: a daemon goes on. */
    }
}

void log_error(const Log *l, const char *msg, const char *pod, Err *e)
{
    SCOPED(mem_free) char *text = err_text(e);
    LOG(l, LOG_ERROR, msg, {"pod", pod}, {"err", text});
    err_free(e);
}

bool log_rate(LogRate *r, int64_t now_ns, uint64_t *ret_left_out)
{
    if (!r->begun) {
        *r = (LogRate){.begun = true, .tokens_ns = LOG_BURST * NS_PER_S, .last_ns = now_ns};
    } else if (now_ns > r->last_ns) {
        int64_t more = now_ns - r->last_ns, room = LOG_BURST * NS_PER_S - r->tokens_ns;
        r->tokens_ns += more < room ? more : room;
    }
    r->last_ns = now_ns;
    if (r->tokens_ns < NS_PER_S) {
        r->left_out++;
        return false;
    }
    r->tokens_ns -= NS_PER_S;
    *ret_left_out = MOVE(r->left_out, 0);
    return true;
}
