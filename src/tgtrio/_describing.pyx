"""What describing does for every task, in C. What it promises stands in `_describing.pyi`."""

from cpython cimport array
from cpython.dict cimport PyDict_Copy, PyDict_GetItemWithError, PyDict_Next
from cpython.object cimport PyObject
from cpython.ref cimport Py_DECREF, Py_INCREF
from cpython.tuple cimport PyTuple_SET_ITEM
from libc.math cimport isfinite
from libc.stdint cimport INT64_MAX, INT64_MIN, int32_t

from ._slots cimport check_instance, get_slot, set_slot, slot_offset

import datetime

from ._states import DependencyPolicy

cdef extern from "Python.h":
    bint PyUnicode_IS_ASCII(object text)
    object PyType_GenericAlloc(type cls, Py_ssize_t items)
    void PyObject_GC_UnTrack(void*)
    long long PyLong_AsLongLongAndOverflow(object value, int* overflow) except? -1

cdef enum:
    GIVEN = 14
    FIELDS = 15
    FEW_NAMES = 8  # so few are compared each with each

cdef object POLICY = DependencyPolicy
cdef type DATETIME = datetime.datetime
cdef type OFFSET = datetime.timezone
cdef long long EXACT = 1 << 53  # up to here a double is the same number


cdef class NodeWriter:
    cdef type cls
    cdef dict numbers  # of the fields that are given, by name
    cdef list defaults
    cdef Py_ssize_t[FIELDS] offsets

    def __init__(self, type cls not None, tuple names not None, dict defaults not None):
        if len(names) != FIELDS:
            raise ValueError(f"{len(names)} fields instead of {FIELDS}")
        for i, name in enumerate(names):
            self.offsets[i] = slot_offset(cls, name)
        self.cls = cls
        self.numbers = {name: i for i, name in enumerate(names[:GIVEN])}
        self.defaults = [defaults.get(name) for name in names[:GIVEN]]

    def write(self, node, tuple values not None):
        cdef Py_ssize_t i
        if self.cls is None or len(values) != FIELDS:
            raise ValueError(f"{len(values)} values for {FIELDS} fields")
        check_instance(node, self.cls)
        for i in range(FIELDS):
            set_slot(node, self.offsets[i], values[i])

    def plain_node(self, item):
        cdef PyObject* key = NULL
        cdef PyObject* value = NULL
        cdef PyObject* number
        cdef Py_ssize_t at = 0
        if type(item) is not dict:
            return None
        values = self.defaults.copy()
        while PyDict_Next(item, &at, &key, &value):
            if type(<object>key) is not str:  # to compare others may run code, and change the item
                return None
            number = PyDict_GetItemWithError(self.numbers, <object>key)
            if number is NULL:
                return None
            values[<object>number] = <object>value
        node = PyType_GenericAlloc(self.cls, 0)
        return node if self.write_plain(node, tuple(values)) else None

    cpdef bint write_plain(self, node, tuple given) except -1:
        (
            task_id,
            action_name,
            normalized_args,
            resource_ids,
            version,
            dependencies,
            on_dep_fail,
            priority,
            deadline,
            task_timeout_ms,
            max_retries,
            idempotent,
            expire_at_deadline,
            estimate_ms,
        ) = given
        if not (
            _is_name(task_id)
            and _is_name(action_name)
            and _is_name(version)
            and type(on_dep_fail) is POLICY
            and _is_number(priority)
            and (deadline is None or _is_deadline(deadline))
            and (task_timeout_ms is None or _is_above_zero(task_timeout_ms))
            and (max_retries is None or _is_count(max_retries))
            and (idempotent is None or type(idempotent) is bool)
            and (expire_at_deadline is None or type(expire_at_deadline) is bool)
            and (expire_at_deadline is not True or deadline is not None)
            and (estimate_ms is None or _is_above_zero(estimate_ms))
        ):
            return False
        args = {} if normalized_args is None else _copy_flat(normalized_args)
        resources, before = _names(resource_ids), _names(dependencies)
        if args is None or resources is None or before is None or _holds(before, task_id):
            return False
        values = (
            task_id,
            action_name,
            args,
            resources,
            version,
            before,
            on_dep_fail,
            _as_float(priority),
            deadline,
            _as_float(task_timeout_ms),
            max_retries,
            idempotent,
            expire_at_deadline,
            _as_float(estimate_ms),
            (),
        )
        self.write(node, values)
        # The collector would look at all that the graph holds, again and again, for cycles that
        # cannot be: no field leads to a container but the args, which are never changed.
        PyObject_GC_UnTrack(<PyObject*>node)
        PyObject_GC_UnTrack(<PyObject*>before)
        return True

    def find_places(
        self,
        tuple names not None,
        dict places not None,
        list nodes not None,
        Py_ssize_t first,
        array.array found,
    ):
        cdef Py_ssize_t size = 0 if found is None else len(found), i
        cdef int32_t place
        cdef PyObject* known_place
        if found is not None:
            array.resize_smart(found, size + len(names))
        for i in range(len(names)):
            name = names[i]
            known_place = PyDict_GetItemWithError(places, name)
            if known_place is NULL:
                if found is not None:
                    array.resize_smart(found, size)
                return False
            place = <object>known_place
            if found is not None:
                found.data.as_ints[size + i] = place
            known = self._task_id(nodes, place - first)
            if known is not name:
                Py_INCREF(known)
                PyTuple_SET_ITEM(names, i, known)
                Py_DECREF(name)  # the reference that the tuple had
        return True

    cdef object _task_id(self, list nodes, Py_ssize_t i):
        if not 0 <= i < len(nodes):
            raise IndexError(f"no node {i} among {len(nodes)}")
        node = nodes[i]
        check_instance(node, self.cls)
        return get_slot(node, self.offsets[0])


cdef bint _is_name(object value):
    return type(value) is str and len(<str>value) > 0 and PyUnicode_IS_ASCII(value)


cdef bint _fits(object value, long long least, long long most) except -1:
    cdef int overflow = 0
    cdef long long number = PyLong_AsLongLongAndOverflow(value, &overflow)
    return not overflow and least <= number <= most


cdef bint _is_number(object value) except -1:
    if type(value) is float:
        return isfinite(<double>value)
    return type(value) is int and _fits(value, -EXACT, EXACT)


cdef bint _is_above_zero(object value) except -1:
    return _is_number(value) and <double>value > 0


cdef bint _is_count(object value) except -1:
    return type(value) is int and _fits(value, 0, EXACT)


cdef bint _is_deadline(object value) except -1:
    """With a fixed offset: any other time zone may have to be asked for one."""
    return type(value) is DATETIME and type(value.tzinfo) is OFFSET


cdef object _as_float(object value):
    return float(value) if type(value) is int else value


cdef dict _copy_flat(object value):
    """A copy of a dict of scalars that are beyond doubt, else None."""
    cdef PyObject* key = NULL
    cdef PyObject* item = NULL
    cdef Py_ssize_t at = 0
    if type(value) is not dict:
        return None
    while PyDict_Next(value, &at, &key, &item):
        if type(<object>key) is not str or not PyUnicode_IS_ASCII(<object>key):
            return None
        if not _is_scalar(<object>item):
            return None
    return PyDict_Copy(value)


cdef bint _is_scalar(object value) except -1:
    if type(value) is str:
        return PyUnicode_IS_ASCII(value)
    if type(value) is int:
        return _fits(value, INT64_MIN, INT64_MAX)
    if type(value) is float:
        return isfinite(<double>value)
    return value is None or type(value) is bool


cdef tuple _names(object value):
    """The names of a list or tuple, each once, else None."""
    cdef tuple names
    if type(value) is tuple:
        names = value
    elif type(value) is list:
        names = tuple(<list>value)
    else:
        return None
    for name in names:
        if not _is_name(name):
            return None
    return names if _are_distinct(names) else tuple(dict.fromkeys(names))


cdef bint _are_distinct(tuple names) except -1:
    cdef Py_ssize_t count = len(names), i, k
    if count > FEW_NAMES:
        return len(set(names)) == count
    for i in range(1, count):
        for k in range(i):
            if <str>names[i] == <str>names[k]:
                return False
    return True


cdef bint _holds(tuple names, str name) except -1:
    for other in names:
        if <str>other == name:
            return True
    return False
