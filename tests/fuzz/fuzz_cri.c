/* News of a CRI runtime, from outside and in any order: statuses, lists, events, sweeps and removals, fed to the cache of a runtime without
 * a connection. Each step is an operation, an object and a value; 'p' is a whole event as protobuf. What is known must stay in order:
 * nothing comes back, nothing goes back, the indices hold what the Pods hold. */
#include "runtime/cri/cri_priv.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define CONTAINERS 16
#define SANDBOXES  4
#define PODS       3

typedef struct { int reached; bool gone; int32_t code; bool code_known; } Watched;
typedef struct {
    CriRuntime rt;
    StrIndex named;
    uint64_t list; /* asked for, and not swept yet; 0 = none */
    Watched containers[CONTAINERS], sandboxes[SANDBOXES];
    char ids[CONTAINERS + SANDBOXES][4];
} Fuzz;

static char root_key[] = LABEL_ROOT, root[] = "r", uid_key[] = LABEL_POD_UID, name[] = "n", uids[PODS][3] = {"u0", "u1", "u2"},
            policy_key[] = NOTE_MESSAGE_POLICY, policy[] = "FallbackToLogsOnError", standby_key[] = NOTE_KEY, unknown[] = "Unknown";

static char *container_id(Fuzz *f, uint8_t which)
{
    return f->ids[which % CONTAINERS];
}

static char *sandbox_id(Fuzz *f, uint8_t which)
{
    return f->ids[CONTAINERS + which % SANDBOXES];
}

/* One container always is in the same sandbox of the same Pod. */
static char *uid_of(uint8_t sandbox)
{
    return uids[sandbox % SANDBOXES % PODS];
}

static void status(Fuzz *f, uint8_t which, uint8_t v)
{
    Cri__ContainerMetadata m = CRI__CONTAINER_METADATA__INIT;
    Cri__ContainerStatus__LabelsEntry r = CRI__CONTAINER_STATUS__LABELS_ENTRY__INIT, u = CRI__CONTAINER_STATUS__LABELS_ENTRY__INIT,
                                      *labels[] = {&r, &u};
    Cri__ContainerStatus__AnnotationsEntry p = CRI__CONTAINER_STATUS__ANNOTATIONS_ENTRY__INIT,
                                           k = CRI__CONTAINER_STATUS__ANNOTATIONS_ENTRY__INIT, *notes[] = {&p, &k};
    Cri__ContainerStatus s = CRI__CONTAINER_STATUS__INIT;
    r.key = root_key;
    r.value = root;
    u.key = uid_key;
    u.value = uid_of(which);
    p.key = policy_key;
    p.value = policy;
    k.key = standby_key;
    m.name = name;
    m.attempt = which;
    s.id = container_id(f, which);
    s.metadata = &m;
    s.labels = labels;
    s.n_labels = 2;
    s.annotations = notes;
    s.n_annotations = which % 3;
    s.state = (Cri__ContainerState)(v % 4);
    s.created_at = 10 + which;
    s.started_at = v & 4 ? 100 : 0;
    s.finished_at = v & 8 ? 200 : 0;
    if (v & 16) {
        s.exit_code = 255;
        s.reason = unknown;
    } else {
        s.exit_code = which;
    }
    cri_saw_container(&f->rt, v & 32 ? NULL : sandbox_id(f, which), &s);
}

static void list_item(Fuzz *f, uint8_t which, uint8_t v)
{
    Cri__ContainerMetadata m = CRI__CONTAINER_METADATA__INIT;
    Cri__Container__LabelsEntry r = CRI__CONTAINER__LABELS_ENTRY__INIT, u = CRI__CONTAINER__LABELS_ENTRY__INIT, *labels[] = {&r, &u};
    Cri__Container c = CRI__CONTAINER__INIT;
    r.key = root_key;
    r.value = root;
    u.key = uid_key;
    u.value = uid_of(which);
    c.id = container_id(f, which);
    c.pod_sandbox_id = sandbox_id(f, which);
    c.metadata = &m;
    c.labels = labels;
    c.n_labels = 2;
    c.state = (Cri__ContainerState)(v % 4);
    (void)cri_listed_container(&f->rt, &c);
}

static void sandbox(Fuzz *f, uint8_t which, uint8_t v, bool listed)
{
    Cri__PodSandboxMetadata m = CRI__POD_SANDBOX_METADATA__INIT;
    Cri__PodSandboxStatus__LabelsEntry r = CRI__POD_SANDBOX_STATUS__LABELS_ENTRY__INIT, *labels[] = {&r};
    Cri__PodSandboxState state = v & 1 ? CRI__POD_SANDBOX_STATE__SANDBOX_NOTREADY : CRI__POD_SANDBOX_STATE__SANDBOX_READY;
    r.key = root_key;
    r.value = root;
    m.uid = uid_of(which);
    m.attempt = which;
    if (listed) {
        Cri__PodSandbox s = CRI__POD_SANDBOX__INIT;
        s.id = sandbox_id(f, which);
        s.metadata = &m;
        s.state = state;
        s.n_labels = 1;
        s.labels = (Cri__PodSandbox__LabelsEntry **)labels;
        (void)cri_listed_sandbox(&f->rt, &s);
        return;
    }
    Cri__PodSandboxStatus s = CRI__POD_SANDBOX_STATUS__INIT;
    Cri__PodSandboxNetworkStatus network = CRI__POD_SANDBOX_NETWORK_STATUS__INIT;
    network.ip = name;
    s.id = sandbox_id(f, which);
    s.metadata = &m;
    s.state = state;
    s.n_labels = 1;
    s.labels = labels;
    s.network = v & 2 ? &network : NULL;
    cri_saw_sandbox(&f->rt, &s);
}

/* An event as a runtime would send it; but no file of this machine is read for it. */
static void event(Fuzz *f, const uint8_t *bytes, size_t n)
{
    Cri__ContainerEventResponse *e = cri__container_event_response__unpack(NULL, n, bytes);
    if (!e)
        return;
    cri_saw_sandbox(&f->rt, e->pod_sandbox_status);
    for (size_t i = 0; i < e->n_containers_statuses; i++) {
        Cri__ContainerStatus *s = e->containers_statuses[i];
        if (*s->log_path)
            *s->log_path = '\0';
        for (size_t k = 0; k < s->n_annotations; k++)
            if (str_eq(s->annotations[k]->key, NOTE_MESSAGE_FILE) && *s->annotations[k]->value)
                *s->annotations[k]->value = '\0';
        cri_saw_container(&f->rt, e->pod_sandbox_status ? e->pod_sandbox_status->id : NULL, s);
    }
    if (e->container_event_type == CRI__CONTAINER_EVENT_TYPE__CONTAINER_DELETED_EVENT)
        cri_container_gone(&f->rt, e->container_id);
    cri__container_event_response__free_unpacked(e, NULL);
}

static void begin_list(Fuzz *f)
{
    strindex_done(&f->named);
    f->named = (StrIndex){0};
    f->list = ++f->rt.listed;
}

static void list_names(Fuzz *f, char *id)
{
    if (!strindex_get(&f->named, id))
        strindex_add(&f->named, id, f);
}

static void must(bool holds)
{
    if (!holds)
        abort();
}

static void check_container(Watched *w, const CriContainer *c)
{
    if (!c) {
        w->gone = w->gone || w->reached >= 0;
        return;
    }
    const ContainerFact *k = &c->fact;
    must(!w->gone);
    must(k->state == RUN_UNKNOWN || (int)k->state >= w->reached);
    if (w->code_known)
        must(k->exit_known && k->exit_code == w->code);
    w->reached = k->state == RUN_UNKNOWN ? (w->reached > 0 ? w->reached : 0) : (int)k->state;
    w->code_known = k->state == RUN_EXITED && k->exit_known;
    w->code = k->exit_code;
}

static void check_sandbox(Watched *w, const CriSandbox *s)
{
    if (!s) {
        w->gone = w->gone || w->reached >= 0;
        return;
    }
    must(!w->gone);
    /* not ready yet, ready, not ready any more */
    int now = s->fact.state == SANDBOX_READY ? 1 : w->reached >= 1 ? 2 : 0;
    must(now >= w->reached);
    w->reached = now;
}

static void check(Fuzz *f)
{
    LIST_EACH(p, &f->rt.pods) {
        must((*p)->containers.n || (*p)->sandboxes.n);
        must(cri_pod(&f->rt, (*p)->uid) == *p);
        LIST_EACH(c, &(*p)->containers)
            must((*c)->pod == *p && cri_container(&f->rt, (*c)->fact.id) == *c);
        LIST_EACH(s, &(*p)->sandboxes)
            must(cri_sandbox(&f->rt, (*s)->fact.id, NULL) == *s);
        PodFacts facts;
        cri_facts(&f->rt, (*p)->uid, &facts);
        LIST_EACH(c, &facts.containers)
            must(c->name && c->sandbox_id);
        for (size_t i = 1; i < facts.containers.n; i++)
            must(facts.containers.v[i - 1].created_at_ns >= facts.containers.v[i].created_at_ns);
        LIST_EACH(s, &facts.standbys)
            must(s->name && s->sandbox_id && s->key);
        pod_facts_done(&facts);
    }
    for (uint8_t i = 0; i < CONTAINERS; i++)
        check_container(&f->containers[i], cri_container(&f->rt, container_id(f, i)));
    for (uint8_t i = 0; i < SANDBOXES; i++)
        check_sandbox(&f->sandboxes[i], cri_sandbox(&f->rt, sandbox_id(f, i), NULL));
}

static void step(Fuzz *f, uint8_t op, uint8_t which, uint8_t v)
{
    which %= CONTAINERS;
    CriContainer *c = cri_container(&f->rt, container_id(f, which));
    switch (op) {
    case 's':
        status(f, which, v);
        break;
    case 'l':
        list_item(f, which, v);
        break;
    case 'b':
    case 'm':
        sandbox(f, which, v, op == 'm');
        break;
    case 'a':
        if (c)
            cri_saw_start(&f->rt, c, 100);
        break;
    case 'x':
        if (c)
            cri_saw_exit(&f->rt, c, which, 200);
        break;
    case 'o':
        if (c)
            cri_saw_oom(&f->rt, c);
        break;
    case 'g':
        cri_container_gone(&f->rt, container_id(f, which));
        break;
    case 'd':
        cri_sandbox_gone(&f->rt, sandbox_id(f, which));
        break;
    case 'r':
        cri_sandbox_removed(&f->rt, sandbox_id(f, which));
        break;
    case 't':
        cri_sandbox_stopped(&f->rt, sandbox_id(f, which));
        break;
    case 'L':
        begin_list(f);
        break;
    case 'n':
        list_names(f, v & 1 ? sandbox_id(f, which) : container_id(f, which));
        break;
    case 'w':
        if (f->list)
            cri_sweep(&f->rt, &f->named, MOVE(f->list, 0));
        break;
    default:
        break;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static Fuzz f;
    f = (Fuzz){.rt = {.root = root}};
    for (unsigned i = 0; i < CONTAINERS + SANDBOXES; i++) {
        f.ids[i][0] = i < CONTAINERS ? 'c' : 'p';
        f.ids[i][1] = (char)('a' + i);
    }
    for (unsigned i = 0; i < CONTAINERS; i++)
        f.containers[i].reached = -1;
    for (unsigned i = 0; i < SANDBOXES; i++)
        f.sandboxes[i].reached = -1;
    /* Ids are forgotten after 256 removals, which is no matter in practice. */
    for (size_t at = 0, steps = 0; at + 3 <= size && f.rt.n_buried < ARRAY_LEN(f.rt.buried) && steps < 2000; steps++) {
        uint8_t op = data[at], which = data[at + 1], v = data[at + 2];
        at += 3;
        if (op == 'p') {
            size_t n = (size_t)(which << 8 | v);
            n = n < size - at ? n : size - at;
            event(&f, data + at, n);
            at += n;
        } else {
            step(&f, op, which, v);
        }
        check(&f);
    }
    strindex_done(&f.named);
    cri_cache_done(&f.rt);
    return 0;
}
