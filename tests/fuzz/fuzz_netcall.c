/* The message that answers a gRPC probe, and an httpGet's path: the first byte picks which.
 * 'm' the health message; anything else is a path. The connection under it is fuzz_grpc's. */
#include "node/netcall_priv.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (!size)
        return 0;
    int64_t status;
    if (data[0] == 'm') {
        err_free(grpc_health_reply(data + 1, size - 1, &status));
    } else {
        SCOPED(mem_free) char *path = mem_dup_strn((const char *)data + 1, size - 1);
        SCOPED(mem_free) char *url = netcall_url("http", "h", 80, path);
        for (const char *p = url; *p; p++)
            if ((unsigned char)*p <= ' ')
                abort(); /* would end the request line */
    }
    return 0;
}
