/* Written by hand, not generated. The roof of one core: multiply-adds, and passes over memory. Compiled at run
   time by machine.py with -O3 -march=... and -DWIDTH=bytes per vector, -ffp-contract=fast so that a * b + c is one FMA. */
#include <stddef.h>

typedef double vd __attribute__((vector_size(WIDTH)));
typedef float vf __attribute__((vector_size(WIDTH)));
enum { LANES = WIDTH / sizeof(double) };

/* Ten independent chains hide the latency of FMA (4 cycles, 2 per cycle); start values differ, or the compiler merges the
   chains. Returns something that depends on all of them. 2 * 10 * lanes flops per round. */
#define FMA_PEAK(name, vector, scalar)                                                                               \
    double name(long rounds, scalar by, scalar add)                                                                  \
    {                                                                                                                \
        vector a0 = by - (vector){0}, m = a0, c = add - (vector){0};                                                 \
        vector a1 = a0 + 1, a2 = a0 + 2, a3 = a0 + 3, a4 = a0 + 4, a5 = a0 + 5, a6 = a0 + 6, a7 = a0 + 7,             \
               a8 = a0 + 8, a9 = a0 + 9;                                                                             \
        for (long r = 0; r < rounds; r++) {                                                                          \
            a0 = a0 * m + c; a1 = a1 * m + c; a2 = a2 * m + c; a3 = a3 * m + c;                                      \
            a4 = a4 * m + c; a5 = a5 * m + c; a6 = a6 * m + c; a7 = a7 * m + c;                                      \
            a8 = a8 * m + c; a9 = a9 * m + c;                                                                        \
        }                                                                                                            \
        a0 += a1 + a2 + a3 + a4 + a5 + a6 + a7 + a8 + a9;                                                            \
        return a0[0];                                                                                                \
    }
FMA_PEAK(fma_double, vd, double)
FMA_PEAK(fma_float, vf, float)

/* Sum of n doubles (n a multiple of 16 lanes), `passes` times: the read bandwidth. */
double read_pass(const double *w, size_t n, long passes)
{
    vd s[16] = {{0}};
    for (long p = 0; p < passes; p++) {
        for (size_t i = 0; i < n; i += 16 * LANES) {
#pragma GCC unroll 16
            for (int k = 0; k < 16; k++)
                s[k] += *(const vd *)(w + i + k * LANES);
        }
        __asm__ volatile("" ::: "memory");
    }
    for (int k = 1; k < 16; k++)
        s[0] += s[k];
    return s[0][0];
}

/* w[i] += x * d[i mod 8 lanes], `passes` times: the read-update-write bandwidth, counted once per byte of w. */
void update_pass(double *w, size_t n, long passes, double x)
{
    vd d[8];
    for (int k = 0; k < 8; k++)
        d[k] = (vd){0} + (k + 1) * 1e-9;
    for (long p = 0; p < passes; p++) {
        vd factor = (vd){0} + (p % 2 ? x : -x);      /* the weights stay where they were */
        for (size_t i = 0; i < n; i += 8 * LANES) {
#pragma GCC unroll 8
            for (int k = 0; k < 8; k++) {
                vd *at = (vd *)(w + i + k * LANES);
                *at = factor * d[k] + *at;
            }
        }
        __asm__ volatile("" ::: "memory");
    }
}

/* The pass of the delayed update over a matrix with rows of 4 vectors: w += x d, then a += y w, with d and a in registers.
   A read, an update and a write of each weight, and the product with the next example. */
double update_forward_pass(double *w, size_t n, long passes, double x)
{
    vd zero = {0}, d0 = zero + 1e-9, d1 = zero + 2e-9, d2 = zero + 3e-9, d3 = zero + 4e-9;
    vd a0 = zero, a1 = zero, a2 = zero, a3 = zero;
    for (long p = 0; p < passes; p++) {
        vd factor = zero + (p % 2 ? x : -x), next = factor * 0.5;
        for (vd *row = (vd *)w; row < (vd *)(w + n); row += 4) {
            row[0] = factor * d0 + row[0];
            row[1] = factor * d1 + row[1];
            row[2] = factor * d2 + row[2];
            row[3] = factor * d3 + row[3];
            a0 = next * row[0] + a0;
            a1 = next * row[1] + a1;
            a2 = next * row[2] + a2;
            a3 = next * row[3] + a3;
        }
        __asm__ volatile("" ::: "memory");
    }
    a0 += a1 + a2 + a3;
    return a0[0];
}
