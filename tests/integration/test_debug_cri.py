"""`reprise debug cri`, against a fake runtime: JSON on one side, protobuf on the other, and what Python's protobuf makes of both."""
import json
import os
import random
import re
import subprocess

import pytest

from fakecri import IMAGES, ROOT, RUNTIME, FakeCri, Refused, messages

json_format = pytest.importorskip("google.protobuf.json_format")
METHODS = {name: (service, prefix) for service, name, prefix in
           re.findall(r"^    X\(\w+, (\w+), (\w+), (\w+),", open(f"{ROOT}/src/runtime/cri/methods.h").read(), re.M)}
TEXTS = ["", "a", "x/y.z", 'quote " and \\', "line\nbreak", "\u00e9\u4e16\U0001f600", "{}", "true"]


def cri(program, fake, *args, stdin=None, **env):
    where = [f"--container-runtime-endpoint={fake.endpoint}"] if fake else []
    return subprocess.run([program, "debug", "cri", *where, *args], capture_output=True, text=True, timeout=60, input=stdin,
                          env={**os.environ, **env})


def path_of(method):
    return (IMAGES if METHODS[method][0] == "Image" else RUNTIME) + method


def types_of(method):
    pb = messages()
    if method == "GetContainerEvents":
        return pb.GetEventsRequest, pb.ContainerEventResponse
    return getattr(pb, method + "Request"), getattr(pb, method + "Response")


def a_value(rng, field):
    kind = field.type
    if kind == field.TYPE_BOOL:
        return rng.random() < 0.5
    if kind == field.TYPE_STRING:
        return rng.choice(TEXTS)
    if kind == field.TYPE_BYTES:
        return rng.randbytes(rng.randrange(7))
    if kind == field.TYPE_ENUM:
        return rng.choice([v.number for v in field.enum_type.values] + [99])
    if kind == field.TYPE_DOUBLE:
        return rng.choice([0.0, 0.25, -1e30, 1e-9, float("inf"), float("-inf")])
    bits = 64 if kind in (field.TYPE_INT64, field.TYPE_UINT64) else 32
    low, high = (0, 2**bits - 1) if kind in (field.TYPE_UINT32, field.TYPE_UINT64) else (-2**(bits - 1), 2**(bits - 1) - 1)
    return rng.choice([low, high, 0, 1, rng.randint(low, high)])


def fill(rng, message, depth=0):
    """Anything that its type allows."""
    for field in message.DESCRIPTOR.fields:
        if rng.random() < 0.2:
            continue
        here = getattr(message, field.name)
        if field.message_type and field.message_type.GetOptions().map_entry:
            for _ in range(rng.randrange(3)):
                here[rng.choice(TEXTS)] = rng.choice(TEXTS)
        elif field.message_type:
            for _ in range(rng.randrange(3) if field.label == field.LABEL_REPEATED else 1):
                one = here.add() if field.label == field.LABEL_REPEATED else here
                one.SetInParent()
                if depth < 8:
                    fill(rng, one, depth + 1)
        elif field.label == field.LABEL_REPEATED:
            here.extend(a_value(rng, field) for _ in range(rng.randrange(3)))
        else:
            setattr(message, field.name, a_value(rng, field))
    return message


def without_null(j):
    if isinstance(j, dict):
        return {k: without_null(v) for k, v in j.items() if v is not None}
    return [without_null(v) for v in j] if isinstance(j, list) else j


@pytest.mark.parametrize("method", METHODS)
def test_json_is_what_protobuf_says(program, tmp_path, method):
    """Random requests and answers of every method: our JSON is Python's, and each reads the other's."""
    request_type, answer_type = types_of(method)
    for seed in range(3):
        rng = random.Random(f"{method} {seed}")
        request, answer = fill(rng, request_type()), fill(rng, answer_type())
        with FakeCri(tmp_path / f"{seed}.sock", {path_of(method): lambda _: answer}) as fake:
            original = bool(seed % 2)  # pod_sandbox_id, or podSandboxId
            text = json_format.MessageToJson(request, preserving_proto_field_name=original)
            text = re.sub(r'"(linux|stdin|stdout|stderr)_":', r'"\1":', text)  # the _ is ours, not CRI's
            r = cri(program, fake, method, "-", stdin=text)
            assert r.returncode == 0, r.stderr
            assert json.loads(r.stdout) == json_format.MessageToDict(answer)
            (path, sent), = fake.seen
            assert path == path_of(method) and request_type.FromString(sent) == request
            r = cri(program, fake, method, "{}", "--defaults")
            assert without_null(json.loads(r.stdout)) == json_format.MessageToDict(answer, including_default_value_fields=True)


def test_stream_one_object_a_line(program, tmp_path):
    pb = messages()
    events = [pb.ContainerEventResponse(container_id="a"), pb.ContainerEventResponse(container_id="b", container_event_type=2)]
    path = path_of("GetContainerEvents")
    with FakeCri(tmp_path / "s", {path: lambda _: iter(events)}) as fake:
        r = cri(program, fake, "GetContainerEvents")
        assert r.returncode == 0 and [json.loads(line)["containerId"] for line in r.stdout.splitlines()] == ["a", "b"]
        r = cri(program, fake, "getcontainerevents", "-o", "yaml")
        assert r.stdout == "containerId: a\n---\ncontainerId: b\ncontainerEventType: CONTAINER_STOPPED_EVENT\n"
        fake.answers[path] = lambda _: fake.until_closed(*events)
        r = cri(program, fake, "GetContainerEvents", "--timeout=0.3")
        assert r.returncode == 124 and len(r.stdout.splitlines()) == 2 and len(r.stderr.splitlines()) == 1


def test_exec_output_as_text(program, tmp_path):
    with FakeCri(tmp_path / "s", {RUNTIME + "ExecSync": lambda _: messages().ExecSyncResponse(stdout_=b"h\xffi\n", exit_code=3)}) as fake:
        assert json.loads(cri(program, fake, "ExecSync").stdout) == {"stdout": "aP9pCg==", "exitCode": 3}
        assert json.loads(cri(program, fake, "ExecSync", "--text").stdout) == {"stdout": "h\ufffdi\n", "exitCode": 3}


def test_endpoints(program, tmp_path):
    with FakeCri(tmp_path / "r", {RUNTIME + "Version": lambda _: messages().VersionResponse(version="r")}) as runtime, \
            FakeCri(tmp_path / "i", {IMAGES + "ListImages": lambda _: messages().ListImagesResponse()}) as images:
        env = {"CONTAINER_RUNTIME_ENDPOINT": runtime.endpoint}
        assert json.loads(cri(program, None, "Version", **env).stdout) == {"version": "r"}
        assert cri(program, None, "ListImages", **env).returncode == 3  # UNIMPLEMENTED there
        assert cri(program, None, "ListImages", IMAGE_SERVICE_ENDPOINT=images.endpoint, **env).stdout == "{}\n"
        assert cri(program, None, "ListImages", f"--image-service-endpoint={images.path}", **env).stdout == "{}\n"


@pytest.mark.parametrize("args,code,said", [
    (["RunPodSandbox", '{"config":{"metadata":{"nmae":"x"}}}'], 2, "RunPodSandboxRequest: config.metadata.nmae: unknown field"),
    (["RunPodSandbox", '{"config"'], 2, "RunPodSandboxRequest: JSON: line 1"),
    (["Verzion"], 2, 'unknown method "Verzion"'),
    (["sandboxstatus"], 2, "did you mean PodSandboxStatus?"),
    (["Version", "{}", "x"], 2, "unexpected argument"),
    (["Version", "--timeout=soon"], 2, "is no duration"),
    (["Status"], 1, "rpc error: code = Unknown desc = it broke"),
    (["ContainerStatus"], 1, "rpc error: code = NotFound desc = no such"),
    (["StopPodSandbox"], 1, "code = FailedPrecondition"),
    (["ExecSync", "--timeout=0.2"], 124, "code = DeadlineExceeded"),
    (["Exec"], 3, "code = Unimplemented desc = method Exec not implemented"),
    (["Version"], 1, "the answer is no VersionResponse"),
])
def test_errors_in_one_line(program, tmp_path, args, code, said):
    def refuse(*how):
        def answer(_):
            raise Refused(*how)
        return answer
    with FakeCri(tmp_path / "s", {RUNTIME + "Status": refuse("UNKNOWN", "it broke"), RUNTIME + "ContainerStatus": refuse("NOT_FOUND", "no such"),
                                  RUNTIME + "StopPodSandbox": refuse("FAILED_PRECONDITION", "not now"),
                                  RUNTIME + "Version": lambda _: b"\x0a\xff", RUNTIME + "ExecSync": lambda _: fake.until_closed()}) as fake:
        r = cri(program, fake, *args)
        assert r.returncode == code and said in r.stderr and r.stdout == ""
        assert len([line for line in r.stderr.splitlines() if "--help says more" not in line]) == 1


def test_nobody_there(program, tmp_path):
    for address, code in ((f"unix://{tmp_path}/none", 1), ("tcp://localhost:1", 2), ("", 1)):
        r = cri(program, None, "Version", f"--container-runtime-endpoint={address}", CONTAINER_RUNTIME_ENDPOINT=f"{tmp_path}/none")
        assert r.returncode == code and len(r.stderr.splitlines()) == 1, r.stderr


def test_list(program):
    lines = cri(program, None).stdout.splitlines()
    assert len(lines) == 1 + len(METHODS) == 32
    row = next(line for line in lines if line.startswith("StopContainer "))
    assert row.split(None, 3) == ["StopContainer", "runtime", "2m0s", '{"containerId":"","timeout":"0"}']
