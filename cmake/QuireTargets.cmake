# How the directories of src/ and tests/ declare what they hold.
#
#   quire_sources(a.cc b.cc)                adds sources to the library
#   quire_test(NAME a_test.cc ... [LABELS x ...] [COST seconds])
#                                           one GoogleTest program over the library's own objects,
#                                           hidden symbols included; every TEST is a ctest case.
#                                           COST: of all of it under a sanitizer, if that is long
#                                           Not in simulation builds, whose threads are fibers
#   quire_sim_test(a_sim_test.cc ...)       adds sources to sim_suite, the simulation's one test
#                                           program (src/sync/sim/sim_test.h); nothing in others
#   quire_precompile(target library|tests)  lets a target start from cmake/precompiled_*.h, which
#                                           halves the time to compile; only where asked for, since
#                                           it hides missing includes and defeats ccache
#   quire_test_options(target)              compiles what only tests are made of, of a target over
#                                           the library's objects and GoogleTest
#   quire_reads_options(a.cc)               a program's source with CLI11 in it
function(quire_precompile target kind)
  if(NOT QUIRE_PRECOMPILED)
    return()
  endif()
  get_property(owner GLOBAL PROPERTY QUIRE_PRECOMPILED_${kind})
  if(owner)
    target_precompile_headers(${target} REUSE_FROM ${owner})
  else()
    target_precompile_headers(${target} PRIVATE
                              ${PROJECT_SOURCE_DIR}/cmake/precompiled_${kind}.h)
    set_property(GLOBAL PROPERTY QUIRE_PRECOMPILED_${kind} ${target})
  endif()
endfunction()

function(quire_sources)
  list(TRANSFORM ARGN PREPEND ${CMAKE_CURRENT_SOURCE_DIR}/)
  target_sources(quire_objects PRIVATE ${ARGN})
endfunction()

function(quire_test_options target)
  if(NOT QUIRE_SANITIZE)
    # The library's own objects are what is tested; optimising the tests takes longer than running them.
    target_compile_options(${target} PRIVATE -O0)
  elseif(QUIRE_SANITIZE MATCHES undefined)
    # Likewise: their own arithmetic is not what is tested.
    target_compile_options(${target} PRIVATE -fno-sanitize=undefined)
  endif()
  # A library is compiled for any place in memory, as the header is not.
  get_target_property(type ${target} TYPE)
  if(type STREQUAL "EXECUTABLE")
    quire_precompile(${target} tests)
  endif()
endfunction()

function(quire_reads_options source)
  # Long to compile, and over in a moment.
  set(options -O0 -g0)
  if(QUIRE_SANITIZE MATCHES undefined)
    list(APPEND options -fno-sanitize=undefined)
  endif()
  set_source_files_properties(${source} PROPERTIES COMPILE_OPTIONS "${options}"
                              SKIP_UNITY_BUILD_INCLUSION ON SKIP_PRECOMPILE_HEADERS ON)
endfunction()

function(quire_test name)
  cmake_parse_arguments(ARG "" "COST" "LABELS;LIBRARIES" ${ARGN})
  if(NOT QUIRE_TESTS OR QUIRE_SIM)
    return()
  endif()
  add_executable(${name} ${ARG_UNPARSED_ARGUMENTS})
  target_link_libraries(${name} PRIVATE quire_objects quire_flags GTest::gtest_main GTest::gmock
                        ${ARG_LIBRARIES})
  quire_test_options(${name})
  # An empty list of labels would swallow the property after it.
  set(labels "")
  if(ARG_LABELS)
    set(labels LABELS ${ARG_LABELS})
  endif()
  if(QUIRE_SANITIZE AND NOT ARG_LABELS)
    # To begin a process takes a sanitizer longer than most tests: all of a program in one.
    add_test(NAME ${name} COMMAND ${name})
    if(NOT ARG_COST)
      set(ARG_COST 5)
    endif()
    set_tests_properties(${name} PROPERTIES TIMEOUT 900 COST ${ARG_COST})
  else()
    gtest_discover_tests(${name} TEST_PREFIX "${name}." DISCOVERY_TIMEOUT 60
                         PROPERTIES TIMEOUT 300 ${labels})
  endif()
endfunction()

function(quire_sim_test)
  list(TRANSFORM ARGN PREPEND ${CMAKE_CURRENT_SOURCE_DIR}/)
  set_property(GLOBAL APPEND PROPERTY QUIRE_SIM_TESTS ${ARGN})
endfunction()
