# The launcher (src/init/launcher.h), embedded into caisson_init. Without any library, and
# so without instrumentation whatever the preset.
add_executable(caisson_launcher init/launcher_program.cc)
target_compile_options(caisson_launcher PRIVATE "SHELL:-iquote ${CMAKE_CURRENT_SOURCE_DIR}"
  -Os -ffreestanding -fno-exceptions -fno-rtti -fno-pie -fno-stack-protector
  -fno-asynchronous-unwind-tables -fno-sanitize=all -fno-profile-arcs -fno-test-coverage)
target_link_options(caisson_launcher PRIVATE
  -nostdlib -static -no-pie -s -fno-sanitize=all -Wl,--build-id=none -Wl,-z,noseparate-code)
target_compile_features(caisson_launcher PRIVATE cxx_std_23)
set_target_properties(caisson_launcher PROPERTIES
  POSITION_INDEPENDENT_CODE OFF INTERPROCEDURAL_OPTIMIZATION OFF)
set_source_files_properties(init/launcher.cc PROPERTIES
  COMPILE_DEFINITIONS CAISSON_LAUNCHER="${CMAKE_CURRENT_BINARY_DIR}/caisson_launcher"
  OBJECT_DEPENDS "${CMAKE_CURRENT_BINARY_DIR}/caisson_launcher")
