/* A look at a NumPy array without its headers: the first fields of PyArrayObject, whose order NumPy has kept in its binary
 * interface since 1.7 and keeps in 2. Asking the buffer protocol for the same costs about 50 ns an array, a quarter of a
 * small network's prediction. single.pxi compares these fields with what NumPy says in Python before it trusts them.
 */
#ifndef BP_NDARRAY_H
#define BP_NDARRAY_H

#include <Python.h>

typedef struct {
    PyObject_HEAD
    char *data;
    int nd;
    Py_ssize_t *dimensions, *strides;
    PyObject *base, *descr;
    int flags;
} bp_ndarray;

enum { BP_C_CONTIGUOUS = 0x0001, BP_ALIGNED = 0x0100 };

/* The values of a one-dimensional array of n doubles (`descr`: NumPy's dtype object of float64), or NULL. The caller has
 * looked that x is an ndarray. */
static inline double *bp_vector(PyObject *x, PyObject *descr, Py_ssize_t n) {
    const bp_ndarray *array = (const bp_ndarray *)x;
    const int plain = BP_C_CONTIGUOUS | BP_ALIGNED;
    if (array->nd != 1 || array->descr != descr || (array->flags & plain) != plain || array->dimensions[0] != n) return NULL;
    return (double *)array->data;
}

/* The values of a contiguous array of doubles of any shape, or NULL. */
static inline double *bp_values(PyObject *x, PyObject *descr) {
    const bp_ndarray *array = (const bp_ndarray *)x;
    const int plain = BP_C_CONTIGUOUS | BP_ALIGNED;
    return array->descr == descr && (array->flags & plain) == plain ? (double *)array->data : NULL;
}

/* The same of a two-dimensional array that is `columns` wide, and how many rows it has. */
static inline double *bp_table(PyObject *x, PyObject *descr, Py_ssize_t columns, Py_ssize_t *rows) {
    const bp_ndarray *array = (const bp_ndarray *)x;
    if (array->nd != 2 || array->dimensions[1] != columns) return NULL;
    *rows = array->dimensions[0];
    return bp_values(x, descr);
}

#endif
