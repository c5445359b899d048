/* Protobuf and JSON, both from outside: a person's request, a runtime's answer. The first byte picks the method, the second what the
 * rest is: JSON text of its request, or the bytes of its answer. What comes out must read back as the same. */
#include "runtime/cri/cri.pb-c.h"
#include "runtime/cri/methods.h"
#include "base/str.h"
#include "wire/pbjson.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static uint8_t *packed(const ProtobufCMessage *m, size_t *ret_n)
{
    *ret_n = protobuf_c_message_get_packed_size(m);
    uint8_t *bytes = mem_alloc(*ret_n);
    if (protobuf_c_message_pack(m, bytes) != *ret_n)
        abort();
    return bytes;
}

/* NULL: over a limit, which is fine. */
static char *text_of(const ProtobufCMessage *m, unsigned flags, ProtobufCMessage **ret_again)
{
    SCOPED(json_unref) json_t *j = NULL;
    SCOPED(err_free) Err *e = pbjson_write(m, flags, &j);
    if (e && e->kind != ERR_LIMIT)
        abort();
    if (e)
        return NULL;
    SCOPED(err_free) Err *again = ret_again ? pbjson_read(m->descriptor, j, ret_again) : NULL;
    if (again)
        abort(); /* what we write is what we read */
    return json_text(j, false);
}

/* message -> JSON -> message -> JSON, and the two texts are one. Strings that were not UTF-8 have become so in the first. */
static void round_trip(const ProtobufCMessage *m)
{
    for (unsigned flags = 0; flags <= PBJSON_DEFAULTS; flags++) {
        SCOPED(pbjson_free) ProtobufCMessage *again = NULL;
        SCOPED(mem_free) char *first = text_of(m, flags, &again);
        SCOPED(mem_free) char *second = again ? text_of(again, flags, NULL) : NULL;
        if (first && !str_eq(first, second))
            abort();
    }
    SCOPED(mem_free) char *people = text_of(m, PBJSON_TEXT, NULL);
}

static void from_json(const ProtobufCMessageDescriptor *d, const char *text, size_t n)
{
    SCOPED(json_unref) json_t *j = NULL;
    SCOPED(pbjson_free) ProtobufCMessage *m = NULL;
    SCOPED(err_free) Err *e = json_parse(text, n, &j);
    if (!e)
        e = pbjson_read(d, j, &m);
    if (e)
        return;
    size_t size;
    SCOPED(mem_free) uint8_t *bytes = packed(m, &size);
    SCOPED(pbjson_free) ProtobufCMessage *again = protobuf_c_message_unpack(d, NULL, size, bytes);
    if (!again)
        abort();
    SCOPED(mem_free) char *before = text_of(m, 0, NULL), *after = text_of(again, 0, NULL);
    if (!str_eq(before, after))
        abort(); /* the wire has lost something */
    round_trip(again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 2)
        return 0;
    const CriMethodInfo *m = &cri_methods[data[0] % CRI_METHOD_N];
    if (data[1] == 'j') {
        from_json(m->request, (const char *)data + 2, size - 2);
    } else {
        SCOPED(pbjson_free) ProtobufCMessage *r = protobuf_c_message_unpack(m->response, NULL, size - 2, data + 2);
        if (r)
            round_trip(r);
    }
    return 0;
}
