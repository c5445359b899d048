/* pbjson.h - protobuf-c messages to JSON values and back, by protobuf's canonical JSON mapping (protobuf.dev, "ProtoJSON"), as Go's
 * protojson has it and crictl prints: one walk over the generated descriptors, no code for any message.
 *
 * Out: lowerCamelCase names, int64 and uint64 as strings, enums by name (a number that has none stays one), bytes as base64, map<,> as
 * objects, what has its default value left out. In: both spellings of names, numbers as numbers or strings, null for "not there";
 * unknown names, names given twice, wrong types and numbers out of range are refused with their path. protobuf-c cannot express what a
 * _ at the end of a name is for (it keeps `linux` from the preprocessor), so that is no part of it, and a string ends at its first NUL. */
#ifndef REPRISE_WIRE_PBJSON_H
#define REPRISE_WIRE_PBJSON_H

#include <protobuf-c/protobuf-c.h>

#include "wire/json.h"

/* Of one message, either way. CRI's deepest is 8; a node with 1000 containers has 50,000 values. */
#define PBJSON_MAX_DEPTH 64
#define PBJSON_MAX_VALUES ((size_t)1 << 20)

enum {
    PBJSON_DEFAULTS = 1, /* everything is written: "", "0", false, [], {}, and null for a message that is not there */
    PBJSON_TEXT = 2,     /* bytes as text, what is not UTF-8 in it as U+FFFD: for people; pbjson_read() cannot take it back */
};

/* *ret is a new reference. ERR_LIMIT is the only error: whatever the decoder let through has a JSON form. */
MUST_USE Err *pbjson_write(const ProtobufCMessage *m, unsigned flags, json_t **ret);
/* The message is malloc()ed as protobuf-c's own are: protobuf_c_message_free_unpacked(*ret, NULL). ERR_INVALID names the path in <j>:
 * "config.metadata.nmae: unknown field". */
MUST_USE Err *pbjson_read(const ProtobufCMessageDescriptor *d, const json_t *j, ProtobufCMessage **ret);

static inline void pbjson_free(ProtobufCMessage *m) { protobuf_c_message_free_unpacked(m, NULL); }
SCOPED_FN(pbjson_free, ProtobufCMessage *, NULL)

#endif
