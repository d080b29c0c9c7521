# The compiled core. (notation block follows)
cdef extern from "simd.h":
    int VL

def simd_width():
    """Doubles in one vector of this variant."""
    return VL
