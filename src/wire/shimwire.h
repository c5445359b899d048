/* shimwire.h - the protocol between the agent and a Pod's reprise-shim, as both sides see it. Pure: bytes in, messages out.
 *
 * A stream socket (<run_dir>/pods/<uid>/shim.sock, 0600) carries frames: 4 bytes length, big endian, then that many bytes
 * of JSON. The client sends requests, the shim answers each once, in any order, and sends events at any time:
 *   request  {"id": 7, "op": "start", ...}
 *   reply    {"id": 7, "ok": {...}}  or  {"id": 7, "error": {"kind": N, "errno": N, "text": "...", "reason": "..."}}
 *   event    {"event": "hello", "version": 2, "pid": N, "strays": [pids], "facts": {"sandboxes": {ID: {...}}, "containers": {ID: {...}}}}
 *            {"event": "set", "what": "sandboxes" | "containers", "id": ID, "value": {...}}   replaces or adds the object
 *            {"event": "merge", "what": ..., "id": ID, "value": {...}}   sets these members of it; null removes one
 *            {"event": "gone", "what": ..., "id": ID}
 * strays: commands that were run inside by a shim that died; whoever has become their parent must reap them, or their pid namespace never ends.
 * hello comes first on every connection and is complete; from then on the events keep the receiver's copy equal.
 *
 * ops (all moments are ns since 1970; sizes are bytes):
 *   sandbox_create {sandbox, attempt, hostname, new_ns: {net, ipc, uts, pid: bool}, sysctls: {K: V}, cgroup: {path,
 *                   cpu_shares, cpu_quota_us, cpu_period_us, memory_limit_bytes, pids_limit}, meta: {...kept as it is}}
 *                  -> {pid}; the sandbox is "creating" until
 *   sandbox_ready  {sandbox, ips: [...]}
 *   sandbox_stop   {sandbox}   kills its containers and its process; done when they are dead
 *   sandbox_remove {sandbox}   removes its containers and every trace; the shim ends when nothing is left
 *   prepare        {container, sandbox, lower: [dirs, lowest first]} -> {rootfs}
 *   create         {container, config: {...config.json}, facts: {name, attempt, image, image_id, spec_hash, log_path},
 *                   log: {max_bytes, max_files}, cgroup, pid_private, stop_signal, tty, stdin, stdin_once, message: {path, fallback},
 *                   standby: "gate" | "create", key, hooks: true when the config has some}
 *                  with standby: it is made ahead and not a container yet; state "standby", key (the agent's, opaque) and
 *                  standby_bytes (memory that it holds) are in its record until it is started -> {bytes}
 *   start          {container}             of a standby: lets it go; error reason StandbyLost = it is gone, make it plainly
 *   signal         {container, signal}     0 = its stop signal
 *   kill           {containers: [...]}     SIGKILL to all, in one turn
 *   remove         {container}             done when no process of it is left; files go later
 *   exec           {container, argv: [...], timeout_ns, max_output} -> {exit_code, timed_out, output: base64}
 *   shutdown       {}                      ends a shim that holds nothing; refused otherwise
 *
 * Streams have a socket of their own, stream.sock beside the other: a connection each, closed when it is over. Frames as above; the client
 * asks, the shim answers {"ok": {"fds": [names]}} with that many descriptors (SCM_RIGHTS, on its first byte), or {"error": ...}, and closes.
 * The bytes flow through the descriptors, which the shim does not keep; of the connection's end each side concludes that the other is gone.
 *   exec   {container, argv, tty, stdin, stdout, stderr: bool}  fds "stdin", "stdout", "stderr" as asked for, or "tty", its master.
 *          Then {"exit": code}; of a command whose client has gone nobody is told
 *   attach {container, stdin, stdout, stderr}  fds "stdout", "stderr": copies of what it says from now on, for the client to read;
 *          "stdin", if it has one, or "tty": to be written, and set in size, not read. Then {"exit": 0} when the container has ended, or an error
 *          for a client that is too far behind. The client may say {"op": "stdin_end"} once it has closed what it
 *          writes to: that closes stdin with stdin_once and no terminal, as the end of the connection does; else the stream ends in a moment
 *   dial   {sandbox, port}  fds "socket": TCP to localhost in the sandbox's network, which may still be connecting */
#ifndef REPRISE_WIRE_SHIMWIRE_H
#define REPRISE_WIRE_SHIMWIRE_H

#include "base/str.h"
#include "wire/json.h"

#define SHIM_WIRE_VERSION 2
#define SHIM_WIRE_MAX ((size_t)4u << 20) /* of one message; jansson's own bound in json_parse() is the same */

/* Appends one frame to <out>. ERR_LIMIT when the message is too large. */
MUST_USE Err *shim_frame_put(Str *out, const json_t *message);
/* Takes the first frame out of the <n> bytes at <p>: *ret is a new reference and *ret_used the bytes it took; *ret is NULL
 * when there is no whole frame yet. ERR_INVALID, ERR_LIMIT: the stream is broken beyond repair. */
MUST_USE Err *shim_frame_get(const char *p, size_t n, json_t **ret, size_t *ret_used);

/* What an event "merge", and a line of the shim's journal, do to an object. */
void shim_merge(json_t *into, json_t *members);
/* Error <-> its JSON object. shim_error_read of anything else gives ERR_INVALID. */
MUST_USE json_t *shim_error_json(const Err *e);
MUST_USE Err *shim_error_read(const json_t *j);

/* A JSON string of any bytes: what is not UTF-8, and NUL, becomes U+FFFD. New reference. */
MUST_USE json_t *shim_text(const char *bytes, size_t n);
/* RFC 4648 base64 with padding. Caller frees; decode returns false on anything else. */
MUST_USE char *shim_base64(const void *bytes, size_t n);
bool shim_base64_read(const char *text, Str *ret);

#endif
