/* value_codes.c: items of memory and what they are in Python. The codes are in value_face.h.  */
#include "value_face.h"

#include <string.h>

Py_ssize_t code_size(char code) {
    switch (code) {
    case 'b': case 'B': case '?': case 'c': return 1;
    case 'h': case 'H': return 2;
    case 'i': case 'I': case 'f': return 4;
    case 'q': case 'Q': case 'd': return 8;
    default: return 0;
    }
}

/* Items of ctypes arrays are aligned, fields of packed structures are none of ours; memcpy of a known size is one instruction either way. */
item_bits load_bits(char code, const char *item) {
    item_bits bits = {.Q = 0};
    switch (code_size(code)) {
    case 1: memcpy(&bits, item, 1); break;
    case 2: memcpy(&bits, item, 2); break;
    case 4: memcpy(&bits, item, 4); break;
    default: memcpy(&bits, item, 8); break;
    }
    return bits;
}

void store_bits(char code, char *item, item_bits bits) {
    switch (code_size(code)) {
    case 1: memcpy(item, &bits, 1); break;
    case 2: memcpy(item, &bits, 2); break;
    case 4: memcpy(item, &bits, 4); break;
    default: memcpy(item, &bits, 8); break;
    }
}

PyObject *object_of_bits(char code, item_bits bits) {
    switch (code) {
    case 'b': return PyLong_FromLong(bits.b);
    case 'B': return PyLong_FromLong(bits.B);
    case 'h': return PyLong_FromLong(bits.h);
    case 'H': return PyLong_FromLong(bits.H);
    case 'i': return PyLong_FromLong(bits.i);
    case 'I': return PyLong_FromUnsignedLong(bits.I);
    case 'q': return PyLong_FromLongLong(bits.q);
    case 'Q': return PyLong_FromUnsignedLongLong(bits.Q);
    case 'f': return PyFloat_FromDouble((double)bits.f);
    case 'd': return PyFloat_FromDouble(bits.d);
    case '?': return PyBool_FromLong(bits.B);
    default: return PyBytes_FromStringAndSize((const char *)&bits, 1); /* c */
    }
}

/* Too large an integer wraps round, as it does in ctypes. */
static bool bits_of_int(PyObject *obj, item_bits *bits) {
    if (!PyLong_Check(obj)) return false;
    return bits->Q = PyLong_AsUnsignedLongLongMask(obj), true; /* little-endian: each smaller member is its low bytes */
}
_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "bits_of_int takes the low bytes first");

bool bits_of_object(char code, PyObject *obj, item_bits *bits) {
    switch (code) {
    case 'f':
        if (PyFloat_Check(obj)) return bits->f = (float)PyFloat_AsDouble(obj), true;
        return false;
    case 'd':
        if (PyFloat_Check(obj)) return bits->d = PyFloat_AsDouble(obj), true;
        return false;
    case '?':
        if (obj == Py_True || obj == Py_False) return bits->B = obj == Py_True, true;
        return false;
    case 'c': return false;
    default: return bits_of_int(obj, bits);
    }
}
