/* See ssim.h. */
#include "ssim.h"

#if defined(__GNUC__)
#define INLINE static inline __attribute__((always_inline))
#else
#define INLINE static inline
#endif

#if defined(__GNUC__) && defined(__x86_64__)
#define HAS_X86_PATHS 1
#define AVX2          __attribute__((target("avx2")))
#else
#define HAS_X86_PATHS 0
#endif

/* Samples that are worked on at a time: their sums stay in the first-level cache. */
enum { CHUNK = 256 };

/* Wang et al. (2004): c1 and c2 are their squares. */
#define K1 0.01
#define K2 0.03

#define REAL        float
#define NAMED(name) name##_f32
#include "ssim_windows.h"
#undef REAL
#undef NAMED

#define REAL        double
#define NAMED(name) name##_f64
#include "ssim_windows.h"
