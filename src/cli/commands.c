/* commands.c - the table of commands and options. See cli.h for what it drives. Add a row here, say it in docs/man/, and
 * `make test` is content. */
#include "cli/cli.h"
#include "plan/eviction.h"

/* Weak: the unit tests and the lints link this table without the commands; their rows then have no function. */
#define COMMAND_FN(name) int name(int argc, char **argv) __attribute__((weak))
COMMAND_FN(cmd_run);
COMMAND_FN(cmd_delete);
COMMAND_FN(cmd_node);
COMMAND_FN(cmd_exec);
COMMAND_FN(cmd_attach);
COMMAND_FN(cmd_port_forward);
COMMAND_FN(cmd_validate);
COMMAND_FN(cmd_simulate);
COMMAND_FN(cmd_explain);
COMMAND_FN(cmd_debug);
COMMAND_FN(cmd_image);
COMMAND_FN(cmd_doctor);
COMMAND_FN(cmd_volume_usage);
COMMAND_FN(cmd_remove_deleted);
COMMAND_FN(cmd_disk_usage);
COMMAND_FN(cmd_version);
COMMAND_FN(cmd_completion);
COMMAND_FN(cmd_help);
COMMAND_FN(cmd_get);
COMMAND_FN(cmd_describe);
COMMAND_FN(cmd_logs);
COMMAND_FN(cmd_apply);
COMMAND_FN(cmd_events);
COMMAND_FN(cmd_wait);
COMMAND_FN(cmd_complete);
COMMAND_FN(cmd_label);
COMMAND_FN(cmd_annotate);
COMMAND_FN(cmd_patch);

#define OPTIONS(t) .options = (t), .n_options = ARRAY_LEN(t)

const CliOption cli_common_options[] = {
    {.name = "help", .letter = 'h', .help = "show this help"},
};
const size_t n_cli_common_options = ARRAY_LEN(cli_common_options);

const CliOption cli_node_options[] = {
    {.name = "root", .arg = "DIR", .def = "/var/lib/reprise", .help = "images, Pod records and volumes"},
    {.name = "run-dir", .arg = "DIR", .def = "/run/reprise", .help = "sockets, locks and what dies with a reboot"},
    {.name = "log-dir", .arg = "DIR", .def = "/var/log/pods", .help = "container logs"},
};
const size_t n_cli_node_options = ARRAY_LEN(cli_node_options);

#define CRI_ENDPOINTS                                                                                                  \
    {.name = "container-runtime-endpoint", .arg = "ADDRESS",                                                           \
     .help = "socket of the CRI runtime ($CONTAINER_RUNTIME_ENDPOINT, else unix:///run/containerd/containerd.sock)"},  \
    {.name = "image-service-endpoint", .arg = "ADDRESS",                                                               \
     .help = "socket of its image service, when it is another one ($IMAGE_SERVICE_ENDPOINT)"}

#define RUNTIME_CHOICE                                                                                                 \
    {.name = "runtime", .arg = "NAME", .values = "oci cri",                                                            \
     .help = "what runs the containers: oci, reprise's own (the default), or cri, a runtime's socket"}
const CliOption cli_runtime_options[] = {
    RUNTIME_CHOICE,
    {.name = "oci-runtime", .arg = "NAME", .values = "crun runc", .hint = true,
     .help = "OCI runtime, by name or path (the first of crun and runc)"},
    {.name = "cni-conf-dir", .arg = "DIR", .def = "/etc/cni/net.d", .help = "CNI network configurations"},
    {.name = "cni-bin-dir", .arg = "DIR[:DIR]", .def = "/opt/cni/bin:/usr/lib/cni", .help = "CNI plugins"},
    CRI_ENDPOINTS,
    {.name = "runtime-request-timeout", .arg = "DURATION", .def = "2m", .help = "of calls to the CRI runtime, but pulls"},
    {.name = "cri-events", .arg = "SOURCE", .values = "auto cri containerd relist", .def = "auto",
     .help = "how ends are learnt over CRI: its events, containerd's, or listing again"},
    {.name = "container-log-max-size", .arg = "QUANTITY", .def = "10Mi", .help = "a container's log is rotated when it is larger"},
    {.name = "container-log-max-files", .arg = "N", .def = "5", .help = "log files kept of a container, the current one too; at least 2"},
};
const size_t n_cli_runtime_options = ARRAY_LEN(cli_runtime_options);

const CliOption cli_api_options[] = {
    {.name = "namespace", .letter = 'n', .arg = "NAMESPACE", .help = "namespace of the objects (default)"},
    {.name = "api-socket", .arg = "FILE", .help = "socket of the node's API ($REPRISE_API_SOCKET, else /run/reprise/api.sock)"},
};
const size_t n_cli_api_options = ARRAY_LEN(cli_api_options);

const CliOption cli_gates_options[] = {
    {.name = "feature-gates", .arg = "NAME=BOOL,...",
     .values = "ContainerRestartRules=true ContainerRestartRules=false RestartAllContainersOnContainerExits=true "
               "RestartAllContainersOnContainerExits=false",
     .hint = true, .help = "switch Kubernetes feature gates (both are on)"},
};
const size_t n_cli_gates_options = ARRAY_LEN(cli_gates_options);

#define PLAN_OPTIONS                                                                                                   \
    {.name = "restart-backoff", .arg = "INITIAL[,MAX]", .values = "off", .hint = true,                                 \
     .help = "back-off of in-place restarts without progress: durations, or off (10s,5m)"},                            \
    {.name = "prepare", .arg = "HOW", .values = "gate create off", .def = "gate",                                      \
     .help = "make the next run's containers while this one runs: up to their exec, up to the runtime's create, or not"}, \
    {.name = "prepare-memory", .arg = "QUANTITY", .def = "256Mi", .help = "memory that prepared containers may hold"}
static const CliOption run_options[] = {
    {.name = "until", .arg = "WHAT", .values = "Ready Succeeded restarts= condition=", .hint = true,
     .help = "end, with status 0, at Ready, Succeeded, restarts=N or condition=TYPE=STATUS"},
    {.name = "timeout", .arg = "DURATION", .help = "give up after this time, with status 124"},
    {.name = "keep", .help = "leave the Pod running when --until is met; the next run takes it over"},
    {.name = "output", .letter = 'o', .arg = "FORMAT", .values = "live lines json yaml",
     .help = "how to show it: live (a terminal's default), lines, json or yaml"},
    {.name = "no-logs", .help = "do not show the containers' output"},
    PLAN_OPTIONS,
};
static const CliOption node_command_options[] = {
    {.name = "config", .arg = "FILE", .help = "a NodeConfig, with a field for each option; options win (/etc/reprise/node.yaml, if it is there)"},
    {.name = "node-name", .arg = "NAME", .help = "this node's name, in the names of its Pods (the host name)"},
    {.name = "pod-manifest-path", .arg = "DIR", .def = "/etc/reprise/manifests", .help = "directory of the Pods to run"},
    {.name = "init", .help = "make certificates, kubeconfigs and a NodeConfig in DIR (/etc/reprise), and end"},
    {.name = "san", .arg = "NAME", .repeat = true, .help = "with --init: another name or address in the server's certificate"},
    {.name = "tokens", .help = "with --init: make bearer tokens, too"},
    {.name = "max-pods", .arg = "N", .def = "110", .help = "Pods that may run here"},
    {.name = "system-reserved", .arg = "cpu=Q,memory=Q", .help = "what Pods may not ask for"},
    PLAN_OPTIONS,
    {.name = "eviction-hard", .arg = "SIGNAL<QUANTITY,...", .def = EVICTION_HARD_DEFAULT,
     .help = "Pods are evicted at once below these, such as memory.available<100Mi,nodefs.available<10%; the kubelet's defaults"},
    {.name = "eviction-soft", .arg = "SIGNAL<QUANTITY,...", .help = "Pods are evicted when it stays below these for a grace period"},
    {.name = "eviction-soft-grace-period", .arg = "SIGNAL=DURATION,...", .help = "those grace periods, for each soft threshold"},
    {.name = "eviction-minimum-reclaim", .arg = "SIGNAL=QUANTITY,...", .help = "how much more than a threshold is to be freed"},
    {.name = "eviction-pressure-transition-period", .arg = "DURATION", .def = "5m", .help = "how long a condition stays when it is over"},
    {.name = "eviction-max-pod-grace-period", .arg = "SECONDS", .def = "0",
     .help = "that Pods have to stop in when they are evicted by a soft threshold; -1: their own"},
    {.name = "image-gc-high-threshold", .arg = "PERCENT", .def = "85", .help = "unused images go when more of their disk is used; 100: never"},
    {.name = "image-gc-low-threshold", .arg = "PERCENT", .def = "80", .help = "until no more than this is used"},
    {.name = "minimum-image-ttl-duration", .arg = "DURATION", .def = "2m", .help = "younger images stay"},
    {.name = "image-maximum-gc-age", .arg = "DURATION", .def = "0s", .help = "images that were not used for longer go; 0: none do"},
    {.name = "api-socket", .arg = "FILE", .help = "socket that the API is served on (api.sock in --run-dir); empty: none"},
    {.name = "bind-address", .arg = "ADDRESS", .def = "127.0.0.1", .help = "address that the API is served on over TLS"},
    {.name = "secure-port", .arg = "PORT", .def = "0", .help = "port of that; 0: none"},
    {.name = "tls-cert-file", .arg = "FILE", .help = "its certificate (PEM)"},
    {.name = "tls-private-key-file", .arg = "FILE", .help = "the key of that"},
    {.name = "client-ca-file", .arg = "FILE", .help = "clients with a certificate of this authority are let in"},
    {.name = "token-auth-file", .arg = "FILE", .help = "and those with a bearer token: lines of token,user,uid[,\"group,...\"]"},
    {.name = "max-connections", .arg = "N", .def = "1024", .help = "connections to the API at once"},
    {.name = "max-watches", .arg = "N", .def = "1000", .help = "watches at once"},
    {.name = "max-streams", .arg = "N", .def = "200", .help = "exec, attach, port-forward and followed logs at once"},
    {.name = "log-format", .arg = "FORMAT", .values = "logfmt json", .def = "logfmt", .help = "of the lines on stderr"},
    {.name = "log-level", .arg = "LEVEL", .values = "debug info warn error", .def = "info", .help = "lines below it are left out"},
};
#define STREAM_RUNTIME                                                                                                 \
    RUNTIME_CHOICE,                                                                                                    \
    {.name = "container-runtime-endpoint", .arg = "ADDRESS",                                                           \
     .help = "socket of the CRI runtime ($CONTAINER_RUNTIME_ENDPOINT, else unix:///run/containerd/containerd.sock)"}
#define STREAM_OPTIONS                                                                                                 \
    {.name = "container", .letter = 'c', .arg = "NAME", .help = "container, instead of the Pod's default one"},        \
    {.name = "stdin", .letter = 'i', .help = "pass stdin to the container"},                                           \
    {.name = "tty", .letter = 't', .help = "stdin is a terminal (with -i)"},                                           \
    {.name = "quiet", .letter = 'q', .help = "print only what the container prints"},                                  \
    {.name = "websocket", .help = "speak WebSocket with a CRI runtime instead of SPDY"},                                 \
    STREAM_RUNTIME
static const CliOption stream_options[] = {STREAM_OPTIONS};
static const CliOption port_forward_options[] = {
    {.name = "address", .arg = "ADDRESS[,ADDRESS]", .values = "localhost 0.0.0.0", .hint = true, .def = "localhost",
     .help = "addresses to listen on; localhost is 127.0.0.1 and ::1"},
    STREAM_RUNTIME,
};
#define API_FORMATS "json yaml name wide jsonpath= custom-columns="
#define API_FILES                                                                                                      \
    {.name = "filename", .letter = 'f', .arg = "FILE", .repeat = true, .help = "manifests that name the objects: files, directories, - is stdin"}
#define API_SELECTOR {.name = "selector", .letter = 'l', .arg = "LABELS", .help = "only objects with these labels: a=b,c!=d,e in (f,g),!h"}
#define API_FIELDS {.name = "field-selector", .arg = "FIELDS", .help = "only objects with these fields: status.phase=Running"}
#define API_ALL_NAMESPACES {.name = "all-namespaces", .letter = 'A', .help = "objects of all namespaces"}
#define API_CHUNK_SIZE {.name = "chunk-size", .arg = "NUMBER", .def = "500", .help = "objects asked for at once; 0 all"}
#define API_IGNORE {.name = "ignore-not-found", .help = "an object that is not there is no error"}
#define API_MANAGED {.name = "show-managed-fields", .help = "with -o json or yaml: show who owns which field, too"}
#define API_NO_HEADERS {.name = "no-headers", .help = "do not print the names of the columns"}
static const CliOption get_options[] = {
    {.name = "raw", .arg = "PATH", .values = "/version /readyz /metrics /api /apis", .hint = true, .help = "print what this path of the API answers, as it is"},
    {.name = "output", .letter = 'o', .arg = "FORMAT", .values = API_FORMATS, .hint = true, .help = "instead of the table: one of json, yaml, name, wide, jsonpath=TEMPLATE, custom-columns=SPEC"},
    {.name = "watch", .letter = 'w', .help = "print the objects, and every change, until Ctrl-C"},
    {.name = "watch-only", .help = "print only changes"},
    {.name = "output-watch-events", .help = "say of each change what it is: ADDED, MODIFIED, DELETED"},
    API_SELECTOR, API_FIELDS, API_ALL_NAMESPACES, API_FILES,
    {.name = "label-columns", .letter = 'L', .arg = "LABEL,...", .repeat = true, .help = "a column more for each of these labels"},
    {.name = "show-labels", .help = "all labels as the last column"},
    {.name = "sort-by", .arg = "PATH", .values = ".metadata.name .metadata.creationTimestamp", .hint = true, .help = "order by a field"},
    API_NO_HEADERS, API_IGNORE, API_MANAGED, API_CHUNK_SIZE,
};
static const CliOption describe_options[] = {
    API_SELECTOR, API_ALL_NAMESPACES, API_FILES,
    {.name = "show-events", .def = "true", .help = "with the object's events; of several objects only when given"},
    API_CHUNK_SIZE,
};
static const CliOption logs_options[] = {
    {.name = "container", .letter = 'c', .arg = "NAME", .help = "container, instead of the Pod's default one"},
    {.name = "follow", .letter = 'f', .help = "go on as the log grows, until the container ends"},
    {.name = "previous", .letter = 'p', .help = "the log of the attempt before this one"},
    {.name = "tail", .arg = "LINES", .def = "-1", .help = "only the last lines; -1 all, with a selector 10"},
    {.name = "since", .arg = "DURATION", .help = "only what is newer: 5s, 2m, 3h"},
    {.name = "since-time", .arg = "TIME", .help = "only what is newer than this moment (RFC 3339)"},
    {.name = "timestamps", .help = "with the time of each line"},
    {.name = "limit-bytes", .arg = "NUMBER", .help = "at most so many bytes of each log"},
    {.name = "all-containers", .help = "of all containers, init containers first"},
    {.name = "prefix", .help = "begin each line with Pod and container"},
    API_SELECTOR,
    {.name = "max-log-requests", .arg = "NUMBER", .def = "5", .help = "logs to follow at once with a selector"},
    {.name = "ignore-errors", .help = "go on with the others when one log cannot be read"},
};
static const CliOption apply_options[] = {
    API_FILES,
    {.name = "output", .letter = 'o', .arg = "FORMAT", .values = "json yaml name jsonpath=", .hint = true, .help = "print the objects as they are then, in this form"},
    {.name = "dry-run", .arg = "MODE", .values = "none server", .def = "none", .help = "server: check it all, change nothing"},
    {.name = "force-conflicts", .help = "take over fields that somebody else manages"},
    {.name = "field-manager", .arg = "NAME", .def = "reprise", .help = "who owns the fields that are set"},
    {.name = "validate", .arg = "MODE", .values = "strict warn ignore", .def = "strict", .help = "what becomes of unknown and repeated fields"},
    API_SELECTOR, API_MANAGED,
};
#define API_EDITS                                                                                                      \
    {.name = "output", .letter = 'o', .arg = "FORMAT", .values = "json yaml name jsonpath=", .hint = true,             \
     .help = "print the objects as they are then, in this form"},                                                      \
    {.name = "dry-run", .arg = "MODE", .values = "none server", .def = "none", .help = "server: check it all, change nothing"}, \
    {.name = "field-manager", .arg = "NAME", .def = "reprise", .help = "who owns the fields that are set"}, API_MANAGED
static const CliOption label_options[] = {
    {.name = "overwrite", .help = "also a value that is there already"},
    {.name = "all", .help = "all objects of the type, in the namespace"},
    API_SELECTOR, API_FIELDS, API_ALL_NAMESPACES, API_FILES, API_EDITS,
};
static const CliOption patch_options[] = {
    {.name = "patch", .letter = 'p', .arg = "PATCH", .help = "what to change: JSON or YAML"},
    {.name = "patch-file", .arg = "FILE", .help = "a file that has it; - is stdin"},
    {.name = "type", .arg = "TYPE", .values = "strategic merge json", .def = "strategic", .help = "how the patch is read"},
    {.name = "subresource", .arg = "NAME", .values = "status ephemeralcontainers", .help = "patch this part of the object"},
    API_FILES, API_EDITS,
};
static const CliOption events_options[] = {
    {.name = "output", .letter = 'o', .arg = "FORMAT", .values = "json yaml name jsonpath=", .hint = true, .help = "instead of the table"},
    {.name = "for", .arg = "TYPE/NAME", .help = "only events about this object"},
    {.name = "types", .arg = "TYPE,...", .values = "Normal Warning", .hint = true, .repeat = true, .help = "only events of these types"},
    {.name = "watch", .letter = 'w', .help = "and those to come, until Ctrl-C"},
    API_ALL_NAMESPACES, API_NO_HEADERS, API_MANAGED, API_CHUNK_SIZE,
};
static const CliOption wait_options[] = {
    {.name = "for", .arg = "WHAT", .values = "create delete condition=Ready condition=AllContainersRestarting=false jsonpath=", .hint = true, .repeat = true,
     .help = "create, delete, condition=TYPE[=STATUS], jsonpath=PATH[=VALUE]; of several, one after the other"},
    {.name = "timeout", .arg = "DURATION", .def = "30s", .help = "0 looks once, negative waits a week"},
    {.name = "all", .help = "all objects of the type"},
    {.name = "output", .letter = 'o', .arg = "FORMAT", .values = "json yaml name jsonpath=", .hint = true, .help = "print the objects, in this form"},
    API_SELECTOR, API_FIELDS, API_ALL_NAMESPACES, API_FILES, API_MANAGED,
};
static const CliOption delete_options[] = {
    {.name = "grace-period", .arg = "DURATION", .help = "time to stop in, instead of the Pod's own; 0 kills (of the API's: with --force)"},
    {.name = "output", .letter = 'o', .arg = "FORMAT", .values = "name live lines json yaml",
     .help = "name: TYPE/NAME of each; of what run left: live (a terminal's default), lines, json or yaml"},
    API_FILES, API_SELECTOR, API_FIELDS,
    {.name = "all", .help = "all objects of the type, in the namespace"},
    API_ALL_NAMESPACES,
    {.name = "force", .help = "take it out of the API at once; with it the grace period is 0"},
    {.name = "now", .help = "a grace period of 1 s"},
    {.name = "wait", .def = "true", .help = "return when they are gone"},
    {.name = "timeout", .arg = "DURATION", .help = "of waiting; 0 a week (0s)"},
    API_IGNORE,
    {.name = "cascade", .arg = "MODE", .values = "background foreground orphan", .def = "background", .help = "what becomes of what it owns"},
    {.name = "dry-run", .arg = "MODE", .values = "none server", .def = "none", .help = "server: check it all, delete nothing"},
    {.name = "no-logs", .help = "of what run left: do not show the containers' output"},
};
static const CliOption validate_options[] = {
    {.name = "output", .letter = 'o', .arg = "FORMAT", .values = "text json yaml", .def = "text",
     .help = "text (a line an error), or a metav1.Status with its causes for each document"},
    {.name = "lint", .help = "warn of what breaks under in-place restart"},
};
static const CliOption simulate_options[] = {
    {.name = "exit", .arg = "NAME=CODE[@DURATION],...", .repeat = true,
     .help = "container NAME's attempts end with these codes after these times (1s); CODE may be running"},
    {.name = "until", .arg = "DURATION", .help = "virtual time to simulate"},
    {.name = "output", .letter = 'o', .arg = "FORMAT", .values = "json timeline", .def = "timeline",
     .help = "json (a line an event, last the Pod) or timeline"},
};
static const CliOption explain_options[] = {
    {.name = "exit", .arg = "NAME=CODE", .repeat = true, .help = "the exit to explain"},
    {.name = "output", .letter = 'o', .arg = "FORMAT", .values = "json yaml", .help = "print JSON or YAML instead of words"},
};
static const CliOption image_import_options[] = {
    {.name = "name", .arg = "REFERENCE", .help = "reference to give; needed for a plain root filesystem"},
    {.name = "quiet", .letter = 'q', .help = "print only the ids"},
    {.name = "store", .arg = "DIR", .help = "the image store itself, instead of images/ in --root"},
};
static const CliOption image_ls_options[] = {
    {.name = "output", .letter = 'o', .arg = "FORMAT", .values = "table wide json yaml", .def = "table",
     .help = "table, wide (with digests and users), json or yaml"},
    {.name = "quiet", .letter = 'q', .help = "print only the ids"},
};
static const CliOption image_rm_options[] = {
    {.name = "force", .letter = 'f', .help = "take the names also from an image that a container uses"},
};
static const CliOption image_inspect_options[] = {
    {.name = "output", .letter = 'o', .arg = "FORMAT", .values = "json yaml", .def = "json", .help = "json or yaml"},
};
static const CliOption image_prune_options[] = {
    {.name = "all", .letter = 'a', .help = "also tagged images that no container uses"},
};
static const CliOption debug_cri_options[] = {
    CRI_ENDPOINTS,
    {.name = "timeout", .arg = "DURATION", .help = "give up after this time, with status 124; 0 never (as the kubelet, by method)"},
    {.name = "output", .letter = 'o', .arg = "FORMAT", .values = "json yaml", .def = "json", .help = "json or yaml"},
    {.name = "text", .help = "print bytes, as ExecSync's output, as text instead of base64"},
    {.name = "defaults", .help = "print fields that have their default value, too"},
};
static const CliOption doctor_options[] = {
    RUNTIME_CHOICE,
    CRI_ENDPOINTS,
    {.name = "output", .letter = 'o', .arg = "FORMAT", .values = "text json yaml", .def = "text",
     .help = "how to print it: text, json or yaml"},
    {.name = "cni-conf-dir", .arg = "DIR", .def = "/etc/cni/net.d", .help = "CNI network configurations"},
    {.name = "cni-bin-dir", .arg = "DIR[:DIR]", .def = "/opt/cni/bin:/usr/lib/cni", .help = "CNI plugins"},
};
static const CliOption json_options[] = {
    {.name = "output", .letter = 'o', .arg = "FORMAT", .values = "json", .help = "print JSON"},
};

#define API_TYPES                                                                                                      \
    "TYPE is pods (po), configmaps (cm), secrets, persistentvolumeclaims (pvc), events (ev), namespaces (ns), nodes (no),\n"   \
    "serviceaccounts (sa), or all (pods), as kubectl takes it. Exit status: 0, or 1 when something failed."

const CliCommand cli_commands[] = {
    {.name = "run", .run = cmd_run, .usage = "[OPTIONS] FILE...", .summary = "run a Pod on this machine, in the foreground",
     .about = "FILE is a Kubernetes v1 Pod in YAML or JSON, with the ConfigMaps, Secrets and PersistentVolumeClaims it uses;\n"
              "- is stdin, a directory means its *.yaml, *.yml and *.json. Ctrl-C deletes the Pod with its grace period, a\n"
              "second Ctrl-C kills it.\n"
              "Exit status: 0 Succeeded or --until met, 1 Failed, 2 bad usage or manifest, 3 the machine lacks something,\n"
              "124 timed out, 130 interrupted.",
     OPTIONS(run_options), .min_operands = 1, .max_operands = -1, .flags = CLI_FILES | CLI_NODE | CLI_RUNTIME | CLI_GATES},
    {.name = "get", .run = cmd_get, .usage = "[OPTIONS] TYPE[,TYPE] [NAME...] | TYPE/NAME... | -f FILE", .summary = "show objects of the node's API",
     .about = API_TYPES, OPTIONS(get_options), .max_operands = -1, .flags = CLI_API},
    {.name = "describe", .run = cmd_describe, .usage = "[OPTIONS] TYPE [NAME or its beginning...] | TYPE/NAME... | -f FILE",
     .summary = "say all about objects of the node's API", .about = API_TYPES, OPTIONS(describe_options), .max_operands = -1, .flags = CLI_API},
    {.name = "logs", .run = cmd_logs, .usage = "[OPTIONS] POD [CONTAINER] | -l LABELS", .summary = "print the log of a Pod's container",
     .about = "POD may be written pod/NAME. Exit status: 0, or 1 when something failed.", OPTIONS(logs_options), .max_operands = 2,
     .flags = CLI_API},
    {.name = "events", .run = cmd_events, .usage = "[OPTIONS]", .summary = "list what happened to objects of the node's API",
     OPTIONS(events_options), .max_operands = 0, .flags = CLI_API},
    {.name = "wait", .run = cmd_wait, .usage = "[OPTIONS] TYPE NAME... | TYPE/NAME... | TYPE -l LABELS | TYPE --all --for=WHAT",
     .summary = "wait until objects are as asked for",
     .about = "Exit status: 0 when all are, 1 when the time is over or something failed.", OPTIONS(wait_options), .max_operands = -1,
     .flags = CLI_API},
    {.name = "apply", .run = cmd_apply, .usage = "[OPTIONS] -f FILE...", .summary = "make objects of the node's API as manifests say",
     .about = "Server-side apply: what the manifests do not say stays as it is. Exit status: 0, or 1 when something failed.",
     OPTIONS(apply_options), .max_operands = 0, .flags = CLI_API},
    {.name = "label", .run = cmd_label, .usage = "[OPTIONS] TYPE NAME... KEY=VALUE|KEY-... | TYPE/NAME... KEY=VALUE|KEY-...",
     .summary = "set and remove labels of objects", .about = API_TYPES, OPTIONS(label_options), .min_operands = 1, .max_operands = -1,
     .flags = CLI_API},
    {.name = "annotate", .run = cmd_annotate, .usage = "[OPTIONS] TYPE NAME... KEY=VALUE|KEY-... | TYPE/NAME... KEY=VALUE|KEY-...",
     .summary = "set and remove annotations of objects", .about = API_TYPES, OPTIONS(label_options), .min_operands = 1,
     .max_operands = -1, .flags = CLI_API},
    {.name = "patch", .run = cmd_patch, .usage = "[OPTIONS] TYPE NAME | TYPE/NAME | -f FILE -p PATCH", .summary = "change fields of an object",
     .about = API_TYPES, OPTIONS(patch_options), .max_operands = -1, .flags = CLI_API},
    {.name = "delete", .run = cmd_delete, .usage = "[OPTIONS] TYPE NAME... | TYPE/NAME... | -f FILE | TYPE -l LABELS | [NAMESPACE/]POD...",
     .summary = "delete objects of the node's API, or Pods that run left here",
     .about = "With a TYPE (pod, cm, ...) or -f, -l, --all: objects of the node's API, as kubectl deletes them.\n"
              "Else Pods that `reprise run --keep` left, or whose `reprise run` was killed; one that a running `reprise run`\n"
              "drives is deleted there, with Ctrl-C.",
     OPTIONS(delete_options), .max_operands = -1, .flags = CLI_API | CLI_NODE | CLI_RUNTIME},
    {.name = "node", .run = cmd_node, .usage = "[OPTIONS] | --init [DIR]", .summary = "run the Pods of a directory, as a daemon",
     .about = "Files that come, change and go are Pods that are started, replaced and ended. SIGTERM leaves the Pods running and the next\n"
              "one takes them over; SIGHUP looks at the directory at once. One for each --root.",
     OPTIONS(node_command_options), .max_operands = 1, .flags = CLI_NODE | CLI_RUNTIME | CLI_GATES},
    {.name = "exec", .run = cmd_exec, .usage = "[-i] [-t] [NAMESPACE/]POD [-c CONTAINER] -- COMMAND [ARGUMENT...]",
     .summary = "run a command in a container of a running Pod",
     .about = "Exit status: the command's; 1 also when it could not be run.",
     OPTIONS(stream_options), .min_operands = 1, .max_operands = -1, .flags = CLI_NODE},
    {.name = "attach", .run = cmd_attach, .usage = "[-i] [-t] [NAMESPACE/]POD [-c CONTAINER]",
     .summary = "connect to what runs in a container", OPTIONS(stream_options), .min_operands = 1, .max_operands = 1, .flags = CLI_NODE},
    {.name = "port-forward", .run = cmd_port_forward, .usage = "[OPTIONS] [NAMESPACE/]POD [LOCAL:]REMOTE...",
     .summary = "forward local ports to a Pod, until Ctrl-C",
     .about = "LOCAL is the same number as REMOTE if not given, and one that is free if 0 or empty (:80).",
     OPTIONS(port_forward_options), .min_operands = 2, .max_operands = -1, .flags = CLI_NODE},
    {.name = "validate", .run = cmd_validate, .usage = "[OPTIONS] FILE...",
     .summary = "check manifests as kube-apiserver does, all errors at once", OPTIONS(validate_options), .min_operands = 1,
     .max_operands = -1, .flags = CLI_FILES | CLI_GATES},
    {.name = "simulate", .run = cmd_simulate, .usage = "[OPTIONS] FILE... --exit NAME=CODE[@DURATION]...",
     .summary = "run the decisions on a virtual clock, without containers", OPTIONS(simulate_options), .min_operands = 1,
     .max_operands = -1, .flags = CLI_FILES | CLI_GATES},
    {.name = "explain", .run = cmd_explain, .usage = "FILE --exit NAME=CODE", .summary = "say which rule an exit matches, and what follows",
     OPTIONS(explain_options), .min_operands = 1, .max_operands = -1, .flags = CLI_FILES | CLI_GATES},
    {.name = "image", .run = cmd_image, .usage = "COMMAND", .summary = "images in this machine's store", .max_operands = -1},
    {.name = "image import", .run = cmd_image, .usage = "[--name=REFERENCE] PATH...",
     .summary = "add an OCI layout or archive, a docker archive, a root filesystem tar or directory",
     .about = "PATH is a directory or a file; - reads a tar from stdin. Compression (gzip, zstd, xz, bzip2) is seen by itself.",
     OPTIONS(image_import_options), .min_operands = 1, .max_operands = -1, .flags = CLI_FILES | CLI_NODE},
    {.name = "image pull", .run = cmd_image, .usage = "REFERENCE...", .summary = "fetch images through skopeo", .min_operands = 1,
     .max_operands = -1, .flags = CLI_NODE},
    {.name = "image ls", .run = cmd_image, .usage = "[OPTIONS]", .summary = "list images", OPTIONS(image_ls_options), .flags = CLI_NODE},
    {.name = "image rm", .run = cmd_image, .usage = "[--force] REFERENCE...", .summary = "remove images or their names",
     OPTIONS(image_rm_options), .min_operands = 1, .max_operands = -1, .flags = CLI_NODE},
    {.name = "image inspect", .run = cmd_image, .usage = "[OPTIONS] REFERENCE...", .summary = "show an image's config, layers and users",
     OPTIONS(image_inspect_options), .min_operands = 1, .max_operands = -1, .flags = CLI_NODE},
    {.name = "image prune", .run = cmd_image, .usage = "[--all]", .summary = "remove what no image names and nothing uses",
     OPTIONS(image_prune_options), .flags = CLI_NODE},
    {.name = "debug", .run = cmd_debug, .usage = "COMMAND", .summary = "replay and record one decision", .max_operands = -1},
    {.name = "debug plan", .run = cmd_debug, .usage = "FACTS.json", .summary = "feed one turn of the core: facts in, actions and status out",
     .min_operands = 1, .max_operands = 1, .flags = CLI_FILES},
    {.name = "debug dump", .run = cmd_debug, .usage = "POD", .summary = "write the facts of a running Pod, as debug plan reads them",
     .min_operands = 1, .max_operands = 1, .flags = CLI_NODE},
    {.name = "debug cri", .run = cmd_debug, .usage = "[OPTIONS] [METHOD [JSON|-]]", .summary = "make one call to a CRI runtime, as crictl would",
     .about = "METHOD is one of CRI v1 (in any case); without one, all are listed with what their requests hold. JSON is the request\n"
              "in protobuf's JSON form ({} if not given), - reads it from stdin. The answer is JSON, of a stream one object a line.",
     OPTIONS(debug_cri_options), .max_operands = 2},
    {.name = "doctor", .run = cmd_doctor, .usage = "[OPTIONS]", .summary = "say what this machine lacks, and how to get it",
     OPTIONS(doctor_options), .flags = CLI_NODE},
    {.name = "volume-usage", .run = cmd_volume_usage, .usage = "UID",
     .summary = "say which emptyDir of a Pod is over its sizeLimit (the agent's helper)", .min_operands = 1, .max_operands = 1,
     .flags = CLI_NODE | CLI_HIDDEN},
    {.name = "disk-usage", .run = cmd_disk_usage, .usage = "", .summary = "count what directories take (the agent's helper)", .max_operands = 0,
     .flags = CLI_HIDDEN},
    {.name = "remove-deleted", .run = cmd_remove_deleted, .usage = "", .summary = "remove what is left of Pods that are gone (the agent's helper)",
     .flags = CLI_NODE | CLI_HIDDEN},
    {.name = "version", .run = cmd_version, .usage = "[OPTIONS]", .summary = "print the version", OPTIONS(json_options)},
    {.name = "completion", .run = cmd_completion, .usage = "bash|zsh|fish", .summary = "print a shell's completion script",
     .min_operands = 1, .max_operands = 1},
    {.name = "complete", .run = cmd_complete, .usage = "-- COMMAND WORD...", .summary = "print what may stand at the cursor (the completions' helper)",
     .max_operands = -1, .flags = CLI_HIDDEN},
    {.name = "help", .run = cmd_help, .usage = "[COMMAND]", .summary = "show help", .max_operands = 2},
};
const size_t n_cli_commands = ARRAY_LEN(cli_commands);
