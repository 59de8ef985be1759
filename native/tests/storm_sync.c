/* storm_sync.c: workers use a semaphore, a condition, an event and a barrier at random, and are killed at random instants.
 *
 * Promises, checked all the time: no operation takes longer than STALL; no more living processes are inside than there are permits; in
 * the end all permits are there, and each object works. An argument, or 300 x $PROCESSION_STORM, is the number of kills.
 * The harness's deadline does not fit here: the storm ends its own process group when it stalls.  */
#include "../barrier.h"
#include "../condition.h"
#include "../event.h"
#include "../semaphore.h"
#include "harness.h"

enum { WORKERS = 6, PERMITS = 2, PARTIES = 3 };
#define STALL (20 * 1000 * MS) /* far beyond every deadline used below, and what a loaded machine adds */

typedef enum op { IDLE, ACQUIRE, RELEASE, WAIT_CONDITION, NOTIFY, WAIT_EVENT, SET_EVENT, PASS_BARRIER, RESET_BARRIER, OPS } op;
static const char *const op_names[OPS] = {
    "nothing", "semaphore.acquire", "semaphore.release", "condition.wait", "condition.notify",
    "event.wait", "event.set", "barrier.pass", "barrier.reset"};

typedef struct worker {
    _Atomic int op;
    _Atomic int64_t since;
    _Atomic uint64_t inside;   /* my owner id while I hold a permit */
    _Atomic uint64_t changes;  /* of `inside` */
} worker;

typedef struct scene {
    worker workers[WORKERS];
    _Atomic int64_t counts[OPS];
    _Atomic int64_t owner_died, recovered, broken, passed, told, heard;
    pn_off semaphore, condition, event, barrier;
} scene;
static scene *s;
static worker *me;

#define FAIL_IF(condition)                                                                    \
    do {                                                                                      \
        if (condition) {                                                                      \
            fprintf(stderr, "%s:%d: %s (pid %d)\n", __FILE__, __LINE__, #condition, (int)getpid()); \
            kill(0, SIGKILL);                                                                 \
        }                                                                                     \
    } while (0)

static uint64_t random_state;
static uint32_t random_below(uint32_t n) {
    random_state = random_state * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(random_state >> 33) % n;
}

static void begin(op what) {
    atomic_store(&me->since, pn_clock());
    atomic_store(&me->op, what);
    atomic_fetch_add(&s->counts[what], 1);
}

static pn_deadline soon(void) { return random_below(3) == 0 ? PN_NOW : pn_clock() + random_below(3000) * 1000ll; }

/* Read twice with nothing changed in between, so there was an instant at which all were inside; the dead do not count. */
static uint32_t inside_at_once(void) {
    uint64_t owners[WORKERS], changes[WORKERS];
    for (bool same = false; !same;) {
        same = true;
        for (int i = 0; i < WORKERS; i++) changes[i] = atomic_load(&s->workers[i].changes), owners[i] = atomic_load(&s->workers[i].inside);
        for (int i = 0; i < WORKERS; i++) same &= changes[i] == atomic_load(&s->workers[i].changes);
    }
    uint32_t n = 0;
    for (int i = 0; i < WORKERS; i++) n += owners[i] != 0 && pn_owner_is_alive(owners[i]);
    return n;
}

static void set_inside(uint64_t owner) {
    atomic_fetch_add(&me->changes, 1);
    atomic_store(&me->inside, owner);
    atomic_fetch_add(&me->changes, 1);
}

static void use_semaphore(void) {
    pn_semaphore *semaphore = pn_at(s->semaphore);
    begin(ACQUIRE);
    pn_code code = pn_semaphore_acquire(semaphore, pn_self(), random_below(4) == 0 ? PN_FOREVER : soon());
    if (code == PN_OWNER_DIED) {
        atomic_fetch_add(&s->owner_died, 1);
        if (random_below(4) == 0) atomic_fetch_add(&s->recovered, pn_semaphore_recover(semaphore, pn_self()));
    }
    if (code != PN_OK) return;
    set_inside(pn_self());
    FAIL_IF(inside_at_once() > PERMITS);
    if (random_below(8) == 0) usleep(random_below(1000));
    set_inside(0);
    begin(RELEASE);
    FAIL_IF(pn_semaphore_release(semaphore, pn_self()) != PN_OK);
}

static void use_condition(void) {
    pn_condition *condition = pn_at(s->condition);
    if (random_below(3) == 0) {
        begin(NOTIFY);
        uint32_t n = random_below(4) == 0 ? UINT32_MAX : random_below(3), told = pn_condition_notify(condition, pn_self(), n, NULL);
        atomic_fetch_add(&s->told, told);
        FAIL_IF(told > n || told > WORKERS);
        return;
    }
    begin(WAIT_CONDITION);
    pn_off node = 0;
    pn_deadline deadline = soon();
    FAIL_IF(pn_condition_enlist(condition, pn_self(), &node) != PN_OK);
    pn_code code;
    do code = pn_condition_wait(condition, pn_self(), node, deadline);
    while (code == PN_INTERRUPTED);
    FAIL_IF(code != PN_OK && code != PN_TIMEOUT);
    if (code == PN_OK) atomic_fetch_add(&s->heard, 1);
}

static void use_event(void) {
    pn_event *event = pn_at(s->event);
    if (random_below(2) == 0) {
        begin(SET_EVENT);
        pn_event_set(event);
        if (random_below(4) != 0) pn_event_clear(event);
        return;
    }
    begin(WAIT_EVENT);
    uint32_t entry = 0;
    pn_deadline deadline = soon();
    pn_code code;
    do code = pn_event_wait(event, deadline, &entry);
    while (code == PN_INTERRUPTED);
    FAIL_IF(code != PN_OK && code != PN_TIMEOUT);
}

static void use_barrier(void) {
    pn_barrier *barrier = pn_at(s->barrier);
    pn_off node = 0;
    uint32_t index = 0;
    pn_code code;
    begin(PASS_BARRIER);
    pn_deadline deadline = random_below(8) == 0 ? soon() : pn_clock() + 50 * MS;
    do code = pn_barrier_arrive(barrier, pn_self(), deadline, &node, &index);
    while (code == PN_INTERRUPTED);
    if (code == PN_EMPTY) {
        for (uint32_t n = random_below(200); n > 0; n--) pn_pause();
        code = pn_barrier_release(barrier, pn_self());
    } else if (code == PN_OK) {
        do code = pn_barrier_wait(barrier, pn_self(), node, deadline);
        while (code == PN_INTERRUPTED);
        FAIL_IF(index >= PARTIES - 1);
        FAIL_IF(code == PN_TIMEOUT);
    }
    if (code == PN_OK) atomic_fetch_add(&s->passed, 1);
    if (code != PN_BROKEN) return;
    atomic_fetch_add(&s->broken, 1);
    begin(RESET_BARRIER);
    if (random_below(2) == 0) pn_barrier_reset(barrier, pn_self());
}

/* Half of the workers kill themselves, at a named point: random instants seldom fall into the few that matter. */
static void arm(void) {
    static const char *const where[] = {"semaphore.*", "waiters.*", "condition.*", "event.*", "barrier.*", "section.*", "wait.*", "life.*"};
    if (random_below(2) == 0) FAIL_IF(pn_fault_arm(where[random_below(8)], PN_FAULT_KILL, random_below(300)) != PN_OK);
}

static int work(intptr_t index) {
    me = &s->workers[index];
    random_state = (uint64_t)pn_clock() ^ (uint64_t)getpid() << 32;
    FAIL_IF(pn_self() == 0);
    arm();
    for (;;) {
        switch (random_below(4)) {
        case 0: use_semaphore(); break;
        case 1: use_condition(); break;
        case 2: use_event(); break;
        default: use_barrier(); break;
        }
        begin(IDLE);
    }
    return 0;
}

static void check_progress(void) {
    for (int i = 0; i < WORKERS; i++) {
        int64_t since = atomic_load(&s->workers[i].since);
        int what = atomic_load(&s->workers[i].op);
        if (since == 0 || pn_clock() - since < STALL) continue;
        fprintf(stderr, "stalled: %s of worker %d\n", op_names[what], i);
        if (getenv("STORM_STOP")) raise(SIGSTOP);
        kill(0, SIGKILL);
    }
}

static void make_objects(void) {
    FAIL_IF(pn_self() == 0);
    FAIL_IF(pn_semaphore_create(PERMITS, true, &s->semaphore) != PN_OK || pn_condition_create(&s->condition) != PN_OK);
    FAIL_IF(pn_event_create(&s->event) != PN_OK || pn_barrier_create(PARTIES, &s->barrier) != PN_OK);
}

static void check_objects(void) {
    pn_semaphore *semaphore = pn_at(s->semaphore);
    atomic_fetch_add(&s->recovered, pn_semaphore_recover(semaphore, pn_self()));
    FAIL_IF(pn_semaphore_value(semaphore) != PERMITS);
    FAIL_IF(pn_condition_notify(pn_at(s->condition), pn_self(), UINT32_MAX, NULL) != 0);
    FAIL_IF(pn_condition_waiting(pn_at(s->condition), pn_self()) != 0);
    pn_barrier_reset(pn_at(s->barrier), pn_self());
    FAIL_IF(pn_barrier_waiting(pn_at(s->barrier), pn_self()) != 0 || pn_barrier_is_broken(pn_at(s->barrier)));
    pn_condition *condition = pn_at(s->condition);
    pn_barrier *barrier = pn_at(s->barrier);
    FAIL_IF(condition->waiters.more != 0 || barrier->waiters.more != 0); /* the dead's nodes were used again */
}

static void print_counts(long kills, int64_t begun) {
    printf("%ld kills in %.1f s; ", kills, (double)(pn_clock() - begun) / 1e9);
    for (int i = 1; i < OPS; i++) printf("%s %lld%s", op_names[i], (long long)s->counts[i], i < OPS - 1 ? ", " : "\n");
    printf("permits recovered %lld (told %lld times), barrier passed %lld, broken %lld, condition told %lld, heard %lld\n",
           (long long)s->recovered, (long long)s->owner_died, (long long)s->passed, (long long)s->broken, (long long)s->told,
           (long long)s->heard);
}

static pid_t children[WORKERS];

/* Waits for the end of worker `i` and starts another one. */
static void replace(int i) {
    FAIL_IF(reap(children[i]) != -SIGKILL); /* anything else: it has found a fault */
    if (random_below(4) != 0) pn_process_reaped((uint32_t)children[i], -SIGKILL); /* some parents do not know us */
    atomic_store(&s->workers[i].since, 0);
    children[i] = start(work, i);
}

static long replace_the_dead(void) {
    long n = 0;
    for (int i = 0; i < WORKERS; i++) {
        siginfo_t ended = {0};
        CHECK(waitid(P_PID, (id_t)children[i], &ended, WEXITED | WNOWAIT | WNOHANG) == 0);
        if (ended.si_pid != 0) replace(i), n++;
    }
    return n;
}

static int storm(long kills) {
    make_objects();
    random_state = (uint64_t)pn_clock();
    int64_t begun = pn_clock();
    for (int i = 0; i < WORKERS; i++) children[i] = start(work, i);
    for (long n = 0; n < kills; n += replace_the_dead()) {
        usleep(random_below(SANITIZED ? 6000 : 3000));
        check_progress();
        if (random_below(2) == 0) kill(children[random_below(WORKERS)], SIGKILL);
    }
    for (int i = 0; i < WORKERS; i++) kill(children[i], SIGKILL);
    for (int i = 0; i < WORKERS; i++) FAIL_IF(reap(children[i]) != -SIGKILL);
    check_objects();
    print_counts(kills, begun);
    FAIL_IF(kills >= 100 && (s->passed == 0 || s->recovered == 0 || s->heard == 0 || s->broken == 0));
    return 0;
}

int main(int argc, char **argv) {
    const char *factor = getenv("PROCESSION_STORM");
    long kills = argc > 1 ? atol(argv[1]) : 300 * (factor != NULL ? atol(factor) : 1);
    shared = mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    s = mmap(NULL, sizeof *s, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    fflush(NULL);
    pid_t pid = fork(); /* a group of its own, for kill(0) */
    if (pid == 0) {
        setpgid(0, 0);
        exit(storm(kills));
    }
    int status = reap(pid);
    if (status != 0) printf("the storm has failed: status %d\n", status);
    return status != 0;
}
