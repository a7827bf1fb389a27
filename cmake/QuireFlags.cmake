# Compiler flags of every target of the project: warnings are errors, and the flavour of the build
# (sanitizers, simulation, checks).
add_library(quire_flags INTERFACE)
target_compile_options(quire_flags INTERFACE
  -Wall -Wextra -Wpedantic -Wshadow -Wnon-virtual-dtor -Woverloaded-virtual -Wold-style-cast
  -Wcast-align -Wnull-dereference -Werror)
if(CMAKE_BUILD_TYPE STREQUAL "RelWithDebInfo")
  # Functions and lines, for backtraces and profiles; variables are for the debug preset. A third of
  # the time to build.
  target_compile_options(quire_flags INTERFACE -g1)
endif()
if(CMAKE_CXX_COMPILER_ID MATCHES "Clang")
  target_compile_options(quire_flags INTERFACE -Wthread-safety -Wthread-safety-beta
                         -Wreserved-identifier)
endif()
if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU" AND (QUIRE_SANITIZE OR QUIRE_SIM))
  # GCC 12 reports null dereferences that only the sanitizers' own branches contain, and some in the
  # simulation's atomics that it does not look for in real ones.
  target_compile_options(quire_flags INTERFACE -Wno-null-dereference -Wno-maybe-uninitialized)
endif()
if(QUIRE_SANITIZE)
  target_compile_options(quire_flags INTERFACE -fsanitize=${QUIRE_SANITIZE} -fno-omit-frame-pointer
                         -fno-sanitize-recover=all)
  if(QUIRE_SANITIZE MATCHES undefined)
    # A null pointer faults, which AddressSanitizer reports too; these two double the compiler's work.
    target_compile_options(quire_flags INTERFACE -fno-sanitize=null,vptr)
  endif()
  target_link_options(quire_flags INTERFACE -fsanitize=${QUIRE_SANITIZE})
  if(CMAKE_CXX_COMPILER_ID MATCHES "Clang")
    # The sanitizers' own library, in every program, takes the usual linker three times as long.
    include(CheckLinkerFlag)
    check_linker_flag(CXX -fuse-ld=lld QUIRE_LLD)
    if(QUIRE_LLD)
      target_link_options(quire_flags INTERFACE -fuse-ld=lld)
    endif()
  endif()
endif()
# What optimisation costs to compile with these checks is more than it saves the tests, and a load or
# store that was optimised away is one that is not checked.
if(QUIRE_SANITIZE MATCHES "address")
  target_compile_options(quire_flags INTERFACE -O0)
elseif(QUIRE_SANITIZE MATCHES "thread")
  target_compile_options(quire_flags INTERFACE -O1)
endif()
if(QUIRE_SIM)
  # With the planted faults, for the races (tests/races): it is no build that anybody uses.
  target_compile_definitions(quire_flags INTERFACE QUIRE_SIM=1 QUIRE_PLANTED_FAULTS=1)
endif()
if(QUIRE_CHECKS OR CMAKE_BUILD_TYPE STREQUAL "Debug")
  target_compile_definitions(quire_flags INTERFACE QUIRE_CHECKS=1)
  target_compile_options(quire_flags INTERFACE -UNDEBUG)
endif()
