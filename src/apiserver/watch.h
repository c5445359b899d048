/* watch.h - the watches of a server, all of them: see watch.c. */
#ifndef REPRISE_APISERVER_WATCH_H
#define REPRISE_APISERVER_WATCH_H

#include "apiserver/api_priv.h"

void watches_init(ApiServer *s);
/* Each gets its end, as from a kube-apiserver that is shut down. */
void watches_stop(ApiServer *s);
/* Nobody may be left: after http_server_free(). */
void watches_done(ApiServer *s);

#endif
