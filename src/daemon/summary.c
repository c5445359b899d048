#include "daemon/summary.h"

#include "api/codec.h"
#include "base/str.h"

static void set_time(json_t *o, const char *key, int64_t ns)
{
    char text[CLOCK_TEXT_MAX];
    if (ns != NS_NONE)
        (void)json_object_set_new(o, key, json_string(clock_format(ns, 0, text)));
}

static void set_number(json_t *o, const char *key, int64_t v)
{
    if (v != STAT_NONE)
        (void)json_object_set_new(o, key, json_integer(v));
}

/* Nothing is said of what was never measured. */
static void set_object(json_t *o, const char *key, json_t *v, int64_t at_ns)
{
    if (at_ns != NS_NONE)
        (void)json_object_set_new(o, key, v);
    else
        json_decref(v);
}

static void set_cpu(json_t *o, const CpuStats *s)
{
    json_t *v = json_object();
    set_time(v, "time", s->at_ns);
    set_number(v, "usageNanoCores", s->usage_nano_cores);
    set_number(v, "usageCoreNanoSeconds", s->usage_core_ns);
    set_object(o, "cpu", v, s->at_ns);
}

static void set_memory(json_t *o, const MemoryStats *s)
{
    json_t *v = json_object();
    set_time(v, "time", s->at_ns);
    set_number(v, "availableBytes", s->available);
    set_number(v, "usageBytes", s->usage);
    set_number(v, "workingSetBytes", s->working_set);
    set_number(v, "rssBytes", s->rss);
    set_number(v, "pageFaults", s->page_faults);
    set_number(v, "majorPageFaults", s->major_page_faults);
    set_object(o, "memory", v, s->at_ns);
}

static json_t *fs_json(const FsStats *s)
{
    json_t *v = json_object();
    set_time(v, "time", s->at_ns);
    set_number(v, "availableBytes", s->available);
    set_number(v, "capacityBytes", s->capacity);
    set_number(v, "usedBytes", s->used);
    set_number(v, "inodesFree", s->inodes_free);
    set_number(v, "inodes", s->inodes);
    set_number(v, "inodesUsed", s->inodes_used);
    return v;
}

static json_t *container_json(const ContainerStats *c)
{
    json_t *o = json_object();
    (void)json_object_set_new(o, "name", json_string(c->name));
    set_time(o, "startTime", c->started_at_ns);
    set_cpu(o, &c->cpu);
    set_memory(o, &c->memory);
    set_object(o, "rootfs", fs_json(&c->rootfs), c->rootfs.at_ns);
    set_object(o, "logs", fs_json(&c->logs), c->logs.at_ns);
    return o;
}

static json_t *volume_json(const PodStats *p, const VolumeStats *v)
{
    json_t *o = fs_json(&v->fs);
    (void)json_object_set_new(o, "name", json_string(v->name));
    if (v->claim)
        (void)json_object_set_new(o, "pvcRef", json_pack("{s:s, s:s}", "name", v->claim, "namespace", str_or(p->namespace_, "")));
    return o;
}

static json_t *pod_json(const PodStats *p)
{
    json_t *o = json_pack("{s:{s:s, s:s, s:s}}", "podRef", "name", str_or(p->name, ""), "namespace", str_or(p->namespace_, ""), "uid",
                          str_or(p->uid, ""));
    set_time(o, "startTime", p->started_at_ns);
    json_t *containers = json_array(), *volumes = json_array();
    LIST_EACH(c, &p->containers)
        (void)json_array_append_new(containers, container_json(c));
    LIST_EACH(v, &p->volumes)
        if (v->fs.at_ns != NS_NONE)
            (void)json_array_append_new(volumes, volume_json(p, v));
    (void)json_object_set_new(o, "containers", containers);
    set_cpu(o, &p->cpu);
    set_memory(o, &p->memory);
    if (json_array_size(volumes))
        (void)json_object_set(o, "volume", volumes);
    json_decref(volumes);
    set_object(o, "ephemeral-storage", fs_json(&p->ephemeral), p->ephemeral.at_ns);
    if (p->processes != STAT_NONE)
        (void)json_object_set_new(o, "process_stats", json_pack("{s:I}", "process_count", (json_int_t)p->processes));
    return o;
}

static void set_runtime(json_t *node, const NodeStats *s, int64_t images_used)
{
    FsStats images = s->image_fs;
    json_t *r = json_object();
    images.used = images_used; /* of the images alone, not of what else is on that disk */
    set_object(r, "imageFs", fs_json(&images), images.at_ns);
    set_object(r, "containerFs", fs_json(&s->container_fs), s->container_fs.at_ns);
    set_object(node, "runtime", r, images.at_ns);
}

static void set_rlimit(json_t *node, const NodeStats *s)
{
    json_t *r = json_object();
    set_time(r, "time", s->at_ns);
    set_number(r, "maxpid", s->max_pid);
    set_number(r, "curproc", s->processes);
    set_object(node, "rlimit", r, s->at_ns);
}

json_t *summary_json(const NodeStats *s, const char *node_name, int64_t images_used)
{
    json_t *node = json_pack("{s:s}", "nodeName", node_name), *pods = json_array();
    set_time(node, "startTime", s->booted_at_ns);
    set_cpu(node, &s->cpu);
    set_memory(node, &s->memory);
    set_object(node, "fs", fs_json(&s->fs), s->fs.at_ns);
    set_runtime(node, s, images_used);
    set_rlimit(node, s);
    LIST_EACH(p, &s->pods)
        (void)json_array_append_new(pods, pod_json(p));
    return json_pack("{s:o, s:o}", "node", node, "pods", pods);
}
