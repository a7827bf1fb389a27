# libquire, as programs link it, and its installation: library, headers, CMake package, pkg-config.
#
# Included from src/. Everything the library uses is private to it: a program that links the shared
# library needs no other package; one that links the static library needs fmt and liburing.
include(CMakePackageConfigHelpers)

add_library(quire $<TARGET_OBJECTS:quire_objects>)
add_library(quire::quire ALIAS quire)
target_include_directories(quire INTERFACE
  $<BUILD_INTERFACE:${PROJECT_SOURCE_DIR}/include> $<INSTALL_INTERFACE:${CMAKE_INSTALL_INCLUDEDIR}>)
target_compile_features(quire INTERFACE cxx_std_20)
target_link_libraries(quire PRIVATE fmt::fmt PkgConfig::uring Threads::Threads)
# SOVERSION 0: no ABI promise before 1.0.
set_target_properties(quire PROPERTIES VERSION ${PROJECT_VERSION} SOVERSION 0 EXPORT_NAME quire)

if(BUILD_SHARED_LIBS)
  # Hidden visibility keeps Quire's own internals in; the script also keeps in what the standard
  # library and fmt instantiate with default visibility.
  set(exports ${PROJECT_SOURCE_DIR}/cmake/quire.map)
  target_link_options(quire PRIVATE -Wl,--version-script=${exports})
  set_target_properties(quire PROPERTIES LINK_DEPENDS ${exports})
  if(NOT QUIRE_SANITIZE)
    target_link_options(quire PRIVATE -Wl,-z,defs)
  endif()
endif()
if(QUIRE_SANITIZE)
  target_link_options(quire PRIVATE -fsanitize=${QUIRE_SANITIZE})
endif()

install(TARGETS quire EXPORT quire_targets
        ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR}
        LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR})
install(DIRECTORY ${PROJECT_SOURCE_DIR}/include/quire DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}
        FILES_MATCHING PATTERN "*.h")

set(package_dir ${CMAKE_INSTALL_LIBDIR}/cmake/quire)
install(EXPORT quire_targets FILE quire-targets.cmake NAMESPACE quire:: DESTINATION ${package_dir})
configure_package_config_file(${PROJECT_SOURCE_DIR}/cmake/quire-config.cmake.in quire-config.cmake
                              INSTALL_DESTINATION ${package_dir} NO_SET_AND_CHECK_MACRO)
write_basic_package_version_file(quire-config-version.cmake COMPATIBILITY SameMinorVersion)
install(FILES ${CMAKE_CURRENT_BINARY_DIR}/quire-config.cmake
              ${CMAKE_CURRENT_BINARY_DIR}/quire-config-version.cmake
        DESTINATION ${package_dir})

# quire.pc finds its prefix from where it lies, so that the installed tree can be moved.
set(pc_dir ${CMAKE_INSTALL_LIBDIR}/pkgconfig)
file(RELATIVE_PATH pc_prefix ${CMAKE_INSTALL_FULL_LIBDIR}/pkgconfig ${CMAKE_INSTALL_PREFIX})
if(BUILD_SHARED_LIBS)
  set(pc_private_requires "")
  set(pc_private_libs "")
else()
  set(pc_private_requires "fmt liburing")
  set(pc_private_libs "-pthread")
endif()
configure_file(${PROJECT_SOURCE_DIR}/cmake/quire.pc.in quire.pc @ONLY)
install(FILES ${CMAKE_CURRENT_BINARY_DIR}/quire.pc DESTINATION ${pc_dir})
