/* notify.c - what the owner is told, in order, but after the fact: while something is being started or restarted, making text of a
 * status would hold that up. A status that is told later is kept as it was; nothing is left out. */
#include <stdarg.h>

#include "agent/worker.h"

#define LATE_MS 50     /* nobody waits longer than this; a live view is painted ten times a second */
#define NOTES_IDLE 64  /* told in one turn of the loop, when nothing else is to do */
#define NOTES_BUSY 4

typedef enum { NOTE_STATUS, NOTE_EVENT, NOTE_DONE } NoteKind;
struct Note {
    Note *next;
    Worker *w; /* with a reference */
    NoteKind kind;
    int64_t now_ns;
    bool kept;        /* <status> is what it was then; else it is still the Pod's */
    PodStatus status;
    bool warning;
    char *reason, *message, *container;
};

static void note_free(Note *n)
{
    if (n->w->last_status == n)
        n->w->last_status = NULL;
    worker_unref(n->w);
    if (n->kept)
        api_done(&type_PodStatus, &n->status);
    free(n->reason);
    free(n->message);
    free(n->container);
    free(n);
}

static void tell(const Note *n)
{
    const AgentListener *l = &n->w->agent->cfg.listener;
    Pod pod = *n->w->rec.pod; /* borrowed for the call */
    if (n->kept)
        pod.status = n->status;
    switch (n->kind) {
    case NOTE_STATUS:
        if (l->pod)
            l->pod(l->arg, "MODIFIED", &pod, n->now_ns);
        break;
    case NOTE_EVENT:
        if (l->event)
            l->event(l->arg, &pod, n->warning, n->reason, n->message, n->container, n->now_ns);
        break;
    case NOTE_DONE:
        if (l->done)
            l->done(l->arg, &pod);
        break;
    }
}

static void tell_some(Agent *a, unsigned budget)
{
    for (; a->notes && budget > 0; budget--) {
        Note *n = a->notes;
        a->notes = n->next;
        if (!a->notes)
            a->notes_tail = NULL;
        if (!a->closed)
            tell(n);
        note_free(n);
    }
}

void notes_tell_all(Agent *a)
{
    tell_some(a, UINT32_MAX);
}

static void on_late(uv_timer_t *t)
{
    ((Agent *)t->data)->notes_late = true;
}

bool notes_turn(Agent *a)
{
    bool busy = a->starting || a->n_restarting;
    if (!a->notes || (busy && !a->notes_late))
        return false;
    tell_some(a, busy ? NOTES_BUSY : NOTES_IDLE);
    if (!a->notes) {
        a->notes_late = false;
        (void)uv_timer_stop(&a->notes_timer);
    }
    return a->notes != NULL;
}

void notes_init(Agent *a)
{
    (void)uv_timer_init(a->cfg.loop, &a->notes_timer);
    a->notes_timer.data = a;
}

static Note *note_add(Worker *w, NoteKind kind)
{
    Agent *a = w->agent;
    Note *n = NEW(Note);
    *n = (Note){.w = worker_ref(w), .kind = kind, .now_ns = worker_now()};
    if (a->notes_tail)
        a->notes_tail->next = n;
    else
        a->notes = n;
    a->notes_tail = n;
    if (!uv_is_active((uv_handle_t *)&a->notes_timer)) {
        uv_update_time(a->cfg.loop);
        (void)uv_timer_start(&a->notes_timer, on_late, LATE_MS, 0);
    }
    return n;
}

void worker_tell_status(Worker *w)
{
    w->last_status = note_add(w, NOTE_STATUS);
}

void worker_keep_status(Worker *w, PodStatus *old)
{
    Note *n = MOVE(w->last_status, NULL);
    if (n) {
        n->status = MOVE(*old, (PodStatus){0});
        n->kept = true;
    } else {
        api_done(&type_PodStatus, old);
    }
}

void worker_tell_done(Worker *w)
{
    (void)note_add(w, NOTE_DONE);
}

void worker_event(Worker *w, bool warning, const char *reason, const char *container, const char *fmt, ...)
{
    if (w->closed)
        return;
    Str s = {0};
    va_list ap;
    va_start(ap, fmt);
    str_vfmt(&s, fmt, ap);
    va_end(ap);
    Note *n = note_add(w, NOTE_EVENT);
    n->warning = warning;
    n->reason = mem_dup_str(reason);
    n->container = mem_dup_str(container);
    n->message = str_take(&s);
}
