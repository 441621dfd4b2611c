# CAISSON_SECCOMP_DIGEST identifies the code that turns a policy into a program: compiled filters
# are cached under it, so any change here or of libseccomp makes old ones unreachable.
set(seccomp_inputs init/seccomp.cc init/seccomp_arguments.cc
                   init/seccomp_default.cc init/seccomp_shared.cc spec/seccomp_policy.cc sys/seccomp.cc
                   sys/seccomp_names.cc sys/seccomp_table.cc)
set(seccomp_text "libseccomp ${SECCOMP_VERSION}")
foreach(input IN LISTS seccomp_inputs)
  file(SHA256 ${PROJECT_SOURCE_DIR}/src/${input} digest)
  string(APPEND seccomp_text " ${digest}")
  set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/src/${input})
endforeach()
string(SHA256 seccomp_digest "${seccomp_text}")
set_property(SOURCE init/seccomp.cc init/seccomp_default.cc APPEND PROPERTY
  COMPILE_DEFINITIONS "CAISSON_SECCOMP_DIGEST=\"${seccomp_digest}\"")
set_property(SOURCE container/plan_test.cc init/seccomp_default_test.cc init/seccomp_test.cc APPEND PROPERTY
  COMPILE_DEFINITIONS "CAISSON_TEST_DATA=\"${PROJECT_SOURCE_DIR}/tests\"")
