#include "check.h"

#include "base/clock.h"
#include "cli/view_priv.h"

/* The ML worker of the announcement, from JSON: one status after the other. */
#define SPEC                                                                                                           \
    "\"apiVersion\":\"v1\",\"kind\":\"Pod\",\"metadata\":{\"name\":\"ml-worker-pod\",\"uid\":\"u1\"},\"spec\":{"        \
    "\"initContainers\":[{\"name\":\"setup\",\"image\":\"i\"},{\"name\":\"watcher\",\"image\":\"i\","                   \
    "\"restartPolicy\":\"Always\",\"restartPolicyRules\":[{\"action\":\"RestartAllContainers\","                       \
    "\"exitCodes\":{\"operator\":\"In\",\"values\":[88]}}]}],"                                                         \
    "\"containers\":[{\"name\":\"main\",\"image\":\"i\",\"readinessProbe\":{\"exec\":{\"command\":[\"true\"]}}}]}"

#define WAIT(name, n) "{\"name\":\"" name "\",\"restartCount\":" n ",\"state\":{\"waiting\":{\"reason\":\"PodInitializing\"}}}"
#define MADE(name, n)                                                                                                  \
    "{\"name\":\"" name "\",\"restartCount\":" n ",\"containerID\":\"c://" name n "\","                                \
    "\"state\":{\"waiting\":{\"reason\":\"ContainerCreating\"}}}"
#define GONE(name, n) "{\"name\":\"" name "\",\"restartCount\":" n ",\"state\":{\"waiting\":{\"reason\":\"RestartingAllContainers\"}}}"
#define RUNS(name, n, ready)                                                                                           \
    "{\"name\":\"" name "\",\"restartCount\":" n ",\"containerID\":\"c://" name n "\",\"started\":true,\"ready\":" ready \
    ",\"state\":{\"running\":{\"startedAt\":\"2026-01-01T00:00:01Z\"}}}"
#define DEAD(name, n, code, reason)                                                                                    \
    "{\"name\":\"" name "\",\"restartCount\":" n ",\"containerID\":\"c://" name n "\",\"ready\":false,"                  \
    "\"state\":{\"terminated\":{\"exitCode\":" code ",\"reason\":\"" reason "\",\"containerID\":\"c://" name n "\","     \
    "\"startedAt\":\"2026-01-01T00:00:01Z\",\"finishedAt\":\"2026-01-01T00:00:02Z\"}}}"
#define RESTARTING(b) "{\"type\":\"AllContainersRestarting\",\"status\":\"" b "\",\"message\":\"container watcher exited 88 (rule 0)\"}"
#define READY(b) "{\"type\":\"Ready\",\"status\":\"" b "\"}"
#define POD(phase, conditions, init, ctrs)                                                                             \
    "{" SPEC ",\"status\":{\"phase\":\"" phase "\",\"podIP\":\"10.88.0.2\",\"conditions\":[" conditions                  \
    "],\"initContainerStatuses\":[" init "],\"containerStatuses\":[" ctrs "]}}"

static const struct {
    int64_t ms;
    const char *json;
} story[] = {
    {0, POD("Pending", RESTARTING("False"), WAIT("setup", "0") "," WAIT("watcher", "0"), WAIT("main", "0"))},
    {100, POD("Pending", RESTARTING("False"), RUNS("setup", "0", "false") "," WAIT("watcher", "0"), WAIT("main", "0"))},
    {1100, POD("Pending", RESTARTING("False"), DEAD("setup", "0", "0", "Completed") "," RUNS("watcher", "0", "true"), WAIT("main", "0"))},
    {1200, POD("Running", RESTARTING("False") "," READY("True"), DEAD("setup", "0", "0", "Completed") "," RUNS("watcher", "0", "true"), RUNS("main", "0", "true"))},
    {5000, POD("Running", RESTARTING("True") "," READY("False"), DEAD("setup", "0", "0", "Completed") "," DEAD("watcher", "0", "88", "Error"), RUNS("main", "0", "true"))},
    {5003, POD("Running", RESTARTING("True") "," READY("False"), GONE("setup", "1") "," DEAD("watcher", "0", "88", "Error"), DEAD("main", "0", "137", "RestartingAllContainers"))},
    {5010, POD("Running", RESTARTING("False") "," READY("False"), GONE("setup", "1") "," GONE("watcher", "1"), GONE("main", "1"))},
    {5020, POD("Running", RESTARTING("False") "," READY("False"), RUNS("setup", "1", "false") "," WAIT("watcher", "1"), WAIT("main", "1"))},
    {6020, POD("Running", RESTARTING("False") "," READY("False"), DEAD("setup", "1", "0", "Completed") "," RUNS("watcher", "1", "true"), WAIT("main", "1"))},
    {6050, POD("Running", RESTARTING("False") "," READY("True"), DEAD("setup", "1", "0", "Completed") "," RUNS("watcher", "1", "true"), RUNS("main", "1", "true"))},
    {9000, POD("Succeeded", RESTARTING("False"), DEAD("setup", "1", "0", "Completed") "," DEAD("watcher", "1", "143", "Error"), DEAD("main", "1", "0", "Completed"))},
};
#define T0 INT64_C(1767225600000000000) /* 2026-01-01T00:00:00Z */

static void feed(View *v, size_t i)
{
    void *p = NULL;
    CHECK_OK(api_decode_text(&type_Pod, story[i].json, strlen(story[i].json), &p));
    if (p)
        view_pod(v, i ? "MODIFIED" : "ADDED", p, T0 + story[i].ms * NS_PER_MS);
    api_free(&type_Pod, p);
}

typedef struct {
    char *text;
    size_t n;
    FILE *f;
    View *v;
} Screen;

static void screen_open(Screen *s, ViewMode mode)
{
    *s = (Screen){0};
    s->f = open_memstream(&s->text, &s->n);
    s->v = view_new(mode, s->f, false);
    view_set_size(s->v, 78, 20);
}

static void screen_close(Screen *s)
{
    view_free(s->v);
    fclose(s->f);
    free(s->text);
}

static void test_lines(void)
{
    static const char want[] =
        "    0.000s  ml-worker-pod           sandbox ready, IP 10.88.0.2\n"
        "    0.000s  ml-worker-pod           phase Pending\n"
        "    0.100s  ml-worker-pod  setup    started\n"
        "    1.100s  ml-worker-pod  setup    exited 0\n"
        "    1.100s  ml-worker-pod  watcher  started\n"
        "    1.200s  ml-worker-pod  main     started\n"
        "    1.200s  ml-worker-pod  main     ready\n"
        "    1.200s  ml-worker-pod           phase Running\n"
        "    1.200s  ml-worker-pod           Ready True\n"
        "[main] step 1\n"
        "[main] step ?[2J 2\n"
        "    5.000s  ml-worker-pod  watcher  exited 88 → RestartAllContainers\n"
        "    5.000s  ml-worker-pod           in-place restart 1 begins: container watcher exited 88 (rule 0)\n"
        "    5.000s  ml-worker-pod           Ready False\n"
        "    5.003s  ml-worker-pod  setup    removed\n"
        "    5.003s  ml-worker-pod  main     killed for the in-place restart\n"
        "    5.010s  ml-worker-pod  watcher  removed\n"
        "    5.010s  ml-worker-pod  main     removed\n"
        "    5.010s  ml-worker-pod           all containers removed after 10ms, starting anew\n"
        "    5.020s  ml-worker-pod  setup    started, restart 1\n"
        "    6.020s  ml-worker-pod  setup    exited 0\n"
        "    6.020s  ml-worker-pod  watcher  started, restart 1\n"
        "    6.050s  ml-worker-pod  main     started, restart 1\n"
        "    6.050s  ml-worker-pod  main     ready\n"
        "    6.050s  ml-worker-pod           in-place restart 1 done after 1.1s\n"
        "    6.050s  ml-worker-pod           Ready True\n"
        "    7.000s  ml-worker-pod  main     warning: Unhealthy: Readiness probe failed: no\n"
        "    9.000s  ml-worker-pod  watcher  exited 143\n"
        "    9.000s  ml-worker-pod  main     exited 0\n"
        "    9.000s  ml-worker-pod           phase Succeeded\n"
        "[main] the end\n"
        "\n"
        "ml-worker-pod  Succeeded  10.88.0.2  9.0s  in-place restarts: 1\n"
        "NAME     KIND     STATE       READY  RESTARTS  PROBES    AGE\n"
        "setup    init     Completed   no     1         -         7s\n"
        "watcher  sidecar  exited 143  no     1         -         7s\n"
        "main     main     Completed   no     1         ready no  7s\n"
        "\n"
        "In-place restarts of ml-worker-pod:\n"
        "  #  AT      SOURCE   CODE  KILL  REMOVE  INIT  START  TOTAL\n"
        "  1  5.000s  watcher  88    3ms   7ms     1.0s  30ms   1.1s\n"
        "Restart counts: setup 1, watcher 1, main 1\n";
    Screen s;
    screen_open(&s, VIEW_LINES);
    for (size_t i = 0; i < ARRAY_LEN(story); i++) {
        feed(s.v, i);
        if (story[i].ms == 1200) { /* a log line in two pieces, and one that would clear the screen */
            view_log(s.v, "ml-worker-pod", "main", 0, "ste", 3);
            view_log(s.v, "ml-worker-pod", "main", 0, "p 1\nstep \033[2J 2\r\n", 17);
        }
        if (story[i].ms == 6050) {
            view_event(s.v, s.v->pods.v[0].last, true, "Unhealthy", "Readiness probe failed: no", "main", T0 + 7 * NS_PER_S);
            view_event(s.v, s.v->pods.v[0].last, false, "Started", "Started container main", "main", T0 + 7 * NS_PER_S);
        }
    }
    view_log(s.v, "ml-worker-pod", "main", 1, "the end", 7); /* without a newline: shown at the end */
    view_finish(s.v, T0 + 9 * NS_PER_S);
    CHECK_STR(s.text, want);
    screen_close(&s);
}

static void test_restarts(void)
{
    Screen s;
    screen_open(&s, VIEW_JSON);
    size_t n;
    for (size_t i = 0; i < 5; i++)
        feed(s.v, i);
    const ViewRestart *r = view_restarts(s.v, "u1", &n);
    CHECK_INT(n, 1);
    CHECK_STR(r->source, "watcher");
    CHECK_INT(r->exit_code, 88);
    CHECK(r->killed_ns == NS_NONE && r->removed_ns == NS_NONE && r->running_ns == NS_NONE);
    for (size_t i = 5; i < ARRAY_LEN(story); i++)
        feed(s.v, i);
    r = view_restarts(s.v, "u1", &n);
    CHECK_INT(n, 1);
    CHECK_INT((r->killed_ns - T0) / NS_PER_MS, 5003);
    CHECK_INT((r->removed_ns - T0) / NS_PER_MS, 5010);
    CHECK_INT((r->init_ns - T0) / NS_PER_MS, 6020);
    CHECK_INT((r->running_ns - T0) / NS_PER_MS, 6050);
    CHECK(view_restarts(s.v, "other", &n) == NULL && n == 0);
    screen_close(&s);
}

static void test_json(void)
{
    Screen s;
    screen_open(&s, VIEW_JSON);
    feed(s.v, 0);
    feed(s.v, 1);
    view_log(s.v, "ml-worker-pod", "main", 0, "not JSON\n", 9);
    view_tick(s.v, T0);
    view_finish(s.v, T0);
    CHECK(str_starts(s.text, "{\"type\":\"ADDED\",\"object\":{\"kind\":\"Pod\",\"apiVersion\":\"v1\","));
    const char *second = strchr(s.text, '\n') + 1;
    CHECK(str_starts(second, "{\"type\":\"MODIFIED\",\"object\":{"));
    char at[CLOCK_TEXT_MAX];
    SCOPED(mem_free) char *end = mem_fmt(",\"at\":\"%s\"}\n", clock_format(T0 + story[1].ms * NS_PER_MS, 9, at));
    CHECK(str_ends(second, end));
    CHECK(strchr(second, '\n') + 1 == s.text + s.n); /* two lines, nothing else */
    screen_close(&s);
}

static void test_yaml(void)
{
    Screen s;
    screen_open(&s, VIEW_YAML);
    feed(s.v, 0);
    feed(s.v, 1);
    view_finish(s.v, T0);
    CHECK(str_starts(s.text, "---\nkind: Pod\napiVersion: v1\nmetadata:\n"));
    CHECK(strstr(s.text, "\n---\nkind: Pod\n") != NULL);
    screen_close(&s);
}

/* A terminal as small as a painted picture needs: moves up, writes lines, clears behind them. Gives back its rows. */
typedef struct {
    char cell[40][400];
    int row, column;
    bool hidden;
} Terminal;

static void terminal_play(Terminal *t, const char *p)
{
    for (; *p; p++) {
        int n = 0;
        if (*p == '\r') {
            t->column = 0;
        } else if (*p == '\n') {
            t->row++;
        } else if (*p != '\033') {
            if ((*p & 0xc0) == 0x80)
                continue; /* one cell a character, shown as its first byte */
            t->cell[t->row][t->column++] = (*p & 0x80) ? '#' : *p;
        } else if (sscanf(p, "\033[%dA", &n) == 1 && p[2 + (n > 9) + 1] == 'A') {
            t->row -= n;
            p = strchr(p, 'A');
        } else if (str_starts(p, "\033[K")) {
            memset(t->cell[t->row] + t->column, 0, sizeof t->cell[0] - (size_t)t->column);
            p += 2;
        } else if (str_starts(p, "\033[J")) {
            memset(t->cell[t->row] + t->column, 0, sizeof t->cell[0] - (size_t)t->column);
            memset(t->cell[t->row + 1], 0, sizeof t->cell[0] * (size_t)(39 - t->row));
            p += 2;
        } else { /* ESC [ ? number h or l */
            const char *end = p + strcspn(p, "hlm");
            if (str_starts(p, "\033[?25"))
                t->hidden = *end == 'l';
            p = end;
        }
    }
}

static char *terminal_text(const Terminal *t)
{
    Str s = {0};
    int last = 39;
    while (last >= 0 && !t->cell[last][0])
        last--;
    for (int i = 0; i <= last; i++)
        str_fmt(&s, "%s\n", t->cell[i]);
    return str_take(&s);
}

static void test_live(void)
{
    static const char during[] =
        "ml-worker-pod  Running  10.88.0.2  5.0s  in-place restarts: 1\n"
        "NAME     KIND     STATE                            READY  RESTARTS  PROBES    \n"
        "setup    init     RestartingAllContainers          no     1         -         \n"
        "watcher  sidecar  exited 88                        no     0         -         \n"
        "main     main     killed for the in-place restart  no     0         ready no  \n"
        "in-place restart 1: watcher exited 88\n"
        "  killing   ######################## 3/3  3ms\n"
        "  removing  ######################## 1/3  0ms\n"
        "  init      ######################## 0/2\n"
        "  starting  ######################## 0/1\n"
        "\n"
        "[main] step 1\n";
    static const char after[] =
        "ml-worker-pod  Running  10.88.0.2  6.0s  in-place restarts: 1\n"
        "NAME     KIND     STATE      READY  RESTARTS  PROBES    AGE\n"
        "setup    init     Completed  no     1         -         4s\n"
        "watcher  sidecar  Running    yes    1         -         5s\n"
        "main     main     Running    yes    1         ready ok  5s\n"
        "in-place restart 1: watcher exited 88, all running again after 1.1s\n"
        "\n"
        "[main] step 1\n";
    Screen s;
    screen_open(&s, VIEW_LIVE);
    Terminal t = {0};
    size_t played = 0;
    for (size_t i = 0; i < 10; i++) {
        feed(s.v, i);
        if (i == 3)
            view_log(s.v, "ml-worker-pod", "main", 0, "step 1\n", 7);
        view_tick(s.v, T0 + story[i].ms * NS_PER_MS);
        terminal_play(&t, s.text + played);
        played = s.n;
        CHECK(t.hidden);
        if (i == 5) {
            SCOPED(mem_free) char *text = terminal_text(&t);
            CHECK_STR(text, during);
        }
    }
    SCOPED(mem_free) char *text = terminal_text(&t);
    CHECK_STR(text, after);
    view_finish(s.v, T0 + 9 * NS_PER_S);
    terminal_play(&t, s.text + played);
    CHECK(!t.hidden); /* the cursor is given back */
    screen_close(&s);
}

static void test_cursor_given_back(void)
{
    Screen s;
    screen_open(&s, VIEW_LIVE);
    feed(s.v, 0);
    view_free(s.v); /* without view_finish() */
    s.v = NULL;
    CHECK(strstr(s.text, "\033[?25l") != NULL);
    CHECK(str_ends(s.text, "\033[?25h"));
    screen_close(&s);
}

static void test_many_logs_fit(void)
{
    Screen s;
    screen_open(&s, VIEW_LIVE);
    view_set_size(s.v, 30, 10);
    feed(s.v, 3);
    for (int i = 0; i < 500; i++) {
        SCOPED(mem_free) char *line = mem_fmt("a line of a log that is wider than the terminal %d\n", i);
        view_log(s.v, "ml-worker-pod", "main", 0, line, strlen(line));
    }
    size_t before = s.n;
    view_tick(s.v, T0);
    Terminal t = {.row = 9};
    terminal_play(&t, s.text + before);
    CHECK_INT(t.row, 9 - 5 + 9); /* up over 5 painted lines, down 9: of ten rows the last stays free, nothing scrolls */
    for (int i = 0; i < 40; i++)
        CHECK(strlen(t.cell[i]) <= 30);
    screen_close(&s);
}

static void test_clip(void)
{
    static const struct {
        const char *in;
        int columns;
        const char *want;
    } rows[] = {
        {"hello", 3, "hel"},
        {"\033[32mhello\033[0m", 3, "\033[32mhel\033[0m"},
        {"\033[32mhi\033[0m", 3, "\033[32mhi\033[0m"},
        {"→→→→", 3, "→→→"},
        {"日本語", 5, "日本"},
        {"e\xcc\x81x", 2, "e\xcc\x81x"},
        {"", 0, ""},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        SCOPED(str_done) Str s = {0};
        view_clip(&s, rows[i].in, rows[i].columns);
        CHECK_STR(str_or(s.p, ""), rows[i].want);
    }
}

/* A short run lives wholly between two statuses: it is created (has its id, waits), then it is over. */
static void test_short_run(void)
{
    static const char *const statuses[] = {
        POD("Pending", RESTARTING("False"), MADE("setup", "0"), WAIT("main", "0")),
        POD("Pending", RESTARTING("False"), DEAD("setup", "0", "0", "Completed"), WAIT("main", "0")),
        POD("Pending", RESTARTING("False"), DEAD("setup", "1", "0", "Completed"), RUNS("main", "0", "true")),
        POD("Pending", RESTARTING("False"), DEAD("setup", "1", "0", "Completed"), DEAD("main", "0", "1", "Error")),
    };
    Screen s;
    screen_open(&s, VIEW_LINES);
    for (size_t i = 0; i < ARRAY_LEN(statuses); i++) {
        void *p = NULL;
        CHECK_OK(api_decode_text(&type_Pod, statuses[i], strlen(statuses[i]), &p));
        view_pod(s.v, i ? "MODIFIED" : "ADDED", p, T0);
        api_free(&type_Pod, p);
    }
    fflush(s.f);
    CHECK_STR(s.text, "    0.000s  ml-worker-pod           sandbox ready, IP 10.88.0.2\n"
                      "    0.000s  ml-worker-pod           phase Pending\n"
                      "    0.000s  ml-worker-pod  setup    started\n"
                      "    0.000s  ml-worker-pod  setup    exited 0\n"
                      "    0.000s  ml-worker-pod  setup    started, restart 1\n"
                      "    0.000s  ml-worker-pod  setup    exited 0\n"
                      "    0.000s  ml-worker-pod  main     started\n"
                      "    0.000s  ml-worker-pod  main     ready\n"
                      "    0.000s  ml-worker-pod  main     exited 1\n");
    screen_close(&s);
}

static void test_safe(void)
{
    static const struct {
        const char *in, *want;
    } rows[] = {
        {"plain → text", "plain → text"}, {"a\tb", "a    b"},           {"\033]0;title\a", "?]0;title?"},
        {"line\r", "line"},               {"over\rwrite", "over?write"}, {"\xff\xc3", "??"},
        {"\xc2\x9b" "31m", "?31m"},       {"\xe2\x80\xae" "abc", "?abc"}, {"\xed\xa0\x80", "???"},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        SCOPED(str_done) Str s = {0};
        view_add_safe(&s, rows[i].in, strlen(rows[i].in));
        CHECK_STR(str_or(s.p, ""), rows[i].want);
    }
}

TESTS(T(test_lines), T(test_short_run), T(test_restarts), T(test_json), T(test_yaml), T(test_live), T(test_cursor_given_back),
      T(test_many_logs_fit), T(test_clip), T(test_safe))
