/* image_auth.h - credentials for pulling an image, as CRI's AuthConfig has them. Included by runtime.h. */
#ifndef REPRISE_RUNTIME_IMAGE_AUTH_H
#define REPRISE_RUNTIME_IMAGE_AUTH_H

#include "api/types.h"
#include "base/str.h"

/* Owned strings, NULL = not said. Either username and password, or <auth> (base64 of "username:password"), or a token. One that
 * says nothing at all is a candidate too, as with the kubelet: it is tried without credentials. */
typedef struct {
    char *username, *password, *auth, *server_address, *identity_token, *registry_token;
} ImageAuth;
/* Candidates, in the order in which they are tried. */
typedef LIST_OF(ImageAuth) ImageAuthList;

void image_auth_done(ImageAuth *a);
bool image_auth_empty(const ImageAuth *a);
void image_auths_add(ImageAuthList *l, const ImageAuth *a); /* copies */
void image_auths_done(ImageAuthList *l);
static inline UNUSED void image_auths_done_at(ImageAuthList *l) { image_auths_done(l); }

/* What is said when every candidate has failed: one text by itself, several as "[a, b]" with each said once (apimachinery's
 * utilerrors.NewAggregate). Caller frees. */
MUST_USE char *image_pull_errors(const StrVec *texts);

#endif
