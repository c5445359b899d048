/* cri_image.c - images, by the ImageService. The kubelet's rules for when to pull (pkg/kubelet/images/image_manager.go). */
#include "runtime/cri/cri_priv.h"
#include "runtime/oci/image.h"

typedef struct {
    CriRuntime *rt;
    char *reference, *normal, *id;
    bool pull, pulled;
    RuntimeImageDone *done;
    void *arg;
    ImageAuthList auths; /* tried in order */
    size_t next;
    StrVec failures;
    ErrKind kind;        /* of the last one */
} ImageOp;

static void finish(ImageOp *op, Err *e)
{
    op->done(op->arg, e ? NULL : op->id, e);
    image_auths_done(&op->auths);
    strvec_done(&op->failures);
    free(op->reference);
    free(op->normal);
    free(op->id);
    free(op);
}

const CriImageUser *cri_user_of(const CriRuntime *rt, const char *image_id)
{
    LIST_EACH(u, &rt->users)
        if (str_eq(u->id, image_id))
            return u;
    return NULL;
}

static void note_user(CriRuntime *rt, const Cri__Image *i)
{
    if (cri_user_of(rt, i->id))
        return;
    CriImageUser *u = LIST_ADD(&rt->users);
    *u = (CriImageUser){.id = mem_dup_str(i->id), .username = mem_dup_str(i->username),
                        .uid = i->uid ? i->uid->value : *i->username ? -1 : 0};
}

static void pull(ImageOp *op);

static void ask_status(ImageOp *op, const char *name, CriReply *reply)
{
    Cri__ImageSpec spec = CRI__IMAGE_SPEC__INIT;
    Cri__ImageStatusRequest q = CRI__IMAGE_STATUS_REQUEST__INIT;
    SCOPED(mem_free) char *image = mem_dup_str(name);
    spec.image = image;
    q.image = &spec;
    cri_call(op->rt, CRI_IMAGE_STATUS, &q, &(CriCallOptions){.repeat = true}, reply, op);
}

static void on_status(void *arg, int code, const ProtobufCMessage *answer, Err *err)
{
    ImageOp *op = arg;
    (void)code;
    const Cri__ImageStatusResponse *r = (const Cri__ImageStatusResponse *)answer;
    if (err) {
        finish(op, err_reason(err_wrap(err, "Failed to inspect image \"%s\"", op->reference), "ImageInspectError"));
        return;
    }
    if (r->image) {
        note_user(op->rt, r->image);
        mem_set_str(&op->id, r->image->id);
    }
    if (op->pull && !r->image) {
        pull(op);
        return;
    }
    if (op->pulled && !r->image) {
        finish(op, err_reason(err_new(ERR_NOT_FOUND, 0, "image \"%s\" is not there after it was pulled", op->reference), "ErrImagePull"));
        return;
    }
    finish(op, r->image ? NULL
                        : err_reason(err_new(ERR_NOT_FOUND, 0, "Container image \"%s\" is not present with pull policy of Never",
                                             op->reference),
                                     "ErrImageNeverPull"));
}

static void on_pulled_status(void *arg, int code, const ProtobufCMessage *answer, Err *err)
{
    ImageOp *op = arg;
    op->pull = false;
    op->pulled = true;
    on_status(op, code, answer, err);
}

/* Each of the candidates in turn; the error is then of them all (kuberuntime_image.go). */
static void on_pulled(void *arg, int code, const ProtobufCMessage *answer, Err *err)
{
    ImageOp *op = arg;
    (void)code;
    if (!err) {
        ask_status(op, ((const Cri__PullImageResponse *)answer)->image_ref, on_pulled_status);
        return;
    }
    strvec_add_take(&op->failures, err_text(err));
    op->kind = err->kind;
    err_free(err);
    if (++op->next < op->auths.n && !op->rt->closing) {
        pull(op);
        return;
    }
    SCOPED(mem_free) char *text = image_pull_errors(&op->failures);
    finish(op, err_reason(err_new(op->kind, 0, "%s", text), "ErrImagePull"));
}

static void take_auth(const ImageAuth *from, Cri__AuthConfig *to)
{
    const struct {
        char *from, **to;
    } rows[] = {{from->username, &to->username},
                {from->password, &to->password},
                {from->auth, &to->auth},
                {from->server_address, &to->server_address},
                {from->identity_token, &to->identity_token},
                {from->registry_token, &to->registry_token}};
    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        if (rows[i].from)
            *rows[i].to = rows[i].from;
}

static void pull(ImageOp *op)
{
    Cri__ImageSpec spec = CRI__IMAGE_SPEC__INIT;
    Cri__AuthConfig auth = CRI__AUTH_CONFIG__INIT;
    Cri__PullImageRequest q = CRI__PULL_IMAGE_REQUEST__INIT;
    spec.image = op->normal;
    spec.user_specified_image = op->reference;
    q.image = &spec;
    if (op->next < op->auths.n && !image_auth_empty(&op->auths.v[op->next])) {
        take_auth(&op->auths.v[op->next], &auth);
        q.auth = &auth;
    }
    cri_call(op->rt, CRI_PULL_IMAGE, &q, NULL, on_pulled, op);
}

Err *cri_image_ensure(Runtime *base, const char *reference, const char *policy, const ImageAuthList *auths,
                      RuntimeImageDone *done, void *arg)
{
    char *normal = NULL;
    Err *e = cri_refused(base);
    if (!e)
        e = image_ref_normalize(reference, &normal);
    if (e)
        return e;
    ImageOp *op = NEW(ImageOp);
    *op = (ImageOp){.rt = (CriRuntime *)base, .reference = mem_dup_str(reference), .normal = normal, .done = done, .arg = arg,
                    .pull = !str_eq(policy, "Never")};
    for (size_t i = 0; auths && i < auths->n; i++)
        image_auths_add(&op->auths, &auths->v[i]);
    if (str_eq(policy, "Always"))
        pull(op);
    else
        ask_status(op, op->normal, on_status);
    return NULL;
}

/* Another may have removed it, or given the name to another image: only the runtime knows. */
char *cri_image_find(Runtime *rt, const char *reference)
{
    (void)rt;
    (void)reference;
    return NULL;
}

Err *cri_image_user(Runtime *base, const char *image_id, int64_t *ret_uid, char **ret_name)
{
    const CriImageUser *u = cri_user_of((CriRuntime *)base, image_id);
    *ret_uid = u ? u->uid : -1;
    *ret_name = u && u->uid < 0 ? mem_dup_str(u->username) : NULL;
    return u ? NULL : err_new(ERR_NOT_FOUND, 0, "image %s was not looked up", image_id);
}
