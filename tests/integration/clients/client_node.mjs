// The node's API as Kubernetes' JavaScript client uses it. $CLIENT_NODE: where tools/get-client-node put it; $KUBECONFIG: an admin's.
// Prints "ok NAME" for each part; the first that fails ends it with a status.
import assert from "node:assert/strict";
import net from "node:net";
import { PassThrough } from "node:stream";

const k8s = await import(`${process.env.CLIENT_NODE}/node_modules/@kubernetes/client-node/dist/index.js`);
const kc = new k8s.KubeConfig();
kc.loadFromDefault();
const core = kc.makeApiClient(k8s.CoreV1Api);
const namespace = "default";
const image = "localhost/reprise-examples:1";

const podOf = (name, script) => ({
  apiVersion: "v1", kind: "Pod", metadata: { name, labels: { app: name } },
  spec: { terminationGracePeriodSeconds: 1, containers: [{ name: "main", image, command: ["sh", "-c", script] }] },
});

// The promise of what <start> gives to its callback, with a deadline.
const within = (seconds, what, start) => new Promise((resolve, reject) => {
  const timer = setTimeout(() => reject(new Error(`not within ${seconds} s: ${what}`)), seconds * 1000);
  Promise.resolve(start((v) => { clearTimeout(timer); resolve(v); }, (e) => { clearTimeout(timer); reject(e); })).catch(reject);
});
const collect = (stream) => { const all = { text: "" }; stream.on("data", (d) => { all.text += d; }); return all; };
const isReady = (p) => (p.status?.conditions ?? []).some((c) => c.type === "Ready" && c.status === "True");

// Events of a watch from <resourceVersion> until one fits.
const watchUntil = (path, query, fits) => within(40, `an event of ${path}`, async (done, fail) => {
  const seen = [];
  const request = await new k8s.Watch(kc).watch(path, query, (type, object) => {
    seen.push({ type, object });
    if (fits(type, object)) { request?.abort(); done(seen); }
  }, (e) => { if (e && e.name !== "AbortError") fail(e); });
});

const parts = {
  async "create, list and watch from the list's version"() {
    const before = await core.listNamespacedPod({ namespace });
    const made = await core.createNamespacedPod({ namespace, body: podOf("js", "echo from js; exec sleep 1000") });
    assert.ok(made.metadata.uid && made.metadata.creationTimestamp instanceof Date);
    const path = `/api/v1/namespaces/${namespace}/pods`;
    const seen = await watchUntil(path, { resourceVersion: before.metadata.resourceVersion, allowWatchBookmarks: true },
      (type, p) => p.metadata.name === "js" && isReady(p));
    assert.equal(seen[0].type, "ADDED");
    assert.ok(seen.slice(1).every((e) => ["MODIFIED", "BOOKMARK"].includes(e.type)));
    const versions = seen.map((e) => Number(e.object.metadata.resourceVersion));
    assert.deepEqual(versions, [...versions].sort((a, b) => a - b));
    const list = await core.listNamespacedPod({ namespace, labelSelector: "app=js" });
    assert.equal(list.items.length, 1);
    assert.equal(list.items[0].status.podIP.split(".").length, 4);
  },
  async "a list in pages"() {
    for (let i = 0; i < 5; i++) await core.createNamespacedConfigMap({ namespace, body: { metadata: { name: `page-${i}` }, data: { i: `${i}` } } });
    const names = [];
    let _continue;
    do {
      const page = await core.listNamespacedConfigMap({ namespace, limit: 2, _continue });
      assert.ok(page.items.length <= 2);
      names.push(...page.items.map((m) => m.metadata.name));
      _continue = page.metadata._continue;
    } while (_continue);
    assert.deepEqual(names.filter((n) => n.startsWith("page-")), [0, 1, 2, 3, 4].map((i) => `page-${i}`));
  },
  async "every kind of patch"() {
    const patch = (kind, body, more = {}) => core.patchNamespacedPod({ name: "js", namespace, body, ...more }, k8s.setHeaderOptions("Content-Type", kind));
    let p = await patch(k8s.PatchStrategy.MergePatch, { metadata: { labels: { merge: "1" } } });
    assert.equal(p.metadata.labels.merge, "1");
    p = await patch(k8s.PatchStrategy.StrategicMergePatch, { metadata: { labels: { strategic: "1" } } });
    assert.equal(p.metadata.labels.strategic, "1");
    p = await patch(k8s.PatchStrategy.JsonPatch, [{ op: "remove", path: "/metadata/labels/merge" }]);
    assert.equal(p.metadata.labels.merge, undefined);
    p = await patch(k8s.PatchStrategy.ServerSideApply, { apiVersion: "v1", kind: "Pod", metadata: { name: "js", labels: { applied: "1" } } },
      { fieldManager: "js" });
    assert.equal(p.metadata.labels.applied, "1");
    assert.ok(p.metadata.managedFields.some((m) => m.manager === "js" && m.operation === "Apply"));
  },
  async "a conflict, and an error's Status"() {
    const map = await core.readNamespacedConfigMap({ name: "page-0", namespace });
    await core.replaceNamespacedConfigMap({ name: "page-0", namespace, body: { ...map, data: { i: "new" } } });
    await assert.rejects(core.replaceNamespacedConfigMap({ name: "page-0", namespace, body: { ...map, data: { i: "old" } } }), (e) => e.code === 409);
    await assert.rejects(core.readNamespacedPod({ name: "nobody", namespace }), (e) => {
      const status = typeof e.body === "string" ? JSON.parse(e.body) : e.body;
      return e.code === 404 && status.kind === "Status" && status.reason === "NotFound";
    });
  },
  async "logs, whole and followed"() {
    assert.equal(await core.readNamespacedPodLog({ name: "js", namespace }), "from js\n");
    const stream = new PassThrough();
    const all = collect(stream);
    const request = await new k8s.Log(kc).log(namespace, "js", "main", stream, { follow: true, tailLines: 1 });
    await within(20, "the line", (done) => { const t = setInterval(() => { if (all.text === "from js\n") { clearInterval(t); done(); } }, 20); });
    request.abort();
  },
  async "exec over WebSocket"() {
    const run = (command, input) => within(20, command.join(" "), async (done) => {
      const out = new PassThrough(), err = new PassThrough(), got = [collect(out), collect(err)];
      const stdin = input === undefined ? null : new PassThrough();
      await new k8s.Exec(kc).exec(namespace, "js", "main", command, out, err, stdin, false, (status) => setTimeout(() => done([got[0].text, got[1].text, status]), 50));
      stdin?.end(input);
    });
    const [out, err, good] = await run(["sh", "-c", "echo out; echo err >&2"]);
    assert.deepEqual([out, err, good.status], ["out\n", "err\n", "Success"]);
    const bad = (await run(["sh", "-c", "exit 9"]))[2];
    assert.equal(bad.reason, "NonZeroExitCode");
    assert.deepEqual(bad.details.causes, [{ reason: "ExitCode", message: "9" }]);
    const [echo] = await run(["head", "-c", "5"], "hello");
    assert.equal(echo, "hello");
  },
  async "port-forward over WebSocket"() {
    await core.createNamespacedPod({ namespace, body: podOf("js-http", "mkdir /w; echo hello >/w/f; exec httpd -f -p 8080 -h /w") });
    await watchUntil(`/api/v1/namespaces/${namespace}/pods`, { fieldSelector: "metadata.name=js-http" }, (type, p) => isReady(p));
    const forward = new k8s.PortForward(kc);
    const server = net.createServer((socket) => { forward.portForward(namespace, "js-http", [8080], socket, null, socket); });
    await new Promise((r) => server.listen(0, "127.0.0.1", r));
    const text = await within(20, "the answer", (done, fail) => {
      const c = net.connect(server.address().port, "127.0.0.1", () => c.write("GET /f HTTP/1.0\r\n\r\n"));
      const all = collect(c);
      c.on("data", () => { if (all.text.endsWith("hello\n")) { c.destroy(); done(all.text); } });
      c.on("error", fail);
    });
    assert.match(text, /^HTTP\/1\.[01] 200/);
    server.close();
  },
  async "an informer over creation, change and deletion"() {
    const events = [];
    const informer = k8s.makeInformer(kc, `/api/v1/namespaces/${namespace}/configmaps`, () => core.listNamespacedConfigMap({ namespace }));
    for (const verb of ["add", "update", "delete"]) informer.on(verb, (o) => { if (o.metadata.name === "informed") events.push(verb); });
    await informer.start();
    const until = (n) => within(20, `${n} events`, (done) => { const t = setInterval(() => { if (events.length >= n) { clearInterval(t); done(); } }, 20); });
    await core.createNamespacedConfigMap({ namespace, body: { metadata: { name: "informed" } } });
    await until(1);
    await core.patchNamespacedConfigMap({ name: "informed", namespace, body: { data: { a: "b" } } }, k8s.setHeaderOptions("Content-Type", k8s.PatchStrategy.MergePatch));
    await until(2);
    assert.equal(informer.get("informed", namespace).data.a, "b");
    await core.deleteNamespacedConfigMap({ name: "informed", namespace });
    await until(3);
    assert.deepEqual(events, ["add", "update", "delete"]);
    await informer.stop();
  },
  async "deletion"() {
    for (const name of ["js", "js-http"]) {
      const list = await core.listNamespacedPod({ namespace });
      await core.deleteNamespacedPod({ name, namespace, gracePeriodSeconds: 1 });
      await watchUntil(`/api/v1/namespaces/${namespace}/pods`, { resourceVersion: list.metadata.resourceVersion },
        (type, p) => type === "DELETED" && p.metadata.name === name);
    }
    await core.deleteCollectionNamespacedConfigMap({ namespace, fieldSelector: "metadata.name=page-0" });
    await assert.rejects(core.readNamespacedConfigMap({ name: "page-0", namespace }), (e) => e.code === 404);
  },
};

for (const [name, part] of Object.entries(parts)) {
  try {
    await part();
  } catch (e) {
    console.error(`${name}: ${e.stack ?? e}`);
    process.exit(1);
  }
  console.log(`ok ${name}`);
}
process.exit(0);
