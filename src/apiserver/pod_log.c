/* pod_log.c - GET .../log. */
#include "apiserver/api_priv.h"

void pod_log(ApiCall *c)
{
    api_reply_status(c, kube_internal("logs are not served yet"));
}
