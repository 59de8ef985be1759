/* lock_face.h: what Condition needs of Lock and RLock: taking and giving with Python's results and exceptions. */
#ifndef FACE_LOCK_FACE_H
#define FACE_LOCK_FACE_H
#include "../lock.h"
#include "face.h"

PyObject *lock_take(PyObject *self, pn_lock *lock, wait_args wait);   /* True, False, or an exception */
PyObject *rlock_take(PyObject *self, pn_lock *lock, wait_args wait);
PyObject *lock_taken(PyObject *self, pn_lock *lock, pn_code code);    /* the same from a code */
PyObject *lock_give(pn_lock *lock);
PyObject *rlock_give(pn_lock *lock);
bool lock_is_mine(const pn_lock *lock);
#endif
