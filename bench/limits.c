/* The parts that a training step is made of, each alone and with its operands near: what no arrangement of them can beat. */
#include "simd.h"
#include "scalar.h"
#include "online.h"
#include "perceptron.h"
#include "tiles.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

enum { ROUNDS = 31 };

static double *memory;                  /* 2^20 small numbers */
static volatile double sink;

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1e9 + t.tv_nsec;
}

/* Least time of `code`, in nanoseconds, over ROUNDS rounds of `times` runs. */
#define TIME(result, times, code)                                                                                  \
    double result = 1e300;                                                                                         \
    for (int round = 0; round < ROUNDS; round++) {                                                                 \
        const double start = now();                                                                                \
        for (int i = 0; i < (times); i++) { code; __asm__ volatile("" ::: "memory"); }                             \
        const double each = (now() - start) / (times);                                                             \
        if (each < result) result = each;                                                                          \
    }

static void show(const char *what, double value, const char *unit) { printf("%-46s %8.2f %s\n", what, value, unit); }

static void functions(void) {
    vd x = v_set(0.5);
    TIME(chained, 20000, x = v_sigmoid(x))
    show("sigmoid after sigmoid, latency", chained, "ns");
    TIME(many, 2000, for (int j = 0; j < 512; j += VL) v_store(memory + j, v_sigmoid(v_load(memory + 512 + j))))
    show("sigmoid of many, per element", many / 512, "ns");
    vd v = v_set(0.3);
    TIME(root, 2000, for (int j = 0; j < 512; j += VL) {
        v = v_load(memory + j);
        v_store(memory + 1024 + j, v / (v_sqrt(v_abs(v)) + 1e-8));
    })
    show("square root and division, per element", root / 512, "ns");
    TIME(turns, 2000, for (int j = 0; j < 512; j += 2 * VL) {
        v = v_load(memory + j);
        v_store(memory + 1024 + j, v / (v_sqrt(v_abs(v)) + 1e-8));
        v = v_load(memory + j + VL);
        v_store(memory + 1024 + j + VL, v / (v_sqrt_by_fma(v_abs(v)) + 1e-8));
    })
    show("the same, every other root by multiplications", turns / 512, "ns");
    sink = x[0] + v[0];
}

static void passes(int n_in, int n_out) {
    double *W = memory, *T = memory + (1 << 17), *row = memory + (1 << 18) - 8192;
    double *ds = row + 1024, *z = row + 2048, *z_new = row + 3072, *out = row + 4096, *b = row + 5120;
    char name[64];
    TIME(first, 2000, bp_update_forward(n_in, n_out, W, n_out, z, ds, z_new, z_new, b, out))
    snprintf(name, sizeof name, "update and forward pass, %d x %d", n_in, n_out);
    show(name, first, "ns");
    TIME(backward, 2000, bp_backward_update(n_out, n_in, T, n_in, ds, z, out))
    snprintf(name, sizeof name, "deltas and update of the transposed, %d x %d", n_in, n_out);
    show(name, backward, "ns");
}

static void product(int M, int N, int K) {
    bp_operands o = {memory, K, 1, memory + (1 << 18), N, memory + (1 << 20) - 2048, 0, memory + (1 << 19), N};
    char name[64];
    TIME(nanoseconds, 200, bp_product(M, 0, N, K, &o))
    snprintf(name, sizeof name, "product of tiles, %d x %d x %d", M, K, N);
    show(name, 2.0 * M * N * K / nanoseconds, "GF/s");
}

/* The gradient of a batch of K: every weight of M x N is loaded and stored for K multiply-adds. */
static void gradient(int M, int N, int K) {
    bp_operands o = {memory + (1 << 18), 1, M, memory + (1 << 19), N, memory, N, memory, N};
    char name[64];
    TIME(nanoseconds, 200, bp_accumulate(M, 0, N, K, &o))
    snprintf(name, sizeof name, "gradient in tiles, %d x %d, %d examples", M, N, K);
    show(name, 2.0 * M * N * K / nanoseconds, "GF/s");
}

/* Visits of a perceptron, all rows near: the weights of one visit wait for the verdict of the one before. */
static void visits(int d) {
    enum { ROWS = 64 };
    ptrdiff_t label[ROWS], order[ROWS], mistakes = 0;
    double weight[ROWS], b = 0.0, error = 0.0;
    const bp_narrow p = {memory, label, weight, d, 1e-3, 1, memory + (1 << 17), &b, &error, &mistakes};
    char name[64];
    for (int i = 0; i < ROWS; i++) { label[i] = i & 1; weight[i] = 1.0; order[i] = i * 37 % ROWS; }
    TIME(all, 200, bp_narrow_visits(&p, order, ROWS, 8, ROWS - 1))
    snprintf(name, sizeof name, "visit of a perceptron, %d features, near", d);
    if (BP_NARROW >= d) show(name, all / ROWS, "ns");
    sink = b + error;
}

/* With an argument: one product only, for bench/limits.py to run on one core and on two. */
int main(int argc, char **argv) {
    (void)argv;
    const uint64_t flags = bp_flush_subnormals();
    memory = aligned_alloc(64, sizeof(double) << 20);
    for (int i = 0; i < 1 << 20; i++) memory[i] = (i * 2654435761u % 1000) * 1e-9;
    if (argc > 1) {
        for (int i = 0; i < 5; i++) product(32, 128, 512);
        return 0;
    }
    functions();
    passes(20, 64);
    passes(64, 64);
    passes(64, 32);
    passes(784, 32);
    product(32, 128, 512);
    product(128, 32, 512);
    product(10, 256, 784);
    product(64, 128, 784);
    product(64, 256, 784);
    gradient(784, 128, 10);
    gradient(784, 128, 32);
    gradient(784, 128, 64);
    gradient(784, 256, 10);
    gradient(784, 256, 64);
    gradient(256, 128, 10);
    visits(20);
    bp_restore_flags(flags);
    return 0;
}
