// Symbol visibility. The library is built with hidden symbols; what carries QUIRE_EXPORT is the
// public interface and nothing else is reachable from a program that links libquire.so. A member of
// an exported class that only the library may call carries QUIRE_NO_EXPORT.
#ifndef QUIRE_EXPORT_H_
#define QUIRE_EXPORT_H_

#if defined(__GNUC__)
#define QUIRE_EXPORT __attribute__((visibility("default")))
#define QUIRE_NO_EXPORT __attribute__((visibility("hidden")))
#else
#define QUIRE_EXPORT
#define QUIRE_NO_EXPORT
#endif

#endif  // QUIRE_EXPORT_H_
