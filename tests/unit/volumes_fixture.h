/* volumes_fixture.h - a VolumesContext from JSON text, for the tests of environment, Pod files and volumes. */
#ifndef REPRISE_TESTS_VOLUMES_FIXTURE_H
#define REPRISE_TESTS_VOLUMES_FIXTURE_H

#include <stdio.h>

#include "api/codec.h"
#include "node/volumes.h"

typedef struct {
    Pod *pod;
    Objects objects;
    StrVec warnings;
    VolumesContext ctx;
} Fixture;

static UNUSED void *decode(const TypeDesc *t, const char *json)
{
    void *obj = NULL;
    SCOPED(err_free) Err *e = api_decode_text(t, json, strlen(json), &obj);
    if (e) {
        SCOPED(mem_free) char *text = err_text(e);
        (void)fprintf(stderr, "bad test data: %s: %s\n", text, json);
        abort();
    }
    return obj;
}

/* <f> stays where it is: the context points into it. */
static UNUSED void fixture_init(Fixture *f, const char *root, const char *pod_json)
{
    static const char *const host_ips[] = {"192.0.2.1", "2001:db8::1"};
    *f = (Fixture){.pod = decode(&type_Pod, pod_json)};
    f->ctx = (VolumesContext){.root = root, .pod = f->pod, .objects = &f->objects, .host_ips = host_ips, .n_host_ips = 2,
                              .warnings = &f->warnings};
}

static UNUSED void fixture_config_map(Fixture *f, const char *json)
{
    *LIST_ADD(&f->objects.config_maps) = decode(&type_ConfigMap, json);
}

static UNUSED void fixture_secret(Fixture *f, const char *json)
{
    *LIST_ADD(&f->objects.secrets) = decode(&type_Secret, json);
}

static UNUSED void fixture_claim(Fixture *f, const char *json)
{
    *LIST_ADD(&f->objects.pvcs) = decode(&type_PersistentVolumeClaim, json);
}

static UNUSED void fixture_done(Fixture *f)
{
    for (size_t i = 0; i < f->objects.config_maps.n; i++)
        api_free(&type_ConfigMap, f->objects.config_maps.v[i]);
    for (size_t i = 0; i < f->objects.secrets.n; i++)
        api_free(&type_Secret, f->objects.secrets.v[i]);
    for (size_t i = 0; i < f->objects.pvcs.n; i++)
        api_free(&type_PersistentVolumeClaim, f->objects.pvcs.v[i]);
    free(f->objects.config_maps.v);
    free(f->objects.secrets.v);
    free(f->objects.pvcs.v);
    strvec_done(&f->warnings);
    pod_free(f->pod);
    *f = (Fixture){0};
}

/* "" for no error. Caller frees. */
static UNUSED char *error_text(Err *e /* taken */)
{
    char *text = e ? err_text(e) : mem_dup_str("");
    err_free(e);
    return text;
}

static UNUSED char *joined(const StrVec *v)
{
    Str s = {0};
    for (size_t i = 0; i < v->n; i++)
        str_fmt(&s, "%s%s", i ? "|" : "", v->v[i]);
    return str_take(&s);
}

#endif
