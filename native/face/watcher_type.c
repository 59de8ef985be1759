/* watcher_type.c: Watcher: a descriptor that becomes readable when one of some shared objects may be ready.
 *
 * One native thread a watch (signals blocked, no Python) sleeps on the objects' words and on its own `cancelled`; once one is ready it
 * makes the descriptor readable and ends. A wake-up that it took may have been meant for a sleeper in a queue or lock: it wakes one more.
 * A child made by fork inherits the descriptor, not the thread, and leaves the thread's memory alone but for its own copy.  */
#include "../event.h"
#include "../lock.h"
#include "../queue.h"
#include "../semaphore.h"
#include "face.h"
#include "platform.h"

#include <errno.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>

#define WORDS 128             /* what futex_waitv takes: ours, and two an object at most */
#define SLICE 10000000        /* ns: between two looks where an object cannot be slept on */
#define STACK_BYTES (256u << 10)

typedef enum watched_kind { WATCHED_QUEUE, WATCHED_EVENT, WATCHED_LOCK, WATCHED_SEMAPHORE } watched_kind;
typedef struct watched {
    void *shared;
    watched_kind kind;
    pn_futex_word asleep;     /* what is slept on; .word NULL: nothing */
} watched;

typedef struct watch {
    _Atomic uint32_t cancelled;
    int signal;
    uint32_t process;         /* whose thread it is */
    bool has_thread;
    pthread_t thread;
    uint32_t count;
    watched objects[];
} watch;

typedef struct sleep_plan {
    pn_futex_word words[WORDS];
    int count;
    bool sliced;              /* something is not among the words */
} sleep_plan;

/* ── is it ready? ── */
static bool is_ready(const watched *object) {
    switch (object->kind) {
    case WATCHED_QUEUE: {
        pn_queue *q = object->shared;
        return !pn_queue_is_empty(q) || atomic_load_explicit(&q->shut, memory_order_acquire) != 0;
    }
    case WATCHED_EVENT: return pn_event_is_set(object->shared);
    case WATCHED_LOCK: return pn_lock_owner(object->shared) == 0 || pn_lock_is_orphaned(object->shared);
    default: return pn_semaphore_value(object->shared) != 0 || pn_semaphore_dead_holder(object->shared) != 0;
    }
}

static bool any_ready(const watch *w) {
    for (uint32_t i = 0; i < w->count; i++)
        if (is_ready(&w->objects[i])) return true;
    return false;
}

/* ── sleeping on it ── */
static void add_word(sleep_plan *plan, pn_futex_word word) {
    if (plan->count < WORDS)
        plan->words[plan->count++] = word;
    else
        plan->sliced = true;
}

/* Says in the event's word that somebody sleeps. */
static pn_futex_word enlist_event(pn_event *event) {
    uint32_t word = atomic_load(&event->word);
    while (!(word & (PN_EVENT_SET | PN_EVENT_WAITERS)) && !atomic_compare_exchange_weak(&event->word, &word, word | PN_EVENT_WAITERS)) {}
    return (pn_futex_word){&event->word, (word & ~PN_EVENT_SET) | PN_EVENT_WAITERS}; /* set already: differs, and nobody sleeps */
}

/* The same in a lock's, and in the life word of its holder. */
static pn_futex_word enlist_lock(sleep_plan *plan, pn_lock *lock) {
    uint64_t word = atomic_load(&lock->word);
    while (word != 0 && !(word & PN_WAITERS) && !atomic_compare_exchange_weak(&lock->word, &word, word | PN_WAITERS)) {}
    pn_futex_word life;
    if (word != 0 && pn_life_word(word & PN_OWNER_MASK, &life.word, &life.expected)) add_word(plan, life);
    return (pn_futex_word){pn_low_half(&lock->word), (uint32_t)word | PN_WAITERS};
}

static pn_futex_word enlist_queue(pn_queue *q) {
    pn_futex_word asleep;
    asleep.word = pn_queue_readable_word(q, &asleep.expected);
    return asleep;
}

/* The same among a semaphore's sleepers, with the lives of all holders. Ready after all: looked at again after a slice. */
static pn_futex_word enlist_semaphore(sleep_plan *plan, pn_semaphore *semaphore) {
    pn_semaphore_sleep sleep;
    pn_futex_word life;
    pn_owner me = pn_self();
    if (me == 0 || !pn_semaphore_lie_down(semaphore, me, &sleep)) return (pn_futex_word){NULL, 0};
    for (int i = 0; i < sleep.count; i++) {
        if (pn_life_word(sleep.holders[i], &life.word, &life.expected))
            add_word(plan, life);
        else
            plan->sliced = true;
    }
    return (pn_futex_word){&semaphore->event, sleep.event};
}

static pn_futex_word enlist(sleep_plan *plan, const watched *object) {
    switch (object->kind) {
    case WATCHED_QUEUE: return enlist_queue(object->shared);
    case WATCHED_EVENT: return enlist_event(object->shared);
    case WATCHED_LOCK: return enlist_lock(plan, object->shared);
    default: return enlist_semaphore(plan, object->shared);
    }
}

static void plan_sleep(watch *w, sleep_plan *plan) {
    plan->count = 0;
    plan->sliced = !pn_has_wait_any();
    add_word(plan, (pn_futex_word){&w->cancelled, 0});
    for (uint32_t i = 0; i < w->count; i++) {
        w->objects[i].asleep = enlist(plan, &w->objects[i]);
        if (w->objects[i].asleep.word != NULL)
            add_word(plan, w->objects[i].asleep);
        else
            plan->sliced = true;
    }
}

/* Comes off the queues again, and hands a wake-up on that somebody else may have missed. */
static void end_sleep(watch *w) {
    for (uint32_t i = 0; i < w->count; i++) {
        watched *object = &w->objects[i];
        pn_futex_word asleep = object->asleep;
        if (asleep.word == NULL) continue;
        if (object->kind == WATCHED_QUEUE) pn_queue_leave_readable(object->shared, asleep.expected);
        if (object->kind == WATCHED_SEMAPHORE)
            pn_semaphore_get_up(object->shared, pn_self(), asleep.expected);
        else if (object->kind != WATCHED_EVENT && atomic_load(asleep.word) != asleep.expected) pn_futex_wake(asleep.word, 1);
    }
}

static void sleep_once(watch *w, const sleep_plan *plan) {
    pn_deadline slice = pn_clock() + SLICE, limit = plan->sliced ? slice : slice - SLICE + PN_BACKSTOP;
    if (!pn_has_wait_any() || pn_futex_wait_any(plan->words, plan->count, limit) == PN_SYSTEM) pn_futex_wait(&w->cancelled, 0, slice);
}

static void *watch_thread(void *argument) {
    watch *w = argument;
    sleep_plan plan;
    bool ready = false;
    while (!ready && atomic_load(&w->cancelled) == 0) {
        plan_sleep(w, &plan);
        ready = any_ready(w);
        if (!ready) sleep_once(w, &plan);
        end_sleep(w);
        ready = ready || any_ready(w);
    }
    if (ready) signal_set(w->signal);
    return NULL;
}

/* ── the thread ── */
static int start_thread(watch *w) {
    sigset_t all, before;
    pthread_attr_t attributes;
    int failed = pthread_attr_init(&attributes);
    if (failed != 0) return failed;
    pthread_attr_setstacksize(&attributes, STACK_BYTES);
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before); /* inherited by the thread: signals are for Python's */
    failed = pthread_create(&w->thread, &attributes, watch_thread, w);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    pthread_attr_destroy(&attributes);
    return failed;
}

static void end_watch(watch *w) {
    if (w->has_thread && w->process == pn_process_id()) {
        atomic_store(&w->cancelled, 1);
        pn_futex_wake(&w->cancelled, INT_MAX);
        pthread_join(w->thread, NULL); /* it never takes the GIL */
    }
    signal_close(w->signal);
    free(w);
}

/* Ready already: signalled at once, without a thread. False: an exception is set. */
static bool begin_watch(watch *w) {
    bool ready = any_ready(w);
    w->process = pn_process_id();
    if (signal_open(ready, &w->signal) != PN_OK) return PyErr_SetFromErrno(PyExc_OSError), false;
    if (ready) return true;
    int failed = start_thread(w);
    w->has_thread = failed == 0;
    if (failed == 0) return true;
    signal_close(w->signal);
    errno = failed;
    return PyErr_SetFromErrno(PyExc_OSError), false;
}

/* ── the type ── */
typedef struct watcher {
    PyObject_HEAD
    watch *watch;             /* NULL: closed */
    PyObject *objects;        /* a tuple: they live as long as they are watched */
} watcher;
#define SELF(self) ((watcher *)(void *)(self))

static bool describe(core_state *state, PyObject *obj, watched *object) {
    const struct { PyTypeObject *type; watched_kind kind; } kinds[] = {{state->queue_type, WATCHED_QUEUE}, {state->event_type, WATCHED_EVENT},
        {state->lock_type, WATCHED_LOCK}, {state->rlock_type, WATCHED_LOCK}, {state->semaphore_type, WATCHED_SEMAPHORE}};
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
        if (PyObject_TypeCheck(obj, kinds[i].type)) return *object = (watched){.shared = SHARED(void, obj), .kind = kinds[i].kind}, true;
    PyErr_Format(PyExc_TypeError, "a Watcher watches Queue, Event, Lock, RLock and Semaphore, not %R", Py_TYPE(obj));
    return false;
}

static watch *new_watch(core_state *state, PyObject *objects) {
    Py_ssize_t n = PyTuple_Size(objects);
    watch *w = calloc(1, sizeof *w + (size_t)n * sizeof w->objects[0]);
    if (w == NULL) return PyErr_NoMemory(), NULL;
    bool known = true;
    for (Py_ssize_t i = 0; known && i < n; i++) known = describe(state, PyTuple_GetItem(objects, i), &w->objects[w->count++]);
    if (known && begin_watch(w)) return w;
    free(w);
    return NULL;
}

static PyObject *watcher_new(PyTypeObject *type, PyObject *args, PyObject *kwargs) {
    static char *names[] = {"objects", NULL};
    PyObject *given;
    core_state *state = state_of_type(type);
    if (state == NULL || !PyArg_ParseTupleAndKeywords(args, kwargs, "O:Watcher", names, &given)) return NULL;
    PyObject *objects = PySequence_Tuple(given);
    if (objects == NULL) return NULL;
    PyObject *self = ((allocfunc)PyType_GetSlot(type, Py_tp_alloc))(type, 0);
    if (self != NULL && (SELF(self)->watch = new_watch(state, objects)) == NULL) Py_CLEAR(self);
    if (self != NULL)
        SELF(self)->objects = objects;
    else
        Py_DECREF(objects);
    return self;
}

static void close_watcher(watcher *self) {
    watch *w = __atomic_exchange_n(&self->watch, NULL, __ATOMIC_ACQ_REL); /* two threads may close it at once */
    if (w != NULL) end_watch(w);
    Py_CLEAR(self->objects);
}

static PyObject *watcher_close(PyObject *self, PyObject *unused) {
    (void)unused;
    close_watcher(SELF(self));
    Py_RETURN_NONE;
}

static PyObject *watcher_fileno(PyObject *self, PyObject *unused) {
    (void)unused;
    if (SELF(self)->watch != NULL) return PyLong_FromLong(SELF(self)->watch->signal);
    return PyErr_Format(PyExc_ValueError, "the Watcher is closed: it has no descriptor");
}

static int watcher_traverse(PyObject *self, visitproc visit, void *arg) {
    Py_VISIT(Py_TYPE(self));
    Py_VISIT(SELF(self)->objects);
    return 0;
}

static int watcher_clear(PyObject *self) { return close_watcher(SELF(self)), 0; }

void watcher_dealloc(PyObject *self) {
    PyTypeObject *type = Py_TYPE(self);
    PyObject_GC_UnTrack(self);
    close_watcher(SELF(self));
    ((freefunc)PyType_GetSlot(type, Py_tp_free))(self);
    Py_DECREF(type);
}

static PyMethodDef watcher_methods[] = {
    {"fileno", watcher_fileno, METH_NOARGS, "fileno()\n--\n\nThe descriptor; readable once one of the objects may be ready."},
    {"close", watcher_close, METH_NOARGS, "close()\n--\n\nEnd the watch; may be called again."},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot watcher_slots[] = {
    {Py_tp_doc, (void *)"Watcher(objects)\n--\n\nA descriptor that becomes readable when one of some shared objects may be ready."},
    {Py_tp_new, (void *)watcher_new},
    {Py_tp_dealloc, (void *)watcher_dealloc},
    {Py_tp_traverse, (void *)watcher_traverse},
    {Py_tp_clear, (void *)watcher_clear},
    {Py_tp_methods, watcher_methods},
    {0, NULL},
};

static PyType_Spec watcher_spec = {"procession._native._core.Watcher", sizeof(watcher), 0, Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC, watcher_slots};

bool add_watcher_type(PyObject *module, core_state *state) {
    return (state->watcher_type = add_type(module, &watcher_spec, NULL)) != NULL;
}
