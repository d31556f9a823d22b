// The functions that a library may need from outside; also read by the build script, which checks the runtime against it.

/// What the runtime uses of libc and pthread, and what code generators call without being asked.
const LIBC: &[&str] = &[
    "abort", "bcmp", "close", "free", "lseek", "madvise", "memcmp", "memcpy", "memmove", "memset", "mmap", "munmap", "open",
    "posix_memalign", "pthread_cond_destroy", "pthread_cond_init", "pthread_cond_signal", "pthread_cond_wait", "pthread_create",
    "pthread_join", "pthread_mutex_destroy", "pthread_mutex_init", "pthread_mutex_lock", "pthread_mutex_unlock", "pthread_sigmask",
    "read", "sched_getaffinity", "sigfillset", "strlen",
];

/// libm, for `double`; the `float` versions end in `f`.
const LIBM: &[&str] = &[
    "acos", "acosh", "asin", "asinh", "atan", "atan2", "atanh", "cbrt", "ceil", "copysign", "cos", "cosh", "erf", "erfc", "exp", "exp2",
    "expm1", "fabs", "fdim", "floor", "fma", "fmax", "fmin", "fmod", "frexp", "hypot", "ldexp", "lgamma", "log", "log10", "log1p",
    "log2", "logb", "modf", "nearbyint", "nextafter", "pow", "remainder", "rint", "round", "roundeven", "sin", "sincos", "sinh",
    "sqrt", "tan", "tanh", "tgamma", "trunc",
];

/// Whether a library may leave this symbol undefined.
fn is_allowed(name: &str) -> bool {
    let base = name.strip_suffix('f').unwrap_or(name);
    LIBC.contains(&name) || LIBM.contains(&name) || LIBM.contains(&base)
}
