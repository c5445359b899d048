#include "base/clock.h"

#include <stdio.h>

#include "base/str.h"

/* Days since 1970-01-01 of a proleptic Gregorian date, and back (Howard Hinnant, "chrono-Compatible Low-Level Date
 * Algorithms"): pure arithmetic, so neither the time zone nor libc's tables are consulted. */
static int64_t days_from_civil(int64_t y, int64_t m, int64_t d)
{
    y -= m <= 2;
    int64_t era = (y >= 0 ? y : y - 399) / 400;
    int64_t yoe = y - era * 400;
    int64_t doy = (153 * (m + (m > 2 ? -3 : 9)) + 2) / 5 + d - 1;
    int64_t doe = yoe * 365 + yoe / 4 - yoe / 100 + doy;
    return era * 146097 + doe - 719468;
}

static void civil_from_days(int64_t z, int64_t *y, int64_t *m, int64_t *d)
{
    z += 719468;
    int64_t era = (z >= 0 ? z : z - 146096) / 146097;
    int64_t doe = z - era * 146097;
    int64_t yoe = (doe - doe / 1460 + doe / 36524 - doe / 146096) / 365;
    int64_t doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
    int64_t mp = (5 * doy + 2) / 153;
    *d = doy - (153 * mp + 2) / 5 + 1;
    *m = mp + (mp < 10 ? 3 : -9);
    *y = yoe + era * 400 + (*m <= 2);
}

char *clock_format(int64_t ns, int digits, char *buf)
{
    int64_t s = ns / NS_PER_S, frac = ns % NS_PER_S;
    if (frac < 0) {
        frac += NS_PER_S;
        s--;
    }
    int64_t days = s / 86400, sec = s % 86400;
    if (sec < 0) {
        sec += 86400;
        days--;
    }
    int64_t y, mo, d;
    civil_from_days(days, &y, &mo, &d);
    int n = snprintf(buf, CLOCK_TEXT_MAX, "%04d-%02d-%02dT%02d:%02d:%02d", (int)y, (int)mo, (int)d, (int)(sec / 3600),
                     (int)(sec / 60 % 60), (int)(sec % 60));
    if (digits == 6)
        n += snprintf(buf + n, (size_t)(CLOCK_TEXT_MAX - n), ".%06d", (int)(frac / 1000));
    else if (digits == 9)
        n += snprintf(buf + n, (size_t)(CLOCK_TEXT_MAX - n), ".%09d", (int)frac);
    (void)snprintf(buf + n, (size_t)(CLOCK_TEXT_MAX - n), "Z");
    return buf;
}

static bool digits_at(const char **p, int n, int64_t *ret)
{
    int64_t v = 0;
    for (int i = 0; i < n; i++, (*p)++) {
        if (**p < '0' || **p > '9')
            return false;
        v = v * 10 + (**p - '0');
    }
    *ret = v;
    return true;
}

bool clock_parse(const char *s, int64_t *ret_ns)
{
    int64_t y, mo, d, h, mi, sec, frac = 0, off = 0;
    const char *p = s;
    if (!digits_at(&p, 4, &y) || *p++ != '-' || !digits_at(&p, 2, &mo) || *p++ != '-' || !digits_at(&p, 2, &d))
        return false;
    if (*p != 'T' && *p != 't')
        return false;
    p++;
    if (!digits_at(&p, 2, &h) || *p++ != ':' || !digits_at(&p, 2, &mi) || *p++ != ':' || !digits_at(&p, 2, &sec))
        return false;
    static const int month_days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    if (mo < 1 || mo > 12)
        return false;
    bool leap = (y % 4 == 0 && y % 100 != 0) || y % 400 == 0;
    if (d < 1 || d > month_days[mo - 1] + (mo == 2 && leap) || h > 23 || mi > 59 || sec > 60)
        return false;
    if (*p == '.' || *p == ',') {
        p++;
        if (*p < '0' || *p > '9')
            return false;
        int64_t unit = NS_PER_S / 10;
        for (; *p >= '0' && *p <= '9'; p++, unit /= 10)
            frac += (*p - '0') * unit;
    }
    if (*p == 'Z' || *p == 'z') {
        p++;
    } else if (*p == '+' || *p == '-') {
        int64_t sign = *p++ == '-' ? -1 : 1, oh, om;
        if (!digits_at(&p, 2, &oh) || *p++ != ':' || !digits_at(&p, 2, &om) || oh > 23 || om > 59)
            return false;
        off = sign * (oh * 3600 + om * 60);
    } else {
        return false;
    }
    if (*p)
        return false;
    int64_t secs = days_from_civil(y, mo, d) * 86400 + h * 3600 + mi * 60 + sec - off;
    int64_t ns;
    /* int64 nanoseconds reach from 1677 to 2262; a moment outside is refused, not wrapped. */
    if (__builtin_mul_overflow(secs, NS_PER_S, &ns) || __builtin_add_overflow(ns, frac, &ns))
        return false;
    *ret_ns = ns;
    return true;
}

static void add_fraction(Str *s, int64_t whole, int64_t frac, int64_t scale)
{
    str_fmt(s, "%lld", (long long)whole);
    if (!frac)
        return;
    str_add_c(s, '.');
    for (int64_t unit = scale / 10; frac && unit; unit /= 10) {
        str_add_c(s, (char)('0' + frac / unit));
        frac %= unit;
    }
}

char *duration_format(int64_t ns)
{
    Str s = {0};
    if (ns == 0)
        return mem_dup_str("0s");
    if (ns < 0) {
        str_add_c(&s, '-');
        ns = ns == INT64_MIN ? INT64_MAX : -ns;
    }
    if (ns < NS_PER_S) {
        if (ns < 1000)
            str_fmt(&s, "%lldns", (long long)ns);
        else if (ns < NS_PER_MS)
            add_fraction(&s, ns / 1000, ns % 1000, 1000), str_add(&s, "µs");
        else
            add_fraction(&s, ns / NS_PER_MS, ns % NS_PER_MS, NS_PER_MS), str_add(&s, "ms");
        return str_take(&s);
    }
    int64_t secs = ns / NS_PER_S, h = secs / 3600, m = secs / 60 % 60;
    if (h)
        str_fmt(&s, "%lldh", (long long)h);
    if (h || m)
        str_fmt(&s, "%lldm", (long long)m);
    add_fraction(&s, secs % 60, ns % NS_PER_S, NS_PER_S);
    str_add_c(&s, 's');
    return str_take(&s);
}

bool duration_parse(const char *s, int64_t *ret_ns)
{
    static const struct {
        const char *name;
        int64_t ns;
    } units[] = {{"ns", 1},        {"us", 1000},       {"µs", 1000},          {"ms", NS_PER_MS},
                 {"s", NS_PER_S}, {"m", 60 * NS_PER_S}, {"h", 3600 * NS_PER_S}};
    bool neg = *s == '-';
    if (*s == '-' || *s == '+')
        s++;
    if (!*s)
        return false;
    int64_t total = 0;
    bool first = true;
    while (*s) {
        const char *start = s;
        int64_t whole = 0, frac = 0, scale = 1;
        for (; *s >= '0' && *s <= '9'; s++)
            if (__builtin_mul_overflow(whole, 10, &whole) || __builtin_add_overflow(whole, *s - '0', &whole))
                return false;
        if (*s == '.') {
            for (s++; *s >= '0' && *s <= '9'; s++)
                if (scale < NS_PER_S) {
                    frac = frac * 10 + (*s - '0');
                    scale *= 10;
                }
        }
        if (s == start || (s == start + 1 && *start == '.'))
            return false;
        size_t len = strspn(s, "nuµmsh");
        int64_t unit = 0;
        for (size_t i = 0; i < ARRAY_LEN(units); i++)
            if (strlen(units[i].name) == len && memcmp(units[i].name, s, len) == 0)
                unit = units[i].ns;
        if (len == 0 && *s == '\0' && first)
            unit = NS_PER_S; /* a plain number is seconds: friendlier than Go's error */
        if (!unit)
            return false;
        s += len;
        int64_t part;
        if (__builtin_mul_overflow(whole, unit, &part) ||
            __builtin_add_overflow(part, (int64_t)((__int128)frac * unit / scale), &part) ||
            __builtin_add_overflow(total, part, &total))
            return false;
        first = false;
    }
    *ret_ns = neg ? -total : total;
    return true;
}
