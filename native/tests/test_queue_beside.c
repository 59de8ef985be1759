/* A queue beside a pipe: senders wait until most of it was taken, and until somebody receives.  */
#include "harness.h"
#include "queue_moves.h"

#define MS 1000000ll
#define WOKEN ((SANITIZED ? 10000 : 400) * MS) /* sooner than the backstop: somebody woke us */

static int wait_taken(intptr_t most) {
    while (pn_queue_size(the_queue()) > (uint64_t)most) CHECK(pn_queue_wait_taken(the_queue(), (uint64_t)most, PN_FOREVER) == PN_OK);
    return 0;
}

TEST(a_sender_waits_until_few_messages_are_left) {
    pn_queue *q = make_queue(1000, 0);
    for (uint64_t number = 0; number < 3; number++) put_number(q, number);
    CHECK(pn_queue_wait_taken(q, 3, PN_NOW) == PN_OK && pn_queue_wait_taken(q, 2, PN_NOW) == PN_TIMEOUT);
    pid_t pid = start(wait_taken, 1);
    AWAIT_SLEEPERS(1, PN_WAIT_QUEUE_PUT);
    int64_t begun = pn_clock();
    CHECK(get_number(q) == 0 && get_number(q) == 1 && reap_and_tell(pid) == 0);
    CHECK(pn_clock() - begun < WOKEN);
}

static int wait_attended(intptr_t unused) {
    while (atomic_load(&the_queue()->attended) == PN_SOON) CHECK(pn_queue_wait_attended(the_queue(), PN_FOREVER) == PN_OK);
    return (int)unused;
}

TEST(a_sender_waits_until_somebody_receives) {
    pn_queue *q = make_queue(1000, 0);
    CHECK(pn_queue_wait_attended(q, pn_clock() + 5 * MS) == PN_TIMEOUT);
    pid_t pids[2] = {start(wait_attended, 0), start(wait_attended, 0)};
    AWAIT_SLEEPERS(2, PN_WAIT_QUEUE_PUT);
    int64_t begun = pn_clock();
    pn_queue_attend(q);
    CHECK(reap_and_tell(pids[0]) == 0 && reap_and_tell(pids[1]) == 0);
    CHECK(pn_clock() - begun < WOKEN);
    CHECK(pn_queue_wait_attended(q, PN_FOREVER) == PN_OK);
}

TEST(who_comes_late_is_known_and_who_must_not_be_relied_on_stays_so) {
    pn_queue *q = make_queue(1000, 0);
    atomic_store(&q->attended, PN_LATE);
    pn_queue_attend(q);
    CHECK(atomic_load(&q->attended) == PN_ATTENDED);
    atomic_store(&q->attended, PN_NEVER);
    pn_queue_attend(q);
    CHECK(atomic_load(&q->attended) == PN_NEVER);
}

TESTS(RUN(a_sender_waits_until_few_messages_are_left), RUN(a_sender_waits_until_somebody_receives),
      RUN(who_comes_late_is_known_and_who_must_not_be_relied_on_stays_so))
