/* SplitMix64 (G. L. Steele, D. Lea, C. H. Flood, Fast splittable pseudorandom number generators, OOPSLA 2014), whose i-th
 * number from a seed needs none of those before it, and the order of visits that it gives.
 */
#ifndef BP_SPLITMIX_H
#define BP_SPLITMIX_H

#ifndef __SIZEOF_INT128__
#error "backprop needs a 64-bit GCC or Clang (on Windows clang-cl): this compiler has no 128-bit integers"
#endif

#include <stddef.h>
#include <stdint.h>

/* Output i = 0, 1, ... from `seed`. */
static inline uint64_t bp_splitmix(uint64_t seed, uint64_t i) {
    uint64_t x = seed + (i + 1) * UINT64_C(0x9E3779B97F4A7C15);
    x = (x ^ (x >> 30)) * UINT64_C(0xBF58476D1CE4E5B9);
    x = (x ^ (x >> 27)) * UINT64_C(0x94D049BB133111EB);
    return x ^ (x >> 31);
}

/* Fisher and Yates's shuffle. The high half of a product brings a number of 64 bits into [0, i] (D. Lemire, ACM TOMACS 29,
 * 2019); no order is preferred by more than n 2^-64. */
static inline void bp_shuffle(ptrdiff_t *order, ptrdiff_t n, uint64_t key) {
    for (ptrdiff_t i = n - 1; i > 0; i--) {
        const ptrdiff_t j = (ptrdiff_t)(((unsigned __int128)bp_splitmix(key, (uint64_t)i) * (uint64_t)(i + 1)) >> 64);
        const ptrdiff_t kept = order[i];
        order[i] = order[j];
        order[j] = kept;
    }
}

#endif
