// Symbol visibility. The library is built with hidden symbols; what carries QUIRE_EXPORT is the
// public interface and nothing else is reachable from a program that links libquire.so.
#ifndef QUIRE_EXPORT_H_
#define QUIRE_EXPORT_H_

#if defined(__GNUC__)
#define QUIRE_EXPORT __attribute__((visibility("default")))
#else
#define QUIRE_EXPORT
#endif

#endif  // QUIRE_EXPORT_H_
