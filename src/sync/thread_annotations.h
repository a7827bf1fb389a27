// Clang's thread-safety annotations under short names; nothing with other compilers. `./test
// --lint` and every clang build check them as errors.
#ifndef QUIRE_SYNC_THREAD_ANNOTATIONS_H_
#define QUIRE_SYNC_THREAD_ANNOTATIONS_H_

#if defined(__clang__)
#define QUIRE_ANNOTATION(x) __attribute__((x))
#else
#define QUIRE_ANNOTATION(x)
#endif

#define CAPABILITY(name) QUIRE_ANNOTATION(capability(name))
#define SCOPED_CAPABILITY QUIRE_ANNOTATION(scoped_lockable)
#define GUARDED_BY(x) QUIRE_ANNOTATION(guarded_by(x))
#define PT_GUARDED_BY(x) QUIRE_ANNOTATION(pt_guarded_by(x))
#define REQUIRES(...) QUIRE_ANNOTATION(requires_capability(__VA_ARGS__))
#define REQUIRES_SHARED(...) QUIRE_ANNOTATION(requires_shared_capability(__VA_ARGS__))
#define ACQUIRE(...) QUIRE_ANNOTATION(acquire_capability(__VA_ARGS__))
#define ACQUIRE_SHARED(...) QUIRE_ANNOTATION(acquire_shared_capability(__VA_ARGS__))
#define RELEASE(...) QUIRE_ANNOTATION(release_capability(__VA_ARGS__))
#define TRY_ACQUIRE(...) QUIRE_ANNOTATION(try_acquire_capability(__VA_ARGS__))
#define EXCLUDES(...) QUIRE_ANNOTATION(locks_excluded(__VA_ARGS__))
#define ASSERT_CAPABILITY(x) QUIRE_ANNOTATION(assert_capability(x))
#define RETURN_CAPABILITY(x) QUIRE_ANNOTATION(lock_returned(x))
#define NO_THREAD_SAFETY_ANALYSIS QUIRE_ANNOTATION(no_thread_safety_analysis)

#endif  // QUIRE_SYNC_THREAD_ANNOTATIONS_H_
