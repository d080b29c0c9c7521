/* A team of threads that walk through the same code side by side, each with its share of the columns or rows.
 *
 * The barrier spins, because steps are microseconds long, and yields the processor when it has spun for a while, because
 * the thread that is waited for may have lost its core. It passes for good once the team is abandoned.
 */
#ifndef BP_TEAM_H
#define BP_TEAM_H

#include <stddef.h>

#ifdef _WIN32
#define WIN32_LEAN_AND_MEAN
#define NOMINMAX
#include <windows.h>
#define bp_yield() SwitchToThread()
#else
#include <sched.h>
#define bp_yield() sched_yield()
#endif

typedef struct {
    int T;                       /* threads in the team */
    int arrived;
    int round;
    int abandoned;
} bp_barrier;

static inline void bp_relax(void) {
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ __volatile__("yield");
#endif
}

/* Wait for the whole team; what any thread wrote before is seen by every thread after. */
static inline void bp_wait(bp_barrier *b) {
    enum { SPINS = 4000 };
    if (b->T == 1) return;
    const int round = __atomic_load_n(&b->round, __ATOMIC_ACQUIRE);
    if (__atomic_add_fetch(&b->arrived, 1, __ATOMIC_ACQ_REL) == b->T) {
        __atomic_store_n(&b->arrived, 0, __ATOMIC_RELAXED);
        __atomic_store_n(&b->round, round + 1, __ATOMIC_RELEASE);
        return;
    }
    for (int spins = 0; __atomic_load_n(&b->round, __ATOMIC_ACQUIRE) == round; spins++) {
        if (__atomic_load_n(&b->abandoned, __ATOMIC_ACQUIRE)) return;
        if (spins < SPINS) bp_relax();
        else bp_yield();
    }
}

static inline void bp_abandon(bp_barrier *b) { __atomic_store_n(&b->abandoned, 1, __ATOMIC_RELEASE); }
static inline int bp_abandoned(bp_barrier *b) { return __atomic_load_n(&b->abandoned, __ATOMIC_ACQUIRE); }

#endif
