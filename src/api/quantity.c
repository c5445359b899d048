/* quantity.c - resource.Quantity (k8s.io/apimachinery/pkg/api/resource/quantity.go) on one 128-bit number.
 *
 * A quantity is at most 2^63-1 and at least one billionth, both by Kubernetes' rule: larger ones are capped, smaller ones
 * rounded up (away from zero). So a count of billionths in 128 bits holds every value exactly. */
#include "api/quantity.h"

#include "base/str.h"

typedef unsigned __int128 U128;

typedef enum { DECIMAL_SI, DECIMAL_EXPONENT, BINARY_SI } Format;
typedef struct {
    bool negative;
    U128 nano;
    Format format;
} Value;

#define NANO ((U128)1000000000u)
#define MAX_NANO ((U128)INT64_MAX * NANO)
/* Longer texts are no quantities anybody wrote; the bound keeps the exponent arithmetic far from overflow. */
#define MAX_TEXT 256

/* Powers of ten and of two that a suffix stands for. */
static const struct Suffix {
    char text[3];
    int ten, two;
} suffixes[] = {
    {"n", -9, 0}, {"u", -6, 0}, {"m", -3, 0}, {"", 0, 0},   {"k", 3, 0},   {"M", 6, 0},   {"G", 9, 0},  {"T", 12, 0},
    {"P", 15, 0}, {"E", 18, 0}, {"Ki", 0, 10}, {"Mi", 0, 20}, {"Gi", 0, 30}, {"Ti", 0, 40}, {"Pi", 0, 50}, {"Ei", 0, 60},
};

static bool digit(char c)
{
    return c >= '0' && c <= '9';
}

/* What follows the number: a suffix, or e/E and a decimal exponent. */
static bool scale_parse(const char *s, int *ten, int *two, Format *format)
{
    *two = 0;
    if ((*s == 'e' || *s == 'E') && s[1]) {
        int64_t exp;
        /* Beyond this any number is capped or rounded; the text decides, not the exact exponent. */
        if (!str_to_i64(s + 1, &exp) || exp > INT32_MAX || exp < INT32_MIN)
            return false;
        *ten = exp > 1000 ? 1000 : exp < -1000 ? -1000 : (int)exp;
        *format = DECIMAL_EXPONENT;
        return true;
    }
    for (size_t i = 0; i < ARRAY_LEN(suffixes); i++)
        if (strcmp(s, suffixes[i].text) == 0) {
            *ten = suffixes[i].ten;
            *two = suffixes[i].two;
            *format = *two ? BINARY_SI : DECIMAL_SI;
            return true;
        }
    return false;
}

/* Value of <n> digits (no leading zeros) times 10^ten times 2^two, in units, capped at MAX_NANO and rounded up. */
static U128 scaled(const char *digits, int n, int ten, int two)
{
    if (n + ten > 30 || (two && n + ten > 28 + 9))
        return MAX_NANO;
    if (n + ten < -20)
        return 1;
    /* 18 digits times 2^60 fit; with a binary suffix, digits after the 18th only round up. */
    int keep = two ? 18 : 37;
    bool sticky = false;
    for (; n > keep; n--, ten++)
        sticky = sticky || digits[n - 1] != '0';
    U128 v = 0;
    for (int i = 0; i < n; i++)
        v = v * 10 + (unsigned)(digits[i] - '0');
    v <<= two;
    for (; ten < 0; ten++) {
        sticky = sticky || v % 10;
        v /= 10;
    }
    for (; ten > 0 && v <= MAX_NANO; ten--)
        v *= 10;
    v += sticky;
    return v > MAX_NANO ? MAX_NANO : v;
}

static bool parse(const char *q, Value *ret)
{
    if (!q || strlen(q) > MAX_TEXT)
        return false;
    *ret = (Value){.negative = *q == '-'};
    if (*q == '-' || *q == '+')
        q++;
    char digits[MAX_TEXT];
    int n = 0, fraction = 0;
    bool any = false;
    for (; digit(*q); q++, any = true)
        if (n || *q != '0')
            digits[n++] = *q;
    if (*q == '.')
        for (q++; digit(*q); q++, any = true, fraction++)
            if (n || *q != '0')
                digits[n++] = *q;
    int ten, two;
    if (!any || !scale_parse(q, &ten, &two, &ret->format))
        return false;
    for (; n && digits[n - 1] == '0'; n--)
        fraction--;
    if (n)
        ret->nano = scaled(digits, n, 9 + ten - fraction, two);
    else
        ret->negative = false;
    return true;
}

/* <unit> billionths make one; rounded away from zero. */
static bool in_units(const char *q, U128 unit, int64_t *ret)
{
    Value v;
    if (!parse(q, &v))
        return false;
    U128 n = v.nano / unit + (v.nano % unit != 0);
    if (n > (U128)INT64_MAX)
        return false;
    *ret = v.negative ? -(int64_t)n : (int64_t)n;
    return true;
}

bool quantity_milli(const char *q, int64_t *ret)
{
    return in_units(q, NANO / 1000, ret);
}

bool quantity_value(const char *q, int64_t *ret)
{
    return in_units(q, NANO, ret);
}

int quantity_cmp(const char *a, const char *b)
{
    Value x, y;
    if (!parse(a, &x))
        x = (Value){0};
    if (!parse(b, &y))
        y = (Value){0};
    if (x.negative != y.negative)
        return x.negative ? -1 : 1;
    int magnitude = x.nano < y.nano ? -1 : x.nano > y.nano;
    return x.negative ? -magnitude : magnitude;
}

static void add_number(Str *s, U128 v)
{
    char text[40];
    size_t at = sizeof text;
    do {
        text[--at] = (char)('0' + (int)(v % 10));
        v /= 10;
    } while (v);
    str_add_n(s, text + at, sizeof text - at);
}

static const char *suffix_of(int ten, int two)
{
    for (size_t i = 0; i < ARRAY_LEN(suffixes); i++)
        if (suffixes[i].ten == ten && suffixes[i].two == two)
            return suffixes[i].text;
    return "";
}

/* The largest power of 1024 that leaves a whole number (Quantity.CanonicalizeBytes). */
static void add_binary(Str *s, U128 nano)
{
    U128 v = nano / NANO + (nano % NANO != 0);
    int two = 0;
    for (; two < 60 && v % 1024 == 0; two += 10)
        v /= 1024;
    add_number(s, v);
    str_add(s, suffix_of(0, two));
}

/* The largest power of 1000 that leaves a whole number. */
static void add_decimal(Str *s, U128 nano, Format format)
{
    int ten = -9;
    for (; ten < 18 && nano % 1000 == 0; ten += 3)
        nano /= 1000;
    add_number(s, nano);
    if (format == DECIMAL_SI)
        str_add(s, suffix_of(ten, 0));
    else if (ten)
        str_fmt(s, "e%d", ten);
}

char *quantity_canonical(const char *q)
{
    Value v;
    if (!parse(q, &v))
        return NULL;
    Str s = {0};
    if (v.negative)
        str_add_c(&s, '-');
    if (v.nano == 0)
        str_add_c(&s, '0');
    else if (v.format == BINARY_SI && v.nano >= 1024 * NANO)
        add_binary(&s, v.nano);
    else
        add_decimal(&s, v.nano, v.format == DECIMAL_EXPONENT ? DECIMAL_EXPONENT : DECIMAL_SI);
    return str_take(&s);
}

char *quantity_binary(int64_t v)
{
    U128 n = v < 0 ? (U128)(-(__int128)v) : (U128)v;
    Str s = {0};
    if (v < 0)
        str_add_c(&s, '-');
    if (n == 0)
        str_add_c(&s, '0');
    else if (n < 1024)
        add_decimal(&s, n * NANO, DECIMAL_SI);
    else
        add_binary(&s, n * NANO);
    return str_take(&s);
}
