/* storm_queue.c: producers and consumers killed at random, by the thousand:  storm_queue [kills [seed]]  (300 x $PROCESSION_STORM if not said).
 *
 * Each message carries its producer, its number and a pattern; a bitmap says which were taken. At the end of each round nothing may hang,
 * be damaged, come twice or out of order; what is missing was either never put (its producer was killed while putting it) or in the
 * hands of a consumer that was killed: its claim says how many those were at most. Nothing may leak but what a kill may (heap.h).  */
#include "harness.h"
#include "../queue.h"

enum { PRODUCERS = 3, CONSUMERS = 3, WORKERS = PRODUCERS + CONSUMERS, KILLS_A_ROUND = 100, BATCH = 4 };
enum { NUMBERS = 1 << 24 /* messages of a producer in a round */, LARGEST = 60000 };
#define HANG (15 * 1000 * MS)

typedef struct storm_state {
    pn_off queue, claims;
    _Atomic uint32_t ending;                    /* producers stop; then consumers, once it is empty */
    _Atomic uint32_t draining;
    _Atomic uint64_t next[PRODUCERS];           /* the number that is being put */
    _Atomic uint64_t progress[WORKERS];
    _Atomic uint64_t in_hand;                   /* summed by the parent over consumers killed */
    _Atomic uint64_t duplicates, disorders, damages;
    _Atomic uint64_t uncertain[PRODUCERS][KILLS_A_ROUND * 4]; /* numbers of which nobody knows whether they were put */
    uint32_t uncertain_count[PRODUCERS];
    _Atomic uint64_t taken[PRODUCERS][NUMBERS / 64];
} storm_state;
static storm_state *storm;
typedef struct storm_totals { uint64_t put, lost, in_hand; int kills, consumers_killed; int64_t leaked; } storm_totals;
static uint32_t dice, seed;

static uint32_t roll(void) { return (dice = dice * 1664525 + 1013904223) >> 8; }
static pn_queue *the_queue(void) { return pn_at(storm->queue); }
static pn_claim *claim_of(int consumer) { return (pn_claim *)pn_at(storm->claims + 64) + consumer; }

static uint64_t mix(uint64_t x) {
    x = (x ^ x >> 31) * 0x9e3779b97f4a7c15ull;
    return x ^ x >> 29;
}

typedef struct storm_message { uint64_t producer, number, check; } storm_message;

static uint64_t size_of(uint64_t producer, uint64_t number) {
    uint64_t random = mix(producer << 32 ^ number);
    uint64_t size = random % 499 == 0 ? 33000 + random / 512 % 27000 : random % 7 == 0 ? random / 512 % 1500 : random / 512 % 40;
    return size < sizeof(storm_message) ? sizeof(storm_message) : size;
}

/* ── who gets killed ─────────────────────────────────────────────────────────────────────────────────────────────────── */

static int produce(intptr_t producer) {
    static char bytes[LARGEST];
    pn_queue *q = the_queue();
    pn_owner me = pn_self();
    while (!atomic_load(&storm->ending) && atomic_load(&storm->next[producer]) < NUMBERS - 1) {
        uint64_t number = atomic_load(&storm->next[producer]), size = size_of((uint64_t)producer, number);
        storm_message head = {(uint64_t)producer, number, mix((uint64_t)producer * 77 + number)};
        memset(bytes, (int)head.check, size);
        memcpy(bytes, &head, sizeof head);
        uint32_t done = 0;
        pn_code code;
        while ((code = pn_queue_try_put(q, me, &(pn_message){bytes, size, PN_TAG_BYTES, 0, 0}, 1, &done)) == PN_FULL)
            (void)pn_queue_wait_not_full(q, PN_FOREVER);
        CHECK(code == PN_OK && done == 1);
        atomic_store(&storm->next[producer], number + 1);
        atomic_fetch_add(&storm->progress[producer], 1);
    }
    return 0;
}

static void take(const pn_message *message, uint64_t last[PRODUCERS]) {
    storm_message head;
    const unsigned char *bytes = message->bytes;
    if (message->size < sizeof head) { atomic_fetch_add(&storm->damages, 1); return; }
    memcpy(&head, bytes, sizeof head);
    bool whole = head.producer < PRODUCERS && head.number < NUMBERS && message->size == size_of(head.producer, head.number)
                 && head.check == mix(head.producer * 77 + head.number);
    for (uint64_t i = sizeof head; whole && i < message->size; i++) whole = bytes[i] == (unsigned char)head.check;
    if (!whole) { atomic_fetch_add(&storm->damages, 1); return; }
    uint64_t bit = 1ull << head.number % 64;
    if (atomic_fetch_or(&storm->taken[head.producer][head.number / 64], bit) & bit) atomic_fetch_add(&storm->duplicates, 1);
    if (head.number < last[head.producer]) atomic_fetch_add(&storm->disorders, 1);
    last[head.producer] = head.number + 1;
}

static int consume(intptr_t consumer) {
    pn_queue *q = the_queue();
    pn_owner me = pn_self();
    pn_scratch scratch = {NULL, 0};
    pn_message messages[BATCH];
    uint64_t last[PRODUCERS] = {0};
    pn_claim *claim = claim_of((int)consumer);
    for (;;) {
        uint32_t n = 0, want = 1 + (uint32_t)atomic_load(&storm->progress[PRODUCERS + consumer]) % BATCH;
        pn_code code = pn_queue_try_get(q, me, &scratch, messages, want, &n, claim);
        if (code == PN_EMPTY && atomic_load(&storm->draining)) return 0;
        if (code == PN_EMPTY) {
            (void)pn_queue_wait_not_empty(q, pn_clock() + 50 * MS);
            continue;
        }
        CHECK(code == PN_OK);
        for (uint32_t i = 0; i < n; i++) {
            take(&messages[i], last);
            pn_queue_release_message(&messages[i]);
            CHECK(pn_queue_task_done(q, 1) == PN_OK);
            atomic_fetch_add(&claim->finished, 1);
        }
        atomic_fetch_add(&storm->progress[PRODUCERS + consumer], 1);
    }
}

/* Every second one dies by itself, at some fault point. */
static int work(intptr_t worker) {
    CHECK(pn_self() != 0);
    if (worker & 0x100) CHECK(pn_fault_arm("*", PN_FAULT_KILL, (uint32_t)(worker >> 9)) == PN_OK);
    worker &= 0xff;
    return worker < PRODUCERS ? produce(worker) : consume(worker - PRODUCERS);
}

static pid_t start_worker(int worker, bool mortal) {
    intptr_t points = (intptr_t)(roll() % (roll() % 2 ? 200 : 20000)) << 9;
    pid_t pid = start(work, worker | (mortal && roll() % 2 ? 0x100 | points : 0));
    pn_after_fork((uint32_t)pid); /* it may be killed before it can say so itself */
    return pid;
}

/* ── a round ─────────────────────────────────────────────────────────────────────────────────────────────────────────── */

static uint64_t total_progress(void) {
    uint64_t sum = 0;
    for (int i = 0; i < WORKERS; i++) sum += atomic_load(&storm->progress[i]);
    return sum;
}

/* What a dead one leaves in doubt. */
static void bury(int worker, pid_t pid, int status) {
    pn_queue *q = the_queue();
    pn_process_reaped((uint32_t)pid, status);
    if (worker < PRODUCERS) {
        uint64_t number = atomic_fetch_add(&storm->next[worker], 1);
        atomic_store(&storm->uncertain[worker][storm->uncertain_count[worker]++], number);
        return;
    }
    pn_claim *claim = claim_of(worker - PRODUCERS);
    pn_queue_settle(q, pn_self());
    CHECK(atomic_load(&claim->count) == 0 || atomic_load(&claim->sequence) + atomic_load(&claim->count) <= atomic_load(&q->ngot));
    if (atomic_load(&claim->count) > atomic_load(&claim->finished)) storm->in_hand += atomic_load(&claim->count) - atomic_load(&claim->finished);
    atomic_store(&claim->count, 0);
    atomic_store(&claim->finished, 0);
}

static bool is_dead(pid_t pid) {
    siginfo_t info = {0};
    CHECK(waitid(P_PID, (id_t)pid, &info, WEXITED | WNOHANG | WNOWAIT) == 0);
    return info.si_pid == pid;
}

static void replace(pid_t pids[WORKERS], int victim, bool mortal, storm_totals *totals) {
    CHECK(reap(pids[victim]) == -SIGKILL);
    bury(victim, pids[victim], -SIGKILL);
    totals->kills++;
    totals->consumers_killed += victim >= PRODUCERS;
    pids[victim] = start_worker(victim, mortal);
}

/* Who died by himself. */
static void replace_dead(pid_t pids[WORKERS], bool mortal, storm_totals *totals) {
    for (int i = 0; i < WORKERS; i++)
        if (is_dead(pids[i])) replace(pids, i, mortal, totals);
}

static void check_progress(pid_t pids[WORKERS], storm_totals *totals) {
    int64_t since = pn_clock();
    uint64_t before = total_progress();
    while (total_progress() == before && pn_clock() - since < HANG) {
        replace_dead(pids, false, totals);
        usleep(200);
    }
    if (total_progress() != before) return;
    pn_queue *q = the_queue();
    fprintf(stderr, "HANG: sections %lx %lx, size %lu, shut %u\n", (unsigned long)q->put_section.word, (unsigned long)q->get_section.word, (unsigned long)pn_queue_size(q), q->shut);
    for (int i = 0; i < WORKERS; i++) fprintf(stderr, "  worker %d: pid %d%s\n", i, (int)pids[i], is_dead(pids[i]) ? ", dead" : "");
    CHECK(total_progress() != before);
}

static void kill_some(pid_t pids[WORKERS], int kills, storm_totals *totals) {
    for (int end = totals->kills + kills, k = 0; totals->kills < end; k++) {
        usleep(roll() % 1500);
        replace_dead(pids, true, totals);
        int victim = (int)(roll() % WORKERS);
        kill(pids[victim], SIGKILL);
        replace(pids, victim, true, totals);
        if (k % 16 == 15) check_progress(pids, totals);
    }
}

/* Those who die by themselves only now are started again, so that the work gets done. */
static void finish(pid_t pids[WORKERS], int from, int to) {
    int64_t since = pn_clock();
    for (int i = from; i < to; i++) {
        int status = 0;
        pid_t ended;
        while ((ended = waitpid(pids[i], &status, WNOHANG)) == 0 && pn_clock() - since < HANG) usleep(200);
        if (ended == 0) fprintf(stderr, "HANG: worker %d does not end\n", i);
        CHECK(ended == pids[i]);
        if (status == 0) pn_process_reaped((uint32_t)pids[i], 0);
        if (status == 0) continue;
        CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
        bury(i, pids[i], -SIGKILL);
        pids[i] = start_worker(i, false);
        i--;
    }
}

static bool is_uncertain(int producer, uint64_t number) {
    for (uint32_t i = 0; i < storm->uncertain_count[producer]; i++)
        if (atomic_load(&storm->uncertain[producer][i]) == number) return true;
    return false;
}

/* Messages that were certainly put, and that nobody took. */
static uint64_t count_lost(uint64_t *put) {
    uint64_t lost = 0;
    for (int p = 0; p < PRODUCERS; p++)
        for (uint64_t number = 0; number < atomic_load(&storm->next[p]); number++) {
            bool is_taken = atomic_load(&storm->taken[p][number / 64]) >> number % 64 & 1;
            ++*put;
            lost += !is_taken && !is_uncertain(p, number);
        }
    return lost;
}

static void round_of(int kills, uint32_t maxsize, storm_totals *totals) {
    pid_t pids[WORKERS];
    memset(storm, 0, sizeof *storm);
    CHECK(pn_object_create(64 + CONSUMERS * sizeof(pn_claim), PN_KIND_TABLE, &storm->claims) == PN_OK);
    CHECK(pn_queue_create(maxsize, PN_QUEUE_JOINABLE, &storm->queue) == PN_OK);
    for (int i = 0; i < WORKERS; i++) pids[i] = start_worker(i, true);
    kill_some(pids, kills, totals);
    atomic_store(&storm->ending, 1);
    finish(pids, 0, PRODUCERS);
    atomic_store(&storm->draining, 1);
    finish(pids, PRODUCERS, WORKERS);
    uint64_t put = 0, lost = count_lost(&put);
    pn_queue *q = the_queue();
    CHECK(storm->duplicates == 0 && storm->disorders == 0 && storm->damages == 0);
    CHECK(lost <= storm->in_hand && pn_queue_is_empty(q) && pn_queue_size(q) == 0);
    CHECK(pn_queue_unfinished(q) <= storm->in_hand);
    totals->put += put, totals->lost += lost, totals->in_hand += storm->in_hand;
    pn_object_detach(storm->queue);
    pn_object_detach(storm->claims);
}

static int nothing(intptr_t unused) { return (void)pn_self(), (int)unused; }

static int run_storm(int kills) {
    static const uint32_t sizes[] = {20000, 1, 100, 5000};
    storm_totals totals = {0};
    CHECK(pn_self() != 0);
    pn_off first;
    CHECK(pn_object_create(64, PN_KIND_EVENT, &first) == PN_OK);
    int64_t base = (int64_t)pn_heap_in_use(), begun = pn_clock();
    for (int round = 0; totals.kills < kills; round++) {
        dice = (uint32_t)round * 7919 + seed;
        round_of(kills - totals.kills < KILLS_A_ROUND ? kills - totals.kills : KILLS_A_ROUND, sizes[round % 4], &totals);
    }
    pid_t last = start(nothing, 0); /* a death, so that the quarantine lets go */
    pn_process_reaped((uint32_t)last, reap(last));
    totals.leaked = (int64_t)pn_heap_in_use() - base;
    printf("storm: seed %u, %d kills (%d of consumers) in %.1f s; %.2f M messages put, %lu lost of %lu in the hands of the killed, 0 twice, 0 damaged; %ld bytes leaked\n",
           seed, totals.kills, totals.consumers_killed, (double)(pn_clock() - begun) / 1e9, (double)totals.put / 1e6, (unsigned long)totals.lost,
           (unsigned long)totals.in_hand, (long)totals.leaked);
    CHECK(totals.leaked <= 4096 + (int64_t)kills * 2048); /* a kill leaks one reference at most, and seldom does */
    return 0;
}

int main(int argc, char **argv) {
    const char *factor = getenv("PROCESSION_STORM");
    int kills = argc > 1 ? atoi(argv[1]) : 300 * (factor != NULL && atoi(factor) > 0 ? atoi(factor) : 1), status = -1;
    seed = argc > 2 ? (uint32_t)strtoul(argv[2], NULL, 10) : (uint32_t)getpid();
    setvbuf(stdout, NULL, _IOLBF, 0);
    shared = mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    storm = mmap(NULL, sizeof *storm, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    pid_t pid = fork();
    if (pid == 0) {
        setpgid(0, 0);
        exit(run_storm(kills));
    }
    setpgid(pid, pid);
    int64_t begun = pn_clock(), patience = 30 * 1000 * MS + kills * 50 * MS;
    while (waitpid(pid, &status, WNOHANG) == 0 && pn_clock() - begun < patience) usleep(2000);
    kill(-pid, SIGKILL);
    bool good = status == 0 && atomic_load(&shared->failed) == 0;
    if (!good) printf("storm: FAILED with status %d, seed %u\n", status, seed);
    return !good;
}
