/* netcall_health.c - the two messages of grpc.health.v1.Health/Check, by hand: a text out, an enum in. */
#include "node/netcall_priv.h"

static void add_varint(Str *s, uint64_t v)
{
    for (; v >= 0x80; v >>= 7)
        str_add_c(s, (char)(v | 0x80));
    str_add_c(s, (char)v);
}

void grpc_health_request(const char *service, Str *out)
{
    if (str_empty(service)) /* proto3 leaves the default value out */
        return;
    add_varint(out, 1 << 3 | 2); /* HealthCheckRequest.service = 1, length-delimited */
    add_varint(out, strlen(service));
    str_add(out, service);
}

static bool take_varint(const uint8_t **p, const uint8_t *end, uint64_t *ret)
{
    *ret = 0;
    for (unsigned shift = 0; shift < 64 && *p < end; shift += 7) {
        uint8_t b = *(*p)++;
        *ret |= (uint64_t)(b & 0x7f) << shift;
        if (!(b & 0x80))
            return true;
    }
    return false;
}

/* Steps over a field's value that is of no interest. */
static bool skip_value(const uint8_t **p, const uint8_t *end, unsigned wire_type)
{
    uint64_t n = 0;
    if (wire_type == 0)
        return take_varint(p, end, &n);
    if (wire_type == 2 && !take_varint(p, end, &n))
        return false;
    if (wire_type == 1 || wire_type == 5)
        n = wire_type == 1 ? 8 : 4;
    else if (wire_type != 2)
        return false; /* groups are not in proto3 */
    if (n > (uint64_t)(end - *p))
        return false;
    *p += n;
    return true;
}

Err *grpc_health_reply(const uint8_t *bytes, size_t n, int64_t *ret_status)
{
    const uint8_t *p = bytes, *end = bytes + n;
    *ret_status = 0;
    while (p < end) {
        uint64_t key, value;
        if (!take_varint(&p, end, &key) || !(key >> 3))
            return err_new(ERR_INVALID, 0, "grpc: failed to unmarshal the received message");
        if (key == 1 << 3) { /* HealthCheckResponse.status = 1, an enum: 32 bits of the varint count */
            if (!take_varint(&p, end, &value))
                return err_new(ERR_INVALID, 0, "grpc: failed to unmarshal the received message");
            *ret_status = (int32_t)(uint32_t)value;
        } else if (!skip_value(&p, end, (unsigned)(key & 7))) {
            return err_new(ERR_INVALID, 0, "grpc: failed to unmarshal the received message");
        }
    }
    return NULL;
}
