# caisson_module(NAME SOURCES ... TESTS ... PUBLIC targets... PRIVATE targets...)
# One static library per folder of src/, and one unit-test program when there are tests.
function(caisson_module name)
  cmake_parse_arguments(M "" "" "SOURCES;TESTS;PUBLIC;PRIVATE" ${ARGN})
  list(TRANSFORM M_SOURCES PREPEND "${CMAKE_CURRENT_SOURCE_DIR}/${name}/")
  add_library(caisson_${name} STATIC ${M_SOURCES})
  # -iquote: "sys/mount.h" is ours, <sys/mount.h> stays the C library's.
  target_compile_options(caisson_${name} PUBLIC "SHELL:-iquote ${PROJECT_SOURCE_DIR}/src")
  target_include_directories(caisson_${name} PUBLIC ${PROJECT_SOURCE_DIR}/include)
  target_link_libraries(caisson_${name} PUBLIC ${M_PUBLIC} PRIVATE ${M_PRIVATE} caisson_options)
  set_property(GLOBAL APPEND PROPERTY CAISSON_MODULES ${name})
  if(CAISSON_TESTS AND M_TESTS)
    list(TRANSFORM M_TESTS PREPEND "${CMAKE_CURRENT_SOURCE_DIR}/${name}/")
    add_executable(${name}_test ${M_TESTS})
    target_link_libraries(${name}_test PRIVATE caisson_${name} caisson_options GTest::gtest_main GTest::gmock)
    # Optimised and with all checks they take twice as long to compile; what they test has both.
    target_compile_options(${name}_test PRIVATE $<$<CONFIG:Debug>:-O0 -fno-sanitize=undefined>)
    set_target_properties(${name}_test PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${PROJECT_BINARY_DIR}/tests)
    add_test(NAME unit.${name} COMMAND ${name}_test)
  endif()
endfunction()

# A program; static when the build allows it (sanitizers need the dynamic runtime).
function(caisson_program name)
  cmake_parse_arguments(P "" "OUTPUT;FOLDER" "SOURCES;LIBRARIES" ${ARGN})
  add_executable(${name} ${P_SOURCES})
  target_link_libraries(${name} PRIVATE ${P_LIBRARIES} caisson_options)
  set_target_properties(${name} PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${PROJECT_BINARY_DIR}/bin
                                           OUTPUT_NAME ${P_OUTPUT})
  if(CAISSON_STATIC)
    target_link_options(${name} PRIVATE -static-pie)
  endif()
endfunction()
