/* codec.c: the whole way with the fallback. See codec.h. */
#include "codec.h"

#include "block.h"

static PyObject *not_configured(const char *what) {
    return PyErr_Format(PyExc_RuntimeError, "the native core has no %s: call procession._native.configure() before its codec meets an "
                        "object that is not of a plain builtin type", what);
}

bool codec_fallback_dumps(core_state *state, PyObject *obj, Py_buffer *bytes) {
    PyObject *dumps = state->with.fallback_dumps;
    if (dumps == NULL) return not_configured("fallback_dumps"), false;
    PyObject *made = PyObject_CallFunctionObjArgs(dumps, obj, NULL);
    if (made == NULL) return false;
    int failed = PyObject_GetBuffer(made, bytes, PyBUF_SIMPLE);
    Py_DECREF(made); /* the buffer holds it */
    return failed == 0;
}

PyObject *codec_fallback_pack(core_state *state, PyObject *obj) {
    PyObject *packs = state->with.fallback_pack;
    return packs == NULL ? not_configured("fallback_pack") : PyObject_CallFunctionObjArgs(packs, obj, NULL);
}

codec_result codec_encode_plain(PyObject *obj, codec_message *message) {
    uint64_t used = 0;
    message->fallback.obj = NULL;
    message->block = NULL;
    message->scratch = scratch_take();
    codec_result result = codec_write(obj, &message->scratch, &used);
    if (PN_UNLIKELY(result != CODEC_OK)) return scratch_give(&message->scratch), result;
    message->bytes = message->scratch.bytes;
    message->size = used;
    return CODEC_OK;
}

static bool use_fallback(codec_message *message) {
    message->bytes = message->fallback.buf;
    message->size = (uint64_t)message->fallback.len;
    return true;
}

bool codec_encode_rest(core_state *state, PyObject *obj, codec_message *message, bool shared) {
    if (!shared) return codec_fallback_dumps(state, obj, &message->fallback) && use_fallback(message);
    PyObject *packed = codec_fallback_pack(state, obj);
    if (packed == NULL) return false;
    if (block_is(state, packed)) return message->block = packed, true;
    int failed = PyObject_GetBuffer(packed, &message->fallback, PyBUF_SIMPLE);
    Py_DECREF(packed); /* the buffer holds it */
    return failed == 0 && use_fallback(message);
}

static bool encode(core_state *state, PyObject *obj, codec_message *message, bool shared) {
    codec_result result = codec_encode_plain(obj, message);
    return PN_LIKELY(result == CODEC_OK) || (result == CODEC_CANNOT && codec_encode_rest(state, obj, message, shared));
}

bool codec_encode(core_state *state, PyObject *obj, codec_message *message) { return encode(state, obj, message, false); }
bool codec_encode_shared(core_state *state, PyObject *obj, codec_message *message) { return encode(state, obj, message, true); }

void codec_done(codec_message *message) {
    if (PN_UNLIKELY(message->fallback.obj != NULL)) PyBuffer_Release(&message->fallback);
    Py_XDECREF(message->block);
    if (message->scratch.bytes != NULL) scratch_give(&message->scratch);
}

/* The view must end with the call: its bytes are used again. */
static PyObject *call_with_view(core_state *state, const void *bytes, uint64_t size, bool *escaped) {
    if (state->with.fallback_loads == NULL) return not_configured("fallback_loads");
    PyObject *view = PyMemoryView_FromMemory((char *)(uintptr_t)bytes, (Py_ssize_t)size, PyBUF_READ);
    if (view == NULL) return NULL;
    PyObject *obj = PyObject_CallFunctionObjArgs(state->with.fallback_loads, view, NULL);
    PyObject *type, *value, *traceback;
    PyErr_Fetch(&type, &value, &traceback);
    PyObject *released = PyObject_CallMethodObjArgs(view, state->name_release, NULL);
    Py_DECREF(view);
    if (PN_UNLIKELY(released == NULL)) {
        if (escaped != NULL) *escaped = true;
        Py_CLEAR(obj);
        Py_XDECREF(type), Py_XDECREF(value), Py_XDECREF(traceback);
        return NULL; /* BufferError: our own fallback kept a view */
    }
    Py_DECREF(released);
    PyErr_Restore(type, value, traceback);
    return obj;
}

PyObject *codec_decode(core_state *state, const void *bytes, uint64_t size, bool *escaped) {
    codec_result result = CODEC_CANNOT;
    if (escaped != NULL) *escaped = false;
    PyObject *obj = codec_read(state, bytes, size, &result);
    if (PN_LIKELY(obj != NULL) || result == CODEC_ERROR) return obj;
    return call_with_view(state, bytes, size, escaped);
}

static PyObject *dumps(PyObject *module, PyObject *obj) {
    codec_message message;
    if (!codec_encode(state_of(module), obj, &message)) return NULL;
    PyObject *bytes = PyBytes_FromStringAndSize(message.bytes, (Py_ssize_t)message.size);
    codec_done(&message);
    return bytes;
}

static PyObject *loads(PyObject *module, PyObject *data) {
    core_state *state = state_of(module);
    if (PyBytes_CheckExact(data)) return codec_decode(state, PyBytes_AsString(data), (uint64_t)PyBytes_Size(data), NULL);
    Py_buffer buffer;
    if (PyObject_GetBuffer(data, &buffer, PyBUF_SIMPLE) < 0) return NULL;
    PyObject *obj = codec_decode(state, buffer.buf, (uint64_t)buffer.len, NULL);
    PyBuffer_Release(&buffer);
    return obj;
}

static PyObject *encodes(PyObject *module, PyObject *obj) {
    (void)module;
    uint64_t used = 0;
    pn_scratch scratch = scratch_take();
    codec_result result = codec_write(obj, &scratch, &used);
    scratch_give(&scratch);
    return result == CODEC_ERROR ? NULL : PyBool_FromLong(result == CODEC_OK);
}

PyMethodDef codec_functions[] = {
    {"dumps", dumps, METH_O, "dumps(obj, /)\n--\n\nThe message that says obj: pickle protocol 5."},
    {"loads", loads, METH_O, "loads(data, /)\n--\n\nThe object that a message says."},
    {"encodes", encodes, METH_O, "encodes(obj, /)\n--\n\nCan the codec say obj by itself, without the fallback?"},
    {NULL, NULL, 0, NULL},
};
