/* with_methods.c: __enter__ and __exit__ of Lock and RLock, bound without making an object.
 *
 * A with statement looks both up and binds them before it calls the first: two bound methods made, tracked by the collector and thrown
 * away, which is half of what `with lock` costs. Here binding takes the object that was bound last time, if nobody has it any more.
 * To everything else these are methods: a subclass may override them, super() finds them, and the bound ones can be kept.  */
#include "lock_face.h"

#include <stddef.h>
#include <structmember.h>

#ifndef Py_TPFLAGS_HAVE_VECTORCALL
#define Py_TPFLAGS_HAVE_VECTORCALL (1UL << 11) /* in the Limited API since 3.12; the same bit in 3.11 */
#endif

typedef struct with_method {
    PyObject_HEAD
    core_state *state;
    PyObject *(*function)(PyObject *self);
    const char *name;
    PyTypeObject *owner;   /* whose method it is: lives as long as the state */
    struct bound_method *spare; /* memory of one that nobody has; NULL: none */
} with_method;

typedef struct bound_method {
    PyObject_HEAD
    PyObject *(*call)(PyObject *bound, PyObject *const *args, size_t n, PyObject *names);
    with_method *method;
    PyObject *self;
} bound_method;

#define BOUND(object) ((bound_method *)(void *)(object))
#define METHOD(object) ((with_method *)(void *)(object))

/* ── bound ── */
static PyObject *bound_vectorcall(PyObject *bound, PyObject *const *args, size_t n, PyObject *names) {
    (void)args, (void)n, (void)names;
    return BOUND(bound)->method->function(BOUND(bound)->self);
}

static PyObject *bound_call(PyObject *bound, PyObject *args, PyObject *kwargs) {
    (void)args, (void)kwargs;
    return BOUND(bound)->method->function(BOUND(bound)->self);
}

static void bound_dealloc(PyObject *object) {
    bound_method *bound = BOUND(object);
    PyTypeObject *type = Py_TYPE(object);
    with_method *method = bound->method;
    PyObject *self = bound->self;
    if (!FACE_FREE_THREADED && method->spare == NULL)
        method->spare = bound;
    else
        PyObject_Free(object);
    Py_DECREF(self); /* may run anything, which may bind again */
    Py_DECREF(method);
    Py_DECREF(type);
}

static PyObject *bound_repr(PyObject *object) {
    return PyUnicode_FromFormat("<built-in method %s of %R>", BOUND(object)->method->name, BOUND(object)->self);
}

static PyMemberDef bound_members[] = {
    {"__self__", T_OBJECT, offsetof(bound_method, self), READONLY, NULL},
    {"__vectorcalloffset__", T_PYSSIZET, offsetof(bound_method, call), READONLY, NULL},
    {NULL, 0, 0, 0, NULL},
};

static PyType_Slot bound_slots[] = {
    {Py_tp_dealloc, (void *)bound_dealloc},
    {Py_tp_call, (void *)bound_call},
    {Py_tp_repr, (void *)bound_repr},
    {Py_tp_members, bound_members},
    {0, NULL},
};

static PyType_Spec bound_spec = {"procession._native._core.BoundMethod", sizeof(bound_method), 0,
                                 Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_VECTORCALL | Py_TPFLAGS_DISALLOW_INSTANTIATION, bound_slots};

/* ── unbound ── */
static PyObject *bind(PyObject *object, PyObject *self, PyObject *type) {
    (void)type;
    with_method *method = METHOD(object);
    if (self == NULL || self == Py_None) return Py_NewRef(object);
    bound_method *bound = method->spare;
    method->spare = NULL;
    if (bound == NULL) bound = PyObject_Malloc(sizeof *bound);
    if (bound == NULL) return PyErr_NoMemory();
    PyObject_Init((PyObject *)bound, method->state->bound_method_type);
    bound->call = bound_vectorcall;
    bound->method = METHOD(Py_NewRef(object));
    bound->self = Py_NewRef(self);
    return (PyObject *)bound;
}

/* Lock.__enter__(lock) */
static PyObject *unbound_call(PyObject *object, PyObject *args, PyObject *kwargs) {
    (void)kwargs;
    with_method *method = METHOD(object);
    PyObject *self = PyTuple_Size(args) > 0 ? PyTuple_GetItem(args, 0) : NULL;
    if (self == NULL || !PyObject_TypeCheck(self, method->owner))
        return PyErr_Format(PyExc_TypeError, "%s() needs an object of %R first", method->name, method->owner);
    return method->function(self);
}

static void unbound_dealloc(PyObject *object) {
    PyTypeObject *type = Py_TYPE(object);
    PyObject_Free(METHOD(object)->spare);
    PyObject_Free(object);
    Py_DECREF(type);
}

static PyObject *unbound_repr(PyObject *object) { return PyUnicode_FromFormat("<method %s of %R>", METHOD(object)->name, METHOD(object)->owner); }

static PyMemberDef unbound_members[] = {
    {"__name__", T_STRING, offsetof(with_method, name), READONLY, NULL},
    {NULL, 0, 0, 0, NULL},
};

static PyType_Slot unbound_slots[] = {
    {Py_tp_dealloc, (void *)unbound_dealloc}, {Py_tp_descr_get, (void *)bind},     {Py_tp_call, (void *)unbound_call},
    {Py_tp_repr, (void *)unbound_repr},       {Py_tp_members, unbound_members}, {0, NULL},
};

static PyType_Spec unbound_spec = {"procession._native._core.WithMethod", sizeof(with_method), 0,
                                   Py_TPFLAGS_DEFAULT | Py_TPFLAGS_DISALLOW_INSTANTIATION, unbound_slots};

/* ── what they do ── */
static PyObject *lock_enter(PyObject *self) { return lock_take(self, SHARED(pn_lock, self), WAIT_FOREVER); }
static PyObject *rlock_enter(PyObject *self) { return rlock_take(self, SHARED(pn_lock, self), WAIT_FOREVER); }
static PyObject *lock_exit(PyObject *self) { return lock_give(SHARED(pn_lock, self)); }
static PyObject *rlock_exit(PyObject *self) { return rlock_give(SHARED(pn_lock, self)); }

static bool add_method(core_state *state, PyTypeObject *owner, const char *name, PyObject *(*function)(PyObject *)) {
    with_method *method = PyObject_Malloc(sizeof *method);
    if (method == NULL) return PyErr_NoMemory() != NULL;
    PyObject_Init((PyObject *)method, state->with_method_type);
    method->state = state;
    method->function = function;
    method->name = name;
    method->owner = owner;
    method->spare = NULL;
    int failed = PyObject_SetAttrString((PyObject *)owner, name, (PyObject *)method);
    Py_DECREF(method);
    return failed == 0;
}

bool add_with_methods(PyObject *module, core_state *state) {
    state->bound_method_type = (PyTypeObject *)PyType_FromModuleAndSpec(module, &bound_spec, NULL);
    state->with_method_type = (PyTypeObject *)PyType_FromModuleAndSpec(module, &unbound_spec, NULL);
    return state->bound_method_type != NULL && state->with_method_type != NULL &&
           add_method(state, state->lock_type, "__enter__", lock_enter) && add_method(state, state->lock_type, "__exit__", lock_exit) &&
           add_method(state, state->rlock_type, "__enter__", rlock_enter) && add_method(state, state->rlock_type, "__exit__", rlock_exit);
}
