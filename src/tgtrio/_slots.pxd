"""The fields of a Python class with `__slots__`, reached where its descriptors say they are.

By name a field takes longer to find than to use; and a frozen class of attrs writes each
of its fields by a call.
"""

from cpython.object cimport PyObject, PyObject_TypeCheck, PyTypeObject
from cpython.ref cimport Py_INCREF, Py_XDECREF

cdef extern from "structmember.h":
    enum: T_OBJECT_EX
    ctypedef struct PyMemberDef:
        int type
        Py_ssize_t offset

cdef extern from *:
    ctypedef struct PyMemberDescrObject:
        PyMemberDef* d_member


cdef inline Py_ssize_t slot_offset(type cls, str name) except -1:
    """Where in an instance the field lies, in bytes."""
    descriptor = cls.__dict__[name]
    if type(descriptor).__name__ != "member_descriptor":
        raise TypeError(f"{cls.__name__}.{name} is no slot")
    member = (<PyMemberDescrObject*>descriptor).d_member
    if member.type != T_OBJECT_EX:
        raise TypeError(f"{cls.__name__}.{name} is no slot for an object")
    return member.offset


cdef inline int check_instance(object instance, type cls) except -1:
    """Refuse what is no instance of the class whose offsets are used: it may be smaller."""
    if not PyObject_TypeCheck(instance, <PyTypeObject*>cls):
        raise TypeError(f"{instance!r} is no {cls.__name__}")
    return 0


cdef inline object get_slot(object instance, Py_ssize_t offset):
    """The value of a field of a checked instance."""
    value = (<PyObject**>(<char*><PyObject*>instance + offset))[0]
    if value is NULL:
        raise AttributeError(f"a field of this {type(instance).__name__} was never written")
    return <object>value


cdef inline void set_slot(object instance, Py_ssize_t offset, object value) noexcept:
    """Write a field of a checked instance."""
    place = <PyObject**>(<char*><PyObject*>instance + offset)
    old = place[0]
    Py_INCREF(value)
    place[0] = <PyObject*>value
    Py_XDECREF(old)
