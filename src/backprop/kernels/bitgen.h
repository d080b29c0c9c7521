/* NumPy's bit generators as C sees them: what the capsule of one points to, a part of NumPy's interface for extensions
 * (numpy/random/bitgen.h) since 1.17. Whoever draws holds the generator's lock.
 */
#ifndef BP_BITGEN_H
#define BP_BITGEN_H

#include <stdint.h>

typedef struct {
    void *state;
    uint64_t (*next_uint64)(void *state);
    uint32_t (*next_uint32)(void *state);
    double (*next_double)(void *state);
    uint64_t (*next_raw)(void *state);
} bp_bitgen;

static inline uint64_t bp_next(bp_bitgen *generator) { return generator->next_uint64(generator->state); }

#endif
