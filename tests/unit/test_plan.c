/* test_plan.c - the core, case by case, named by the section of docs/decisions.md (and of the upstream description that it
 * numbers along). A world in words, a plan in words: plan_dsl.h. */
#include "check.h"
#include "plan_dsl.h"

static void run(const PlanCase *c, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        World w;
        world_init(&w, c[i].spec, c[i].world);
        Plan p;
        plan_pod(&w.in, &p);
        SCOPED(mem_free) char *got = plan_words(&w, &p);
        if (!str_eq(got, c[i].want))
            printf("# %s\n", c[i].name);
        CHECK_STR(got, c[i].want);
        plan_done(&p);
        world_done(&w);
    }
}
#define RUN(...)                                                                                                       \
    do {                                                                                                               \
        static const PlanCase cases_[] = {__VA_ARGS__};                                                                \
        run(cases_, ARRAY_LEN(cases_));                                                                                \
    } while (0)

#define C(name) "{\"name\":\"" name "\",\"image\":\"x\"}"
#define CX(name, more) "{\"name\":\"" name "\",\"image\":\"x\"," more "}"
#define ALL88 "\"restartPolicyRules\":[{\"action\":\"RestartAllContainers\",\"exitCodes\":{\"operator\":\"In\",\"values\":[88]}}]"
#define R42 "\"restartPolicyRules\":[{\"action\":\"Restart\",\"exitCodes\":{\"operator\":\"In\",\"values\":[42]}}]"
#define SIDE "\"restartPolicy\":\"Always\""
#define CPOL(p) "\"restartPolicy\":\"" p "\""
#define POLICY(p) "\"restartPolicy\":\"" p "\","
#define INITS(x) "\"initContainers\":[" x "],"
#define MAINS(x) "\"containers\":[" x "]"
#define PROBE "{\"exec\":{\"command\":[\"x\"]}}"
#define PRESTOP "\"lifecycle\":{\"preStop\":{\"exec\":{\"command\":[\"x\"]}}}"
#define POSTSTART "\"lifecycle\":{\"postStart\":{\"exec\":{\"command\":[\"x\"]}}}"
#define ONE MAINS(C("m"))
#define TWO MAINS(C("m") "," C("n"))
#define FULL INITS(C("i") "," CX("s", SIDE)) MAINS(C("m"))
/* The ML worker of the announcement. */
#define ML POLICY("Never") INITS(C("i") "," CX("s", SIDE "," ALL88)) MAINS(C("m"))

static void test_3_5_sandbox(void)
{
    RUN({"C: nothing exists", ONE, "",
         "createSandbox#0 | Pending | m=ContainerCreating#0 |"},
        {"C: being made", ONE, "sandbox:inflight",
         "wait(Sandbox) | Pending | m=ContainerCreating#0 |"},
        {"C: failed a moment ago", ONE, "sandbox:failed,at=2",
         "wait(FailedCreatePodSandBox) | Pending | m=ContainerCreating#0 | +8s"},
        {"C: failed long ago", ONE, "sandbox:failed,at=10",
         "createSandbox#0 | Pending | m=ContainerCreating#0 |"},
        {"C: volumes first", ONE, "volumes:failed",
         "wait(FailedMount) | Pending | m=ContainerCreating#0 |"},
        {"A: the sandbox died: stop what runs", ONE, "deadbox m#0=running,box=b0 old:m=running",
         "kill m 30s SandboxChanged | Running | m=run#0rs |"},
        {"A: stopped: remove", ONE, "deadbox m#0=exit:143,box=b0,stop=SandboxChanged old:m=running",
         "remove m#0 | Running | m=143:Error#0 | persist"},
        {"A: removed: a new sandbox", ONE, "deadbox old:m=exit:143",
         "stopSandbox b0, createSandbox#1 | Running | m=143:Error#0 |"},
        {"A: two are ready", ONE, "box:1 box:0 old:m=exit:0",
         "stopSandbox b1, stopSandbox b0 | Running | m=0:Completed#0 |"},
        {"the old one is forgotten when the new one is there", ONE, "box:1 deadbox:0 old:m=exit:143",
         "removeSandbox b0, start m#1 | Running | m=143:Error#0 |"},
        {"C: Never, something ran: no new sandbox", POLICY("Never") ONE, "deadbox m#0=exit:?,box=b0 old:m=running",
         "killPod 30s Failed | Pending | m=137:ContainerStatusUnknown#0 |"},
        {"C: Never, nothing ran yet: a new one", POLICY("Never") ONE, "deadbox",
         "stopSandbox b0, createSandbox#1 | Pending | m=ContainerCreating#0 |"},
        {"C: OnFailure, all succeeded", POLICY("OnFailure") ONE, "deadbox old:m=exit:0 phase:Running",
         "killPod 30s Succeeded | Running | m=0:Completed#0 |"},
        {"an instance of the old sandbox is not of this run", FULL, "box:1 deadbox:0 i#0=exit:0,box=b0 m#0=exit:1,box=b0",
         "start i#1 | Pending | i=0:Completed#0r s=PodInitializing#0 m=1:Error#0 |"});
}

static void test_3_5_regular(void)
{
    RUN({"start all at once", TWO, "box",
         "start m#0, start n#0 | Pending | m=ContainerCreating#0 n=ContainerCreating#0 |"},
        {"a start in flight is not repeated", TWO, "box start:m=inflight",
         "start n#0 | Pending | m=ContainerCreating#0 n=ContainerCreating#0 |"},
        {"running", ONE, "box m#0=running",
         " | Running | m=run#0rs |"},
        {"Always: exit 0 is started again, the first time at once", ONE, "box m#0=exit:0",
         "start m#1 | Running | m=0:Completed#0 |"},
        {"OnFailure: exit 0 of one of two stays ended", POLICY("OnFailure") TWO, "box m#0=exit:0 n#0=running",
         " | Running | m=0:Completed#0 n=run#0rs |"},
        {"OnFailure: exit 1 is started again", POLICY("OnFailure") TWO, "box m#0=exit:1 n#0=running",
         "start m#1 | Running | m=1:Error#0 n=run#0rs |"},
        {"Never: exit 1 of one of two", POLICY("Never") TWO, "box m#0=exit:1 n#0=running phase:Running",
         " | Running | m=1:Error#0 n=run#0rs |"},
        {"Never: the last one ends", POLICY("Never") TWO, "box m#0=exit:1 n#0=exit:0 phase:Running",
         "killPod 30s Failed | Running | m=1:Error#0 n=0:Completed#0 |"},
        {"Never: all succeed", POLICY("Never") TWO, "box m#0=exit:0 n#0=exit:0 phase:Running",
         "killPod 30s Succeeded | Running | m=0:Completed#0 n=0:Completed#0 |"},
        {"container policy over the Pod's", POLICY("Always") MAINS(CX("m", CPOL("Never")) "," C("n")), "box m#0=exit:1 n#0=running",
         " | Running | m=1:Error#0 n=run#0rs |"},
        {"a rule over both", POLICY("Never") MAINS(CX("m", CPOL("Never") "," R42)), "box m#0=exit:42",
         "start m#1 | Running | m=42:Error#0 |"},
        {"an unknown code matches no rule, and restarts", POLICY("OnFailure") MAINS(CX("m", CPOL("OnFailure") "," R42)), "box m#0=exit:?",
         "start m#1 | Running | m=137:ContainerStatusUnknown#0 |"},
        {"an unknown code with Never fails", POLICY("Never") ONE, "box m#0=exit:? phase:Running",
         "killPod 30s Failed | Running | m=137:ContainerStatusUnknown#0 |"},
        {"created and never started: again, under the same number", ONE, "box m#0=created",
         "remove m#0, start m#0 | Pending | m=ContainerCreating#0 |"},
        {"created, start in flight", ONE, "box m#0=created start:m=inflight",
         " | Pending | m=ContainerCreating#0 |"},
        {"unknown: killed first", ONE, "box m#0=unknown old:m=running",
         "kill m 30s ContainerUnknown | Running | m=137:ContainerStatusUnknown#0 |"},
        {"definition changed", POLICY("Never") ONE, "box m#0=running,hash=other",
         "kill m 30s ContainerDefinitionChanged | Running | m=run#0rs |"},
        {"definition changed, ended: again even with Never", POLICY("Never") ONE, "box m#0=exit:143,stop=ContainerDefinitionChanged",
         "start m#1 | Running | m=143:Error#0 |"},
        {"definition changed, ended while no agent looked: again, too", POLICY("Never") ONE, "box m#0=exit:143,hash=other",
         "start m#1 | Running | m=143:Error#0 |"},
        {"postStart of the first holds back the second", MAINS(CX("m", POSTSTART) "," C("n")), "box",
         "start m#0 | Pending | m=ContainerCreating#0 n=ContainerCreating#0 |"},
        {"postStart runs", MAINS(CX("m", POSTSTART) "," C("n")), "box m#0=running,post=running",
         " | Pending | m=run#0 n=ContainerCreating#0 |"},
        {"postStart done", MAINS(CX("m", POSTSTART) "," C("n")), "box m#0=running,post=done",
         "start n#0 | Pending | m=run#0rs n=ContainerCreating#0 |"},
        {"postStart failed", ONE, "box m#0=running,post=failed",
         "kill m 30s FailedPostStartHook | Running | m=run#0rs |"},
        {"remains of old attempts but one are removed", ONE, "box m#2=running m#1=exit:1 m#0=exit:1",
         "remove m#0 | Running | m=run<1:Error#2rs |"});
}

static void test_3_6_init(void)
{
    RUN({"first", FULL, "box",
         "start i#0 | Pending | i=PodInitializing#0 s=PodInitializing#0 m=PodInitializing#0 |"},
        {"init runs: wait", FULL, "box i#0=running",
         " | Pending | i=run#0s s=PodInitializing#0 m=PodInitializing#0 |"},
        {"init 0: next", FULL, "box i#0=exit:0",
         "start s#0 | Pending | i=0:Completed#0r s=PodInitializing#0 m=PodInitializing#0 |"},
        {"sidecar runs, no probe: initialized", FULL, "box s#0=running i#0=exit:0",
         "start m#0 | Pending | i=0:Completed#0r s=run#0rs m=PodInitializing#0 |"},
        {"sidecar gated by its startup probe", INITS(CX("s", SIDE ",\"startupProbe\":" PROBE) "," C("i")) ONE, "box s#0=running",
         " | Pending | s=run#0 i=PodInitializing#0 m=PodInitializing#0 |"},
        {"startup probe succeeded", INITS(CX("s", SIDE ",\"startupProbe\":" PROBE) "," C("i")) ONE, "box s#0=running probe:s=S",
         "start i#0 | Pending | s=run#0rs i=PodInitializing#0 m=PodInitializing#0 |"},
        {"startup probe failed", INITS(CX("s", SIDE ",\"startupProbe\":" PROBE) "," C("i")) ONE, "box s#0=running probe:s=s",
         "kill s 30s StartupProbe | Pending | s=run#0 i=PodInitializing#0 m=PodInitializing#0 |"},
        {"started before the agent was: k/k#136910", INITS(CX("s", SIDE ",\"startupProbe\":" PROBE)) ONE,
         "box s#0=running m#0=exit:1 old:s=running,started",
         "start m#1 | Running | s=run#0rs m=1:Error#0 |"},
        {"init fails: again", FULL, "box i#0=exit:1",
         "start i#1 | Pending | i=1:Error#0 s=PodInitializing#0 m=PodInitializing#0 |"},
        {"init fails, Never: the Pod fails", POLICY("Never") FULL, "box i#0=exit:1",
         "killPod 30s Failed | Pending | i=1:Error#0 s=PodInitializing#0 m=PodInitializing#0 |"},
        {"init with a Restart rule on 0: completion all the same", INITS(CX("i", CPOL("Never") ",\"restartPolicyRules\":[{\"action\":"
         "\"Restart\",\"exitCodes\":{\"operator\":\"In\",\"values\":[0]}}]")) ONE, "box i#0=exit:0",
         "start m#0 | Pending | i=0:Completed#0r m=PodInitializing#0 |"},
        {"init with unknown code, Never", POLICY("Never") FULL, "box i#0=exit:?",
         "killPod 30s Failed | Pending | i=137:ContainerStatusUnknown#0 s=PodInitializing#0 m=PodInitializing#0 |"},
        {"init unknown: killed", FULL, "box i#0=unknown",
         "kill i 30s ContainerUnknown | Pending | i=waiting#0 s=PodInitializing#0 m=PodInitializing#0 |"},
        {"init unknown, Never: the Pod fails", POLICY("Never") FULL, "box i#0=unknown",
         "killPod 30s Failed | Pending | i=waiting#0 s=PodInitializing#0 m=PodInitializing#0 |"},
        {"a passed sidecar is started beside the regular ones", FULL, "box s#0=exit:0 i#0=exit:0 m#0=exit:1",
         "start s#1 | Running | i=0:Completed#0r s=0:Completed#0 m=1:Error#0 |"},
        {"a passed sidecar that is gone", FULL, "box i#0=exit:0 m#0=running",
         "start s#0 | Running | i=0:Completed#0r s=PodInitializing#0 m=run#0rs |"},
        {"a running main: the init containers are passed", FULL, "box m#0=running s#0=running i#0=exit:0",
         " | Running | i=0:Completed#0r s=run#0rs m=run#0rs |"},
        {"after a loss all is Exited: initialize again", FULL, "box m#0=exit:1,box=b9 s#0=exit:1,box=b9 i#0=exit:0,box=b9",
         "start i#1 | Running | i=0:Completed#0r s=1:Error#0 m=1:Error#0 |"},
        {"sidecar's postStart holds back what follows", INITS(CX("s", SIDE "," POSTSTART) "," C("i")) ONE, "box s#0=running,post=running",
         " | Pending | s=run#0 i=PodInitializing#0 m=PodInitializing#0 |"});
}

static void test_3_7_reset(void)
{
    RUN({"trigger: condition and kills, in one turn", ML,
         "box s#0=exit:88 m#0=running i#0=exit:0 old:i=exit:0 old:s=running old:m=running phase:Running",
         "kill m 0s RestartingAllContainers | Running | i=0:Completed#0r s=88:Error#0 m=run#0rs | restarting persist"},
        {"killed, on its way", ML,
         "box s#0=exit:88 m#0=running,kill=0.1,stop=RestartingAllContainers old:i=exit:0 old:s=exit:88 old:m=running cond:restarting phase:Running",
         " | Running | i=RestartingAllContainers<0:Completed#1 s=88:Error#0 m=run#0rs | restarting +9.9s"},
        {"killed: all are removed, the source last", ML,
         "box s#0=exit:88 m#0=exit:137,stop=RestartingAllContainers old:i=waiting,n=1,last=0 old:s=exit:88 old:m=running cond:restarting phase:Running",
         "remove m#0, remove s#0 | Running | i=RestartingAllContainers<0:Completed#1 s=88:Error#0 m=137:RestartingAllContainers#0 | restarting"},
        {"the source goes last", ML, "box s#0=exit:88 old:i=waiting,n=1,last=0 old:s=exit:88 old:m=exit:137 cond:restarting phase:Running",
         "remove s#0 | Running | i=RestartingAllContainers<0:Completed#1 s=88:Error#0 m=RestartingAllContainers<137:Error#1 | restarting"},
        {"all gone: condition False and the first start, in one turn", ML,
         "box old:i=waiting,n=1,last=0 old:s=exit:88 old:m=waiting,n=1,last=137 cond:restarting phase:Running",
         "start i#1 | Running | i=RestartingAllContainers<0:Completed#1 s=RestartingAllContainers<88:Error#1 m=RestartingAllContainers<137:Error#1 | persist"},
        {"after it: default waiting", ML, "box start:i=inflight old:i=waiting:RestartingAllContainers,n=1,last=0 "
         "old:s=waiting:RestartingAllContainers,n=1,last=88 old:m=waiting:RestartingAllContainers,n=1,last=137 phase:Running",
         " | Running | i=PodInitializing<0:Completed#1 s=PodInitializing<88:Error#1 m=PodInitializing<137:Error#1 |"},
        {"main starts with its lastState", ML, "box m#1=running s#1=running i#1=exit:0 old:i=exit:0,n=1,last=0 old:s=running,n=1,last=88 "
         "old:m=waiting:PodInitializing,n=1,last=137",
         " | Running | i=0:Completed<0:Completed#1r s=run<88:Error#1rs m=run<137:Error#1rs |"},
        {"a single container", POLICY("Never") MAINS(CX("m", CPOL("Never") "," ALL88)), "box m#0=exit:88 old:m=running phase:Running",
         "remove m#0 | Running | m=88:Error#0 | restarting persist"},
        {"from an init container: regular ones never started are not counted", POLICY("Never") INITS(CX("i", CPOL("Never") "," ALL88)) ONE,
         "box old:i=exit:88 old:m=waiting cond:restarting",
         "start i#1 | Pending | i=RestartingAllContainers<88:Error#1 m=PodInitializing#0 | persist"},
        {"a start in flight is given up, and waited for", ML, "box s#0=exit:88 i#0=exit:0 start:m=inflight old:s=running old:i=exit:0",
         "kill m(start) 0s RestartingAllContainers | Pending | i=0:Completed#0r s=88:Error#0 m=PodInitializing#0 | restarting persist"},
        {"gone but for a start in flight", ML, "box start:m=inflight old:s=exit:88 old:i=exit:0 cond:restarting",
         "kill m(start) 0s RestartingAllContainers | Pending | i=RestartingAllContainers<0:Completed#1 s=RestartingAllContainers<88:Error#1 m=PodInitializing#0 | restarting"},
        {"created, running, unknown: all are killed", POLICY("Never") INITS(CX("s", SIDE "," ALL88)) MAINS(C("m") "," C("n") "," C("o")),
         "box s#0=exit:88 m#0=created n#0=running o#0=unknown",
         "kill m 0s RestartingAllContainers, kill n 0s RestartingAllContainers, kill o 0s RestartingAllContainers | Pending | s=88:Error#0 m=RestartingAllContainers#0 n=run#0rs o=waiting#0 | restarting persist"},
        {"ephemeral ones are ended too, and stay ended", POLICY("Never") INITS(CX("s", SIDE "," ALL88)) ONE ",\"ephemeralContainers\":[" C("e") "]",
         "box e#0=running s#0=exit:88 m#0=running",
         "kill e 0s RestartingAllContainers, kill m 0s RestartingAllContainers | Running | s=88:Error#0 m=run#0rs e=run#0rs | restarting persist"},
        {"ephemeral: not started again", POLICY("Never") INITS(CX("s", SIDE "," ALL88)) ONE ",\"ephemeralContainers\":[" C("e") "]",
         "box e#0=exit:137,stop=RestartingAllContainers old:s=exit:88 old:m=exit:137 old:e=running cond:restarting",
         "start s#1 | Running | s=RestartingAllContainers<88:Error#1 m=RestartingAllContainers<137:Error#1 e=137:RestartingAllContainers#0 | persist"},
        {"a second source during it changes nothing", POLICY("Never") INITS(CX("s", SIDE "," ALL88)) MAINS(CX("m", CPOL("Never") "," ALL88)),
         "box s#0=exit:88 m#0=exit:88 old:s=exit:88 old:m=running cond:restarting phase:Running",
         "remove s#0, remove m#0 | Running | s=88:Error#0 m=88:Error#0 | restarting persist"},
        {"one that had failed for good is run again", POLICY("Never") MAINS(CX("m", CPOL("Never") "," ALL88) "," C("n")),
         "box m#0=exit:88 n#0=exit:1 old:m=running old:n=exit:1 phase:Running",
         "remove n#0, remove m#0 | Running | m=88:Error#0 n=1:Error#0 | restarting persist"},
        {"an older attempt is removed with the newer", ML, "box s#0=exit:88 m#1=exit:137 m#0=exit:1 old:m=running,n=1 old:s=exit:88 cond:restarting",
         "remove m#1, remove m#0, remove s#0 | Pending | i=PodInitializing#0 s=88:Error#0 m=137:RestartingAllContainers#1 | restarting"},
        {"newest gone before the older: the older says nothing", ML, "box s#0=exit:88 m#0=exit:1 old:m=exit:137,n=1 old:s=exit:88 cond:restarting",
         "remove m#0, remove s#0 | Pending | i=PodInitializing#0 s=88:Error#0 m=RestartingAllContainers<137:Error#2 | restarting"},
        {"an init container that fails during it does not end the Pod", ML,
         "box s#0=exit:88 i#0=exit:1 old:s=exit:88 old:i=running cond:restarting phase:Pending",
         "remove i#0, remove s#0 | Pending | i=1:Error#0 s=88:Error#0 m=PodInitializing#0 | restarting persist"},
        {"an init container that fails after it does", ML, "box i#1=exit:1 old:i=running,n=1 old:s=waiting,n=1,last=88 old:m=waiting,n=1,last=137",
         "killPod 30s Failed | Pending | i=1:Error#1 s=PodInitializing<88:Error#1 m=PodInitializing<137:Error#1 |"},
        {"gate off: the policy decides", ML, "box s#0=exit:88 m#0=running i#0=exit:0 gates:off",
         "start s#1 | Running | i=0:Completed#0r s=88:Error#0 m=run#0rs |"},
        {"only the first match counts", POLICY("Never") MAINS(CX("m", CPOL("Never") ",\"restartPolicyRules\":[{\"action\":\"Restart\",\"exitCodes\":"
         "{\"operator\":\"In\",\"values\":[88]}},{\"action\":\"RestartAllContainers\",\"exitCodes\":{\"operator\":\"In\",\"values\":[88]}}]")),
         "box m#0=exit:88",
         "start m#1 | Running | m=88:Error#0 |"},
        {"a code after a liveness kill is matched like any other", POLICY("Always") MAINS(CX("m", CPOL("Always") "," ALL88)),
         "box m#0=exit:88,stop=LivenessProbe",
         "remove m#0 | Running | m=88:Error#0 | restarting persist"},
        {"the phase is terminal first: work done is done", POLICY("Never") INITS(CX("s", SIDE "," ALL88)) ONE,
         "box s#0=exit:88 m#0=exit:0 phase:Running",
         "killPod 30s Succeeded | Running | s=88:Error#0 m=0:Completed#0 |"},
        {"the sandbox dies during it: clear, then a new one, then start", ML, "deadbox s#0=exit:88,box=b0 m#0=exit:?,box=b0 cond:restarting old:m=running old:s=exit:88",
         "remove m#0, remove s#0 | Pending | i=PodInitializing#0 s=88:Error#0 m=137:RestartingAllContainers#0 | restarting"},
        {"... the condition stays until the Pod is ready to start anew", ML, "deadbox old:i=waiting,n=1 old:s=waiting,n=1 old:m=waiting,n=1,last=137 cond:restarting",
         "stopSandbox b0, createSandbox#1 | Pending | i=PodInitializing#1 s=PodInitializing#1 m=RestartingAllContainers<137:Error#1 | restarting"},
        {"... and then it starts", ML, "box:1 deadbox:0 old:i=waiting,n=1,last=0 old:s=waiting,n=1,last=88 old:m=waiting,n=1,last=137 cond:restarting",
         "removeSandbox b0, start i#1 | Running | i=RestartingAllContainers<0:Completed#1 s=RestartingAllContainers<88:Error#1 m=RestartingAllContainers<137:Error#1 | persist"},
        {"deleted during it: superseded", ML, "box s#0=exit:88 m#0=running,kill=0.1,stop=RestartingAllContainers old:s=exit:88 old:m=running cond:restarting phase:Running deleted=30",
         "killPod 30s  | Running | i=PodInitializing#0 s=88:Error#0 m=run#0rs |"},
        {"the deadline passes during it", ML ",\"activeDeadlineSeconds\":60", "box s#0=exit:88 m#0=running began=61 old:s=exit:88 old:m=running cond:restarting phase:Running",
         "killPod 30s DeadlineExceeded | Running | i=PodInitializing#0 s=88:Error#0 m=run#0rs |"});
}

static void test_3_8_statuses(void)
{
    RUN({"lost, it ran: counted once, and said", ONE, "box old:m=running,n=2",
         "start m#3 | Running | m=ContainerCreating<137:ContainerStatusUnknown#3 |"},
        {"lost, it had ended: kept", POLICY("OnFailure") TWO, "box n#0=running old:m=exit:0,n=1",
         " | Running | m=0:Completed#1 n=run#0rs |"},
        {"lost init container, the Pod is initialized: taken as completed", INITS(C("i")) ONE, "box m#0=running old:i=running",
         " | Running | i=0:Completed#0r m=run#0rs |"},
        {"ready follows the readiness probe", MAINS(CX("m", "\"readinessProbe\":" PROBE)), "box m#0=running probe:m=r",
         " | Running | m=run#0s |"},
        {"ready", MAINS(CX("m", "\"readinessProbe\":" PROBE)), "box m#0=running probe:m=R",
         " | Running | m=run#0rs |"},
        {"not known yet: as it was", MAINS(CX("m", "\"readinessProbe\":" PROBE)), "box m#0=running old:m=running,ready,started",
         " | Running | m=run#0rs |"},
        {"not known yet, new instance: not ready", MAINS(CX("m", "\"readinessProbe\":" PROBE)), "box m#1=running old:m=running,ready,started",
         " | Running | m=run#1s |"},
        {"the newest exit of two", ONE, "box m#1=exit:2 m#0=exit:1 old:m=running,n=1 backoff:m=10,at=5",
         "wait m(CrashLoopBackOff) | Running | m=CrashLoopBackOff<2:Error#1 | +9s"},
        {"a code once known stays known", POLICY("Never") TWO, "box m#0=exit:? n#0=running old:m=exit:3 phase:Running",
         " | Running | m=3:Error#0 n=run#0rs |"},
        {"OOMKilled keeps its reason in a restart", ML, "box s#0=exit:88 m#0=exit:137,reason=OOMKilled old:m=running old:s=exit:88 cond:restarting",
         "remove m#0, remove s#0 | Pending | i=PodInitializing#0 s=88:Error#0 m=137:OOMKilled#0 | restarting persist"});
}

static void test_4_backoff(void)
{
    RUN({"second restart waits 10 s", ONE, "box m#1=exit:1,fin=1 backoff:m=10,at=2",
         "wait m(CrashLoopBackOff) | Running | m=CrashLoopBackOff<1:Error#1 | +9s"},
        {"waited: started, and the next will wait 20 s", ONE, "box m#1=exit:1,fin=10 backoff:m=10,at=12",
         "start m#2 | Running | m=1:Error#1 |"},
        {"ran for more than 10 minutes: from the beginning", ONE, "box m#1=exit:1,fin=1 backoff:m=300,at=602",
         "start m#2 | Running | m=1:Error#1 |"},
        {"a sidecar backs off too", FULL, "box s#1=exit:1,fin=1 m#0=running i#0=exit:0 backoff:s=40,at=3",
         "wait s(CrashLoopBackOff) | Running | i=0:Completed#0r s=CrashLoopBackOff<1:Error#1 m=run#0rs | +39s"},
        {"ErrImagePull is shown first", ONE, "box start:m=ErrImagePull,at=0.2",
         "wait m(ErrImagePull) | Pending | m=ErrImagePull#0 | +0.8s"},
        {"then ImagePullBackOff", ONE, "box start:m=ErrImagePull,at=2 backoff:image:m=10,at=2",
         "wait m(ImagePullBackOff) | Pending | m=ImagePullBackOff#0 | +8s"},
        {"then another attempt", ONE, "box start:m=ErrImagePull,at=10 backoff:image:m=10,at=10",
         "start m#0 | Pending | m=ContainerCreating#0 |"},
        {"the next failure waits longer", ONE, "box start:m=ErrImagePull,at=1 backoff:image:m=10,at=11",
         "wait m(ImagePullBackOff) | Pending | m=ImagePullBackOff#0 | +19s"},
        {"a failed start is retried after 10 s", ONE, "box start:m=CreateContainerConfigError,at=3",
         "wait m(CreateContainerConfigError) | Pending | m=CreateContainerConfigError#0 | +7s"},
        {"and does not advance the back-off", ONE, "box start:m=CreateContainerError,at=10 m#0=exit:1,fin=20 backoff:m=10,at=30",
         "start m#1 | Running | m=1:Error#0 |"},
        {"in-place restart, initialized: none", ML, "box s#0=exit:88 m#0=running i#0=exit:0 backoff:=40,at=5",
         "kill m 0s RestartingAllContainers | Running | i=0:Completed#0r s=88:Error#0 m=run#0rs | restarting persist"},
        {"in-place restart from an init container: the first is immediate", INITS(CX("i", CPOL("Never") "," ALL88)) ONE,
         "box old:i=exit:88 cond:restarting backoff:=0,at=0.5",
         "start i#1 | Pending | i=RestartingAllContainers<88:Error#1 m=PodInitializing#0 | persist"},
        {"the next waits", INITS(CX("i", CPOL("Never") "," ALL88)) ONE, "box old:i=exit:88 cond:restarting backoff:=10,at=0.5",
         "wait i(CrashLoopBackOff) | Pending | i=CrashLoopBackOff<88:Error#1 m=PodInitializing#0 | persist +9.5s"},
        {"goes on waiting when the condition is False", INITS(CX("i", CPOL("Never") "," ALL88)) ONE, "box old:i=waiting:CrashLoopBackOff,n=1,last=88 backoff:=10,at=4",
         "wait i(CrashLoopBackOff) | Pending | i=CrashLoopBackOff<88:Error#1 m=PodInitializing#0 | +6s"},
        {"and starts", INITS(CX("i", CPOL("Never") "," ALL88)) ONE, "box old:i=waiting:CrashLoopBackOff,n=1,last=88 backoff:=10,at=10",
         "start i#1 | Pending | i=PodInitializing<88:Error#1 m=PodInitializing#0 |"},
        {"off by flag", INITS(CX("i", CPOL("Never") "," ALL88)) ONE, "box old:i=exit:88 cond:restarting backoff:=10,at=0.5 nobackoff",
         "start i#1 | Pending | i=RestartingAllContainers<88:Error#1 m=PodInitializing#0 | persist"});
}

static void test_3_11_ending(void)
{
    RUN({"deletion is made durable first", ONE, "box m#0=running phase:Running deleted=30",
         "killPod 30s  | Running | m=run#0rs |"},
        {"then stops begin", FULL, "box m#0=running s#0=running i#0=exit:0 phase:Running deleted=30 term:",
         "kill m 30s PodDeleted, kill s 30s PodDeleted | Running | i=0:Completed#0r s=run#0rs m=run#0rs |"},
        {"hooks run at once, the sidecar's too", INITS(CX("s", SIDE "," PRESTOP)) MAINS(CX("m", PRESTOP)),
         "box m#0=running,since=0.1 s#0=running,since=0.1 phase:Running term:,at=0.1",
         "preStop m, preStop s | Running | s=run#0rs m=run#0rs | +29.9s"},
        {"signal after the hook; the sidecar waits for its turn", INITS(CX("s", SIDE "," PRESTOP)) MAINS(CX("m", PRESTOP)),
         "box m#0=running,since=1,pre=done s#0=running,since=1,pre=done phase:Running term:,at=1",
         "signal m | Running | s=run#0rs m=run#0rs | +29s"},
        {"main is gone: the sidecar's turn", INITS(CX("s", SIDE)) ONE, "box m#0=exit:143 s#0=running,since=1 phase:Running term:,at=1",
         "signal s | Running | s=run#0rs m=143:Error#0 | +29s"},
        {"later sidecars first", INITS(CX("s", SIDE) "," CX("t", SIDE)) ONE, "box m#0=exit:143 t#0=running,since=1 s#0=running,since=1 phase:Running term:,at=1",
         "signal t | Running | s=run#0rs t=run#0rs m=143:Error#0 | +29s"},
        {"a hook that outlives the grace is passed over", MAINS(CX("m", PRESTOP)), "box m#0=running,since=30,pre=running phase:Running term:,at=30",
         "signal m | Running | m=run#0rs | +2s"},
        {"then two seconds", ONE, "box m#0=running,since=31,term=1 phase:Running term:,at=31",
         " | Running | m=run#0rs | +1s"},
        {"then SIGKILL", ONE, "box m#0=running,since=32,term=2 phase:Running term:,at=32",
         "kill m 0s Stopping | Running | m=run#0rs |"},
        {"grace used up: sidecars get their signal", INITS(CX("s", SIDE)) ONE, "box m#0=running,since=30,term=30 s#0=running,since=30 phase:Running term:,at=30",
         "kill m 0s Stopping, signal s | Running | s=run#0rs m=run#0rs | +2s"},
        {"a shorter grace on the way", ONE, "box m#0=running,since=5,term=5 phase:Running term:,at=5 deleted=0",
         "kill m 0s Stopping | Running | m=run#0rs |"},
        {"a grace of 0 kills at once, hook or not", MAINS(CX("m", PRESTOP)), "box m#0=running phase:Running term:,at=0 deleted:now",
         "kill m 0s PodDeleted | Running | m=run#0rs |"},
        {"all down: terminal, stored, then removed", ONE, "box m#0=exit:143 phase:Running old:m=running deleted=25 term:,at=5",
         "remove m#0 | Failed | m=143:Error#0 | persist"},
        {"then the sandbox", ONE, "box phase:Failed old:m=exit:143 term:",
         "stopSandbox b0 | Failed | m=143:Error#0 |"},
        {"stopped: removed", ONE, "deadbox phase:Failed old:m=exit:143 term:",
         "removeSandbox b0 | Failed | m=143:Error#0 |"},
        {"finished", ONE, "phase:Failed old:m=exit:143 term:",
         " | Failed | m=143:Error#0 | finished"},
        {"deleted, exit 0: Succeeded", ONE, "box m#0=exit:0 phase:Running deleted=25 term:,at=5",
         "remove m#0 | Succeeded | m=0:Completed#0 | persist"},
        {"deleted before anything ran: Failed", ONE, "phase:Pending deleted=25 term:,at=5",
         " | Failed | m=ContainerCreating#0 | persist finished"},
        {"deadline", ONE ",\"activeDeadlineSeconds\":60", "box m#0=running phase:Running began=60",
         "killPod 30s DeadlineExceeded | Running | m=run#0rs |"},
        {"deadline to come", ONE ",\"activeDeadlineSeconds\":60", "box m#0=running phase:Running began=50",
         " | Running | m=run#0rs | +10s"},
        {"deadline: Failed when all is down", ONE, "box m#0=exit:0 phase:Running term:DeadlineExceeded",
         "remove m#0 | Failed | m=0:Completed#0 | persist"},
        {"mains are done: sidecars are ended", POLICY("Never") INITS(CX("s", SIDE)) ONE, "box s#0=running m#0=exit:0 phase:Running",
         "killPod 30s Succeeded | Running | s=run#0rs m=0:Completed#0 |"},
        {"the phase is shown when they are", POLICY("Never") INITS(CX("s", SIDE)) ONE, "box s#0=running,since=1,term=1 m#0=exit:0 phase:Running term:Succeeded,at=1",
         " | Running | s=run#0rs m=0:Completed#0 | +29s"},
        {"sidecar codes do not count", POLICY("Never") INITS(CX("s", SIDE)) ONE, "box s#0=exit:143 m#0=exit:0 phase:Running term:Succeeded,at=1",
         "remove s#0, remove m#0 | Succeeded | s=143:Error#0 m=0:Completed#0 | persist"},
        {"no start once it ends", ONE, "box m#0=exit:1 phase:Running term:Failed",
         "remove m#0 | Failed | m=1:Error#0 | persist"},
        {"a trigger while it ends is none", ML, "box s#0=exit:88 m#0=running,since=1,term=1 phase:Running term:,at=1",
         " | Running | i=0:Completed#0r s=88:Error#0 m=run#0rs | +29s"},
        {"a start in flight while it ends", ONE, "box start:m=inflight phase:Pending term:",
         "kill m(start) 0s PodDeleted | Pending | m=ContainerCreating#0 |"},
        {"terminal phases are never left", ONE, "box phase:Succeeded old:m=exit:0",
         "killPod 30s Succeeded | Succeeded | m=0:Completed#0 |"});
}

static void test_kills_by_probes(void)
{
    RUN({"liveness", MAINS(CX("m", "\"livenessProbe\":" PROBE)), "box m#0=running probe:m=l",
         "kill m 30s LivenessProbe | Running | m=run#0rs |"},
        {"its own grace", MAINS(CX("m", "\"livenessProbe\":{\"exec\":{\"command\":[\"x\"]},\"terminationGracePeriodSeconds\":7}")), "box m#0=running probe:m=l",
         "kill m 7s LivenessProbe | Running | m=run#0rs |"},
        {"never below 2 s", MAINS(CX("m", "\"livenessProbe\":{\"exec\":{\"command\":[\"x\"]},\"terminationGracePeriodSeconds\":1}")), "box m#0=running probe:m=l",
         "kill m 2s LivenessProbe | Running | m=run#0rs |"},
        {"goes on: preStop", MAINS(CX("m", PRESTOP)), "box m#0=running,since=1,stop=LivenessProbe,grace=7",
         "preStop m | Running | m=run#0rs | +6s"},
        {"goes on: signal", ONE, "box m#0=running,since=1,stop=LivenessProbe,grace=7",
         "signal m | Running | m=run#0rs | +6s"},
        {"goes on: SIGKILL", ONE, "box m#0=running,since=8,term=7,stop=LivenessProbe,grace=7",
         "kill m 0s LivenessProbe | Running | m=run#0rs |"},
        {"a kill without effect is repeated", ONE, "box m#0=running,since=20,term=19,kill=11,stop=LivenessProbe,grace=7",
         "kill m 0s LivenessProbe | Running | m=run#0rs |"},
        {"then it is started again, even after exit 0 with OnFailure", POLICY("OnFailure") ONE, "box m#0=exit:0,stop=LivenessProbe",
         "start m#1 | Running | m=0:Completed#0 |"},
        {"but not with Never", POLICY("Never") ONE, "box m#0=exit:143,stop=LivenessProbe phase:Running",
         "killPod 30s Failed | Running | m=143:Error#0 |"},
        {"startup", MAINS(CX("m", "\"startupProbe\":" PROBE)), "box m#0=running probe:m=s",
         "kill m 30s StartupProbe | Running | m=run#0 |"},
        {"liveness does not count before startup", MAINS(CX("m", "\"startupProbe\":" PROBE ",\"livenessProbe\":" PROBE)), "box m#0=running probe:m=l",
         " | Running | m=run#0 |"});
}

static void test_5_agent_restart(void)
{
    RUN({"died after the exit, nothing stored", ML, "box s#0=exit:88 m#0=running i#0=exit:0",
         "kill m 0s RestartingAllContainers | Running | i=0:Completed#0r s=88:Error#0 m=run#0rs | restarting persist"},
        {"died between kills, condition stored", ML, "box s#0=exit:88 m#0=running old:i=exit:0 old:s=exit:88 old:m=running cond:restarting phase:Running",
         "kill m 0s RestartingAllContainers | Running | i=RestartingAllContainers<0:Completed#1 s=88:Error#0 m=run#0rs | restarting"},
        {"died between removals, nothing stored: the source is still there", ML, "box s#0=exit:88",
         "remove s#0 | Pending | i=PodInitializing#0 s=88:Error#0 m=PodInitializing#0 | restarting persist"},
        {"... and the lost ones are counted once", ML, "box s#0=exit:88 old:i=exit:0 old:s=running old:m=running phase:Running",
         "remove s#0 | Running | i=RestartingAllContainers<0:Completed#1 s=88:Error#0 m=RestartingAllContainers<137:RestartingAllContainers#1 | restarting persist"},
        {"all removed, not said", ML, "box old:i=exit:0 old:s=exit:88 old:m=running cond:restarting phase:Running",
         "start i#1 | Running | i=RestartingAllContainers<0:Completed#1 s=RestartingAllContainers<88:Error#1 m=RestartingAllContainers<137:RestartingAllContainers#1 | persist"},
        {"a killed one whose kill is forgotten is still ours", ML, "box s#0=exit:88 m#0=exit:137 old:m=running old:s=exit:88 cond:restarting phase:Running",
         "remove m#0, remove s#0 | Pending | i=PodInitializing#0 s=88:Error#0 m=137:RestartingAllContainers#0 | restarting"},
        {"reboot in clean-up", ML, "old:i=exit:0 old:s=exit:88 old:m=running cond:restarting phase:Running",
         "createSandbox#0 | Running | i=RestartingAllContainers<0:Completed#1 s=RestartingAllContainers<88:Error#1 m=RestartingAllContainers<137:RestartingAllContainers#1 | restarting"},
        {"reboot in start-up, Always", POLICY("Always") FULL, "deadbox i#1=exit:0,box=b0 s#1=exit:?,box=b0 old:i=exit:0,n=1 old:s=running,n=1 old:m=waiting,n=1,last=137",
         "remove i#1, remove s#1 | Running | i=0:Completed#1r s=137:ContainerStatusUnknown#1 m=PodInitializing<137:Error#1 | persist"});
}

static const char *condition_words(const Plan *p, const char *type, char *buf, size_t n)
{
    const PodCondition *c = plan_condition(&p->status, type);
    (void)snprintf(buf, n, "%s %s %s", c ? c->status : "absent", c ? str_or(c->reason, "-") : "-", c ? str_or(c->message, "-") : "-");
    return buf;
}

static void test_3_9_conditions(void)
{
    static const struct {
        const char *name, *spec, *world, *type, *want;
    } t[] = {
        {"absent without the rule", ONE, "box", "AllContainersRestarting", "absent - -"},
        {"plain False when idle", ML, "box", "AllContainersRestarting", "False - -"},
        {"names container, code and rule", ML, "box s#0=exit:88 m#0=running i#0=exit:0", "AllContainersRestarting",
         "True RestartAllContainersStarted container \"s\" exited with code 88, matching restartPolicyRules[0] (In [88])"},
        {"Succeeded", ML, "phase:Succeeded term:Succeeded", "AllContainersRestarting", "False PodCompleted -"},
        {"Failed", ML, "phase:Failed term:Failed", "AllContainersRestarting", "False PodFailed -"},
        {"not initialized", FULL, "box", "Initialized", "False ContainersNotInitialized containers with incomplete status: [i s]"},
        {"one to go", FULL, "box i#0=exit:0", "Initialized", "False ContainersNotInitialized containers with incomplete status: [s]"},
        {"initialized", FULL, "box s#0=running i#0=exit:0", "Initialized", "True - -"},
        {"stays True through a restart", ML, "box cond:Initialized", "Initialized", "True - -"},
        {"does not stay without the rule", FULL, "box cond:Initialized", "Initialized",
         "False ContainersNotInitialized containers with incomplete status: [i s]"},
        {"Succeeded is initialized", FULL, "phase:Succeeded term:Succeeded", "Initialized", "True PodCompleted -"},
        {"unready", TWO, "box m#0=running", "Ready", "False ContainersNotReady containers with unready status: [n]"},
        {"sidecars count", FULL, "box m#0=running i#0=exit:0", "ContainersReady", "False ContainersNotReady containers with unready status: [s]"},
        {"ready", ONE, "box m#0=running", "Ready", "True - -"},
        {"gate missing", ONE ",\"readinessGates\":[{\"conditionType\":\"a/b\"}]", "box m#0=running", "Ready",
         "False ReadinessGatesNotReady corresponding condition of pod readiness gate \"a/b\" does not exist."},
        {"gate given", ONE ",\"readinessGates\":[{\"conditionType\":\"a/b\"}]", "box m#0=running cond:a/b", "Ready", "True - -"},
        {"foreign conditions are kept", ONE, "box cond:a/b", "a/b", "True - -"},
        {"Failed is not ready", ONE, "phase:Failed term:Failed", "ContainersReady", "False PodFailed -"},
        {"sandbox", ONE, "box", "PodReadyToStartContainers", "True - -"},
        {"no sandbox", ONE, "", "PodReadyToStartContainers", "False - -"},
        {"scheduled", ONE, "", "PodScheduled", "True - -"},
    };
    char buf[256];
    for (size_t i = 0; i < ARRAY_LEN(t); i++) {
        World w;
        world_init(&w, t[i].spec, t[i].world);
        Plan p;
        plan_pod(&w.in, &p);
        condition_words(&p, t[i].type, buf, sizeof buf);
        if (!str_eq(buf, t[i].want))
            printf("# %s\n", t[i].name);
        CHECK_STR(buf, t[i].want);
        plan_done(&p);
        world_done(&w);
    }
}

static void test_3_9_order_and_times(void)
{
    World w;
    world_init(&w, ML, "box cond:a/b cond:PodScheduled cond:Ready m#0=running s#0=exit:3 i#0=exit:0");
    w.pod->metadata.generation = (OptInt){true, 4};
    Plan p;
    plan_pod(&w.in, &p);
    static const char *const order[] = {"a/b", "PodReadyToStartContainers", "Initialized", "Ready", "ContainersReady", "PodScheduled",
                                        "AllContainersRestarting"};
    CHECK_INT(p.status.conditions.n, ARRAY_LEN(order));
    for (size_t i = 0; i < p.status.conditions.n && i < ARRAY_LEN(order); i++) {
        const PodCondition *c = &p.status.conditions.v[i];
        CHECK_STR(c->type, order[i]);
        bool same = str_eq(c->type, "PodScheduled") || str_eq(c->type, "a/b"); /* was True and is */
        CHECK_INT(c->last_transition_time.ns, same ? DSL_NOW - 3600 * NS_PER_S : DSL_NOW);
        if (i > 0)
            CHECK(c->observed_generation.set == !str_eq(c->type, "AllContainersRestarting"));
    }
    CHECK_INT(p.status.observed_generation.v, 4);
    CHECK_STR(p.status.pod_ip, "10.0.0.2");
    CHECK_STR(p.status.qos_class, "BestEffort");
    plan_done(&p);
    world_done(&w);
}

static void test_3_1_rules(void)
{
    static const struct {
        const char *rules;
        int32_t code;
        int want;
    } t[] = {
        {"[{\"action\":\"Restart\",\"exitCodes\":{\"operator\":\"In\",\"values\":[1,2]}}]", 2, 0},
        {"[{\"action\":\"Restart\",\"exitCodes\":{\"operator\":\"In\",\"values\":[1,2]}}]", 3, -1},
        {"[{\"action\":\"Restart\",\"exitCodes\":{\"operator\":\"In\",\"values\":[]}}]", 0, -1},
        {"[{\"action\":\"Restart\",\"exitCodes\":{\"operator\":\"NotIn\",\"values\":[]}}]", 0, 0},
        {"[{\"action\":\"Restart\",\"exitCodes\":{\"operator\":\"NotIn\",\"values\":[0]}}]", 0, -1},
        {"[{\"action\":\"Restart\"},{\"action\":\"Restart\",\"exitCodes\":{\"operator\":\"In\",\"values\":[7]}}]", 7, 1},
        {"[{\"action\":\"Restart\",\"exitCodes\":{\"operator\":\"Is\",\"values\":[7]}}]", 7, -1},
    };
    for (size_t i = 0; i < ARRAY_LEN(t); i++) {
        SCOPED(mem_free) char *text = mem_fmt("{\"name\":\"c\",\"restartPolicyRules\":%s}", t[i].rules);
        Container *c = NULL;
        CHECK_OK(api_decode_text(&type_Container, text, strlen(text), (void **)&c));
        CHECK_INT(plan_match_rule(c, t[i].code), t[i].want);
        api_free(&type_Container, c);
    }
}

/* What a turn does to the back-off table: "key=delay" of each entry. */
static void test_4_table(void)
{
    static const struct {
        const char *name, *spec, *world, *want;
    } t[] = {
        {"the first restart makes the entry", ONE, "box m#0=exit:1", "m=10 "},
        {"then doubles", ONE, "box m#1=exit:1,fin=20 backoff:m=20,at=60", "m=40 "},
        {"at most 300 s", ONE, "box m#1=exit:1,fin=300 backoff:m=300,at=400", "m=300 "},
        {"starts over after 600 s", ONE, "box m#1=exit:1,fin=1 backoff:m=300,at=602", "m=10 "},
        {"held back: unchanged", ONE, "box m#1=exit:1,fin=1 backoff:m=20,at=60", "m=20 "},
        {"a failed start: unchanged", ONE, "box start:m=CreateContainerError,at=10 m#0=exit:1,fin=20 backoff:m=10,at=30", "m=10 "},
        {"a pull that failed", ONE, "box start:m=ErrImagePull,at=0", "image:m=10 "},
        {"... is counted once", ONE, "box start:m=ErrImagePull,at=3 backoff:image:m=10,at=3", "image:m=10 "},
        {"an in-place restart that had become initialized clears its entry", ML, "box s#0=exit:88 m#0=running i#0=exit:0 backoff:=40,at=9", ""},
        {"the first that had not is free", INITS(CX("i", CPOL("Never") "," ALL88)) ONE, "box i#0=exit:88", "=0 "},
        {"the second is not", INITS(CX("i", CPOL("Never") "," ALL88)) ONE, "box i#1=exit:88 backoff:=0,at=9", "=10 "},
        {"the third", INITS(CX("i", CPOL("Never") "," ALL88)) ONE, "box i#2=exit:88 backoff:=10,at=9", "=20 "},
        {"an ordinary entry outlives a restart", ML, "box s#0=exit:88 m#0=running i#0=exit:0 backoff:m=40,at=9", "m=40 "},
        {"idle entries go", ONE, "box m#0=running backoff:m=10,at=700", ""},
    };
    for (size_t i = 0; i < ARRAY_LEN(t); i++) {
        World w;
        world_init(&w, t[i].spec, t[i].world);
        Plan p;
        plan_pod(&w.in, &p);
        SCOPED(str_done) Str got = {0};
        LIST_EACH(b, &p.backoff)
        {
            str_fmt(&got, "%s=%lld ", b->key, (long long)(b->delay_ns / NS_PER_S));
        }
        if (!str_eq(str_or(got.p, ""), t[i].want))
            printf("# %s\n", t[i].name);
        CHECK_STR(str_or(got.p, ""), t[i].want);
        plan_done(&p);
        world_done(&w);
    }
}

/* Events and messages in the kubelet's words. */
static void test_words(void)
{
    static const struct {
        const char *spec, *world, *want;
    } t[] = {
        {ONE, "box m#1=exit:1,fin=1 backoff:m=10,at=2",
         "BackOff: Back-off restarting failed container m in pod p_ns(u1); back-off 10s restarting failed container=m pod=p_ns(u1)"},
        {ONE, "box m#1=exit:1,fin=1 backoff:m=10,at=2 old:m=waiting:CrashLoopBackOff,n=1,id=m.1",
         "back-off 10s restarting failed container=m pod=p_ns(u1)"},
        {MAINS(CX("m", "\"livenessProbe\":" PROBE)), "box m#0=running probe:m=l",
         "Killing: Container m failed liveness probe, will be restarted; "},
        {POLICY("Never") MAINS(CX("m", "\"startupProbe\":" PROBE)), "box m#0=running probe:m=s",
         "Killing: Container m failed startup probe; "},
        {ONE, "box m#0=running,hash=other", "Killing: Container m definition changed, will be restarted; "},
        {ONE, "box m#0=unknown", "Killing: Container is in \"unknown\" state, try killing it before restart; "},
        {ONE, "box m#0=running phase:Running term:", "Killing: Stopping container m; "},
        {ONE, "box start:m=ErrImagePull,at=2",
         "BackOff: Back-off pulling image \"x\"; Failed: Error: ImagePullBackOff; Back-off pulling image \"x\": ErrImagePull: why"},
        {MAINS(CX("m", CPOL("Never") "," ALL88)), "box m#0=exit:88",
         "InPlaceRestartStarted: Restarting all containers in place: container m exited with code 88; "},
        {MAINS(CX("m", CPOL("Never") "," ALL88)), "box old:m=exit:88 cond:restarting",
         "InPlaceRestartCompleted: All containers are terminated, starting anew from container m; "
         "The container is removed because RestartAllContainers in place"},
        {ONE ",\"activeDeadlineSeconds\":60", "box m#0=running began=60",
         "DeadlineExceeded: Pod was active on the node longer than the specified deadline; "},
        {ONE, "box m#0=exit:0 term:DeadlineExceeded", "DeadlineExceeded Pod was active on the node longer than the specified deadline; "},
    };
    for (size_t i = 0; i < ARRAY_LEN(t); i++) {
        World w;
        world_init(&w, t[i].spec, t[i].world);
        Plan p;
        plan_pod(&w.in, &p);
        SCOPED(str_done) Str got = {0};
        LIST_EACH(e, &p.events)
        {
            str_fmt(&got, "%s: %s; ", e->reason, e->message);
        }
        if (p.status.reason)
            str_fmt(&got, "%s %s; ", p.status.reason, p.status.message);
        const ContainerState *s = p.status.container_statuses.v[0].state;
        if (s->waiting && s->waiting->message)
            str_add(&got, s->waiting->message);
        CHECK_STR(str_or(got.p, ""), t[i].want);
        plan_done(&p);
        world_done(&w);
    }
}

/* The ends of an in-place restart tell the truth, ids and times included. */
static void test_3_8_truth(void)
{
    World w;
    world_init(&w, ML, "box old:i=exit:0 old:s=exit:88 old:m=running cond:restarting phase:Running");
    Plan p;
    plan_pod(&w.in, &p);
    const ContainerStateTerminated *m = p.status.container_statuses.v[0].last_state->terminated;
    const ContainerStateTerminated *s = p.status.init_container_statuses.v[1].last_state->terminated;
    CHECK_INT(m->exit_code.v, 137);
    CHECK_STR(m->reason, "RestartingAllContainers");
    CHECK_STR(m->message, "The container is removed because RestartAllContainers in place");
    CHECK_STR(m->container_id, "reprise://m.0");
    CHECK_INT(m->started_at.ns, DSL_NOW - 60 * NS_PER_S);
    CHECK_INT(s->exit_code.v, 88);
    CHECK_STR(s->container_id, "reprise://s.0");
    plan_done(&p);
    world_done(&w);
}

#define MLUP "box i#0=exit:0 s#0=running m#0=running old:i=exit:0 old:s=running,ready,started old:m=running,ready,started phase:Running prepare:gate "
#define MLRUN "Running | i=0:Completed#0r s=run#0rs m=run#0rs |"

static void test_d17_prepare(void)
{
    RUN({"the next attempt of each, in order", ML, MLUP, "prepare i#1, prepare s#1, prepare m#1 | " MLRUN},
        {"what is there or being made is not asked for", ML, MLUP "standby:i#1 preparing:s=inflight", "prepare m#1 | " MLRUN},
        {"one that failed: again after a while", ML, MLUP "standby:i#1 standby:s#1 preparing:m=failed,at=4", " | " MLRUN " +6s"},
        {"and then", ML, MLUP "standby:i#1 standby:s#1 preparing:m=failed,at=10", "prepare m#1 | " MLRUN},
        {"another attempt's is given up", ML, MLUP "standby:i#1 standby:s#1 standby:m#2", "discard m m.2!, prepare m#1 | " MLRUN},
        {"another sandbox's is given up", ML, MLUP "standby:i#1 standby:s#1 standby:m#1,box=b9", "discard m m.1!, prepare m#1 | " MLRUN},
        {"a second one is given up", ML, MLUP "standby:i#1 standby:s#1 standby:m#1 standby:m#1", "discard m m.1! | " MLRUN},
        {"a stranger's is given up", ML, MLUP "standby:i#1 standby:s#1 standby:m#1 standby:x#1", "discard x x.1! | " MLRUN},
        {"off by flag: those that are there go", ML, MLUP "prepare:off standby:m#1", "discard m m.1! | " MLRUN},
        {"off by annotation", ML, MLUP "annotate:off standby:m#1", "discard m m.1! | " MLRUN},
        {"an annotation that says nothing known changes nothing", ML, MLUP "annotate:fast standby:i#1 standby:s#1",
         "prepare m#1 | " MLRUN},
        {"no rule, nothing to prepare for", FULL, MLUP, " | " MLRUN},
        {"a shared process namespace would show it", "\"shareProcessNamespace\":true," ML, MLUP, " | " MLRUN},
        {"the host's as well", "\"hostPID\":true," ML, MLUP, " | " MLRUN},
        {"not while one is being started", ML,
         "box i#0=exit:0 s#0=running old:i=exit:0 old:s=running,ready,started start:m=inflight phase:Pending prepare:gate",
         " | Pending | i=0:Completed#0r s=run#0rs m=PodInitializing#0 |"},
        {"not before it is initialized", ML, "box i#0=running old:i=running phase:Pending prepare:gate",
         " | Pending | i=run#0s s=PodInitializing#0 m=PodInitializing#0 |"},
        {"kept over the restart", ML, "box i#0=exit:0 s#0=exit:88 m#0=running old:i=exit:0 old:s=running,ready,started "
         "old:m=running,ready,started phase:Running prepare:gate standby:i#1 standby:s#1 standby:m#1",
         "kill m 0s RestartingAllContainers | Running | i=0:Completed#0r s=88:Error#0 m=run#0rs | restarting persist"},
        {"the one that is being let go is left alone", ML,
         "box old:i=waiting,n=1,id=i.0 old:s=waiting,n=1,id=s.0 old:m=waiting,n=1,id=m.0 start:i=inflight phase:Running prepare:gate "
         "standby:i#1 standby:s#1 standby:m#1",
         " | Pending | i=PodInitializing#1 s=PodInitializing#1 m=PodInitializing#1 |"},
        {"a Pod that ends needs none", ML, MLUP "deleted=30 standby:m#1",
         "killPod 30s , discard m m.1! | Running | i=0:Completed#0r s=run#0rs m=run#0rs |"});
}

TESTS(T(test_d17_prepare), T(test_4_table), T(test_words), T(test_3_8_truth), T(test_3_1_rules), T(test_3_5_sandbox), T(test_3_5_regular), T(test_3_6_init), T(test_3_7_reset), T(test_3_8_statuses),
      T(test_3_9_conditions), T(test_3_9_order_and_times), T(test_4_backoff), T(test_3_11_ending), T(test_kills_by_probes),
      T(test_5_agent_restart))
