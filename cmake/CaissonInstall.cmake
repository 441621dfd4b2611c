# cmake --install: programs, headers, one static library, a CMake package, man page, completions,
# the schema of box files.
include(CMakePackageConfigHelpers)

# libcaisson.a holds every module up to the engine, so that an embedder links one file.
get_property(library_modules GLOBAL PROPERTY CAISSON_MODULES)
list(REMOVE_ITEM library_modules shim cli)
list(TRANSFORM library_modules REPLACE "(.+)" "$<TARGET_OBJECTS:caisson_\\1>" OUTPUT_VARIABLE objects)
add_library(caisson STATIC ${objects})
add_library(caisson::caisson ALIAS caisson)
set_target_properties(caisson PROPERTIES LINKER_LANGUAGE CXX)
target_compile_features(caisson INTERFACE cxx_std_23)
target_include_directories(caisson INTERFACE
  $<BUILD_INTERFACE:${PROJECT_SOURCE_DIR}/include> $<INSTALL_INTERFACE:${CMAKE_INSTALL_INCLUDEDIR}>)
target_link_libraries(caisson INTERFACE SQLite::SQLite3 PkgConfig::SECCOMP PkgConfig::LIBMD PkgConfig::YAML)

install(TARGETS caisson EXPORT caissonTargets ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR})
install(DIRECTORY ${PROJECT_SOURCE_DIR}/include/caisson DESTINATION ${CMAKE_INSTALL_INCLUDEDIR})
# The command finds the other programs relative to itself, in ../libexec/caisson.
foreach(program caisson_cli caisson_shim caisson_fetch)
  if(TARGET ${program})
    get_target_property(name ${program} OUTPUT_NAME)
    set(folder ${CMAKE_INSTALL_BINDIR})
    if(NOT name STREQUAL "caisson")
      set(folder libexec/caisson)
    endif()
    install(TARGETS ${program} RUNTIME DESTINATION ${folder})
  endif()
endforeach()

set(package_dir ${CMAKE_INSTALL_LIBDIR}/cmake/caisson)
install(EXPORT caissonTargets NAMESPACE caisson:: DESTINATION ${package_dir})
configure_package_config_file(${PROJECT_SOURCE_DIR}/cmake/caissonConfig.cmake.in
  ${PROJECT_BINARY_DIR}/caissonConfig.cmake INSTALL_DESTINATION ${package_dir})
write_basic_package_version_file(${PROJECT_BINARY_DIR}/caissonConfigVersion.cmake
  COMPATIBILITY SameMinorVersion)
install(FILES ${PROJECT_BINARY_DIR}/caissonConfig.cmake ${PROJECT_BINARY_DIR}/caissonConfigVersion.cmake
  DESTINATION ${package_dir})

install(FILES ${PROJECT_SOURCE_DIR}/docs/formats/box.schema.json
  DESTINATION ${CMAKE_INSTALL_DATADIR}/caisson)

set(packaging ${PROJECT_SOURCE_DIR}/packaging)
install(FILES ${packaging}/caisson.1 DESTINATION ${CMAKE_INSTALL_MANDIR}/man1 OPTIONAL)
install(FILES ${packaging}/completions/caisson.bash RENAME caisson OPTIONAL
  DESTINATION ${CMAKE_INSTALL_DATADIR}/bash-completion/completions)
install(FILES ${packaging}/completions/_caisson OPTIONAL
  DESTINATION ${CMAKE_INSTALL_DATADIR}/zsh/site-functions)
install(FILES ${packaging}/completions/caisson.fish OPTIONAL
  DESTINATION ${CMAKE_INSTALL_DATADIR}/fish/vendor_completions.d)
