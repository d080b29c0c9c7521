"""What this processor can run: asked once, at import, by `backprop._dispatch`."""

cdef extern from *:
    """
    #if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__) && __GNUC__ >= 12
    /* The whole level, all of whose instructions -march=x86-64-v3 lets the compiler use. */
    static int bp_has_v3(void) { __builtin_cpu_init(); return !!__builtin_cpu_supports("x86-64-v3"); }
    static int bp_has_v4(void) { __builtin_cpu_init(); return !!__builtin_cpu_supports("x86-64-v4"); }
    #elif defined(__x86_64__) && defined(__GNUC__)
    static int bp_has_v3(void) {
        __builtin_cpu_init();
        return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("bmi2");
    }
    static int bp_has_v4(void) {
        return bp_has_v3() && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq")
            && __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512bw")
            && __builtin_cpu_supports("avx512cd");
    }
    #else
    static int bp_has_v3(void) { return 0; }
    static int bp_has_v4(void) { return 0; }
    #endif
    """
    int bp_has_v3()
    int bp_has_v4()


def supported():
    """Names of the SIMD variants that this processor runs, slowest first."""
    names = ["baseline"]
    if bp_has_v3():
        names.append("v3")
    if bp_has_v4():
        names.append("v4")
    return names
