/* pod_streams.c - exec, attach and port-forward. */
#include "apiserver/api_priv.h"

static void not_yet(ApiCall *c)
{
    api_reply_status(c, kube_internal("streams are not served yet"));
}

void pod_exec(ApiCall *c) { not_yet(c); }
void pod_attach(ApiCall *c) { not_yet(c); }
void pod_port_forward(ApiCall *c) { not_yet(c); }

void pod_streams_stop(ApiServer *s) { (void)s; }
void pod_streams_free(ApiServer *s) { (void)s; }
