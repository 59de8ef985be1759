/* waits.c: how long a caller wants to wait: arguments into nanoseconds.  */
#include "face.h"

#include <math.h>

static bool set_seconds(double seconds, int64_t *ns) {
    if (isnan(seconds)) {
        PyErr_SetString(PyExc_ValueError, "timeout must be a number of seconds or None, not NaN");
        return false;
    }
    if (seconds <= 0)
        *ns = 0;
    else if (seconds >= 9.2e9) /* 292 years of nanoseconds fill 63 bits */
        *ns = PN_FOREVER;
    else
        *ns = 1 + (int64_t)(seconds * 1e9);
    return true;
}

bool parse_timeout(PyObject *timeout, int64_t *ns) {
    if (timeout == Py_None) return *ns = PN_FOREVER, true;
    double seconds = PyFloat_AsDouble(timeout); /* ints too */
    if (PN_UNLIKELY(seconds == -1.0) && PyErr_Occurred()) {
        if (!PyErr_ExceptionMatches(PyExc_OverflowError)) return false;
        PyErr_Clear(); /* an int beyond all floats */
        int overflow = 0;
        PyLong_AsLongLongAndOverflow(timeout, &overflow);
        seconds = overflow < 0 ? -1.0 : 1e300;
    }
    return set_seconds(seconds, ns);
}

static bool parse_block(PyObject *block, bool *value) {
    if (PN_LIKELY(block == Py_True || block == Py_False)) return *value = block == Py_True, true;
    int truth = PyObject_IsTrue(block);
    if (truth < 0) return false;
    *value = truth;
    return true;
}

/* Keyword names are interned, as ours are; strings made at run time are not. */
static inline bool is_name(PyObject *name, PyObject *interned, const char *text) {
    return name == interned || PyUnicode_CompareWithASCIIString(name, text) == 0;
}

static bool parse_wait_names(core_state *state, const char *function, PyObject *const *values, PyObject *names, Py_ssize_t given, wait_args *wait) {
    bool seen[2] = {given > 0, given > 1};
    for (Py_ssize_t i = 0, n = PyTuple_Size(names); i < n; i++) {
        PyObject *name = PyTuple_GetItem(names, i);
        bool is_timeout = is_name(name, state->name_timeout, "timeout");
        if (!is_timeout && !is_name(name, state->name_block, "block")) {
            PyErr_Format(PyExc_TypeError, "%s() got an unexpected keyword argument '%U'", function, name);
            return false;
        }
        if (seen[is_timeout]) {
            PyErr_Format(PyExc_TypeError, "%s() got multiple values for argument '%U'", function, name);
            return false;
        }
        seen[is_timeout] = true;
        if (is_timeout ? !parse_timeout(values[i], &wait->timeout) : !parse_block(values[i], &wait->block)) return false;
    }
    return true;
}

bool parse_wait(core_state *state, const char *name, PyObject *const *args, Py_ssize_t n, PyObject *names, Py_ssize_t skip, wait_args *wait) {
    *wait = WAIT_FOREVER;
    Py_ssize_t given = n - skip;
    if (given > 2) {
        PyErr_Format(PyExc_TypeError, "%s() takes at most %zd positional arguments, not %zd", name, skip + 2, n);
        return false;
    }
    if (given > 0 && !parse_block(args[skip], &wait->block)) return false;
    if (given > 1 && !parse_timeout(args[skip + 1], &wait->timeout)) return false;
    return names == NULL || parse_wait_names(state, name, args + n, names, given, wait);
}

bool parse_timeout_only(core_state *state, const char *name, PyObject *const *args, Py_ssize_t n, PyObject *names, int64_t *ns) {
    *ns = PN_FOREVER;
    Py_ssize_t named = names == NULL ? 0 : PyTuple_Size(names);
    if (n + named > 1) {
        PyErr_Format(PyExc_TypeError, "%s() takes at most one argument, timeout; %zd given", name, n + named);
        return false;
    }
    if (named == 1 && !is_name(PyTuple_GetItem(names, 0), state->name_timeout, "timeout")) {
        PyErr_Format(PyExc_TypeError, "%s() got an unexpected keyword argument '%U'", name, PyTuple_GetItem(names, 0));
        return false;
    }
    return n + named == 0 || parse_timeout(args[0], ns);
}

static int place_of(const char *const *names, int count, PyObject *keyword) {
    for (int i = 0; i < count; i++)
        if (PyUnicode_CompareWithASCIIString(keyword, names[i]) == 0) return i;
    return -1;
}

static bool place_keywords(const char *function, const char *const *names, int count, PyObject *const *args, PyObject *keywords, PyObject **values) {
    for (Py_ssize_t i = 0, n = PyTuple_Size(keywords); i < n; i++) {
        PyObject *keyword = PyTuple_GetItem(keywords, i);
        int place = place_of(names, count, keyword);
        if (place < 0 || values[place] != NULL) {
            PyErr_Format(PyExc_TypeError, "%s() got %s argument '%U'", function, place < 0 ? "an unexpected keyword" : "multiple values for", keyword);
            return false;
        }
        values[place] = args[i];
    }
    return true;
}

bool parse_named(const char *function, const char *const *names, int count, int required, PyObject *const *args, Py_ssize_t n,
                 PyObject *keywords, PyObject **values) {
    if (n > count) {
        PyErr_Format(PyExc_TypeError, "%s() takes at most %d positional arguments, not %zd", function, count, n);
        return false;
    }
    for (int i = 0; i < count; i++) values[i] = i < n ? args[i] : NULL;
    if (keywords != NULL && !place_keywords(function, names, count, args + n, keywords, values)) return false;
    for (int i = 0; i < required; i++)
        if (values[i] == NULL) {
            PyErr_Format(PyExc_TypeError, "%s() misses its argument '%s'", function, names[i]);
            return false;
        }
    return true;
}
