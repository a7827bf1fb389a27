# How the directories of src/ and tests/ declare what they hold.
#
#   quire_sources(a.cc b.cc)                adds sources to the library
#   quire_test(NAME a_test.cc ... [LABELS x ...])
#                                           one GoogleTest program over the library's own objects,
#                                           hidden symbols included; every TEST is a ctest case
function(quire_sources)
  list(TRANSFORM ARGN PREPEND ${CMAKE_CURRENT_SOURCE_DIR}/)
  target_sources(quire_objects PRIVATE ${ARGN})
endfunction()

function(quire_test name)
  cmake_parse_arguments(ARG "" "" "LABELS;LIBRARIES" ${ARGN})
  if(NOT QUIRE_TESTS)
    return()
  endif()
  add_executable(${name} ${ARG_UNPARSED_ARGUMENTS})
  target_link_libraries(${name} PRIVATE quire_objects quire_flags GTest::gtest_main GTest::gmock
                        ${ARG_LIBRARIES})
  # An empty list of labels would swallow the property after it.
  set(labels "")
  if(ARG_LABELS)
    set(labels LABELS ${ARG_LABELS})
  endif()
  gtest_discover_tests(${name} TEST_PREFIX "${name}." DISCOVERY_TIMEOUT 60
                       PROPERTIES TIMEOUT 300 ${labels})
endfunction()
