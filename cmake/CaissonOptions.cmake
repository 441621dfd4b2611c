# Compiler warnings and hardening, carried by the interface target caisson_options.
add_library(caisson_options INTERFACE)
target_compile_options(caisson_options INTERFACE
  -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Wno-missing-field-initializers
  -fstack-protector-strong $<$<BOOL:${CAISSON_WERROR}>:-Werror>)
target_link_options(caisson_options INTERFACE -Wl,-z,relro,-z,now,-z,noexecstack)
if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
  # -Wshadow of GCC minds constructor parameters named as members (clang's does not, and is on);
  # GCC 12 reports -Wdangling-pointer for values that leave a TRY expression, and -Wrestrict
  # falsely in "literal" + std::string (its bug 105651).
  target_compile_options(caisson_options INTERFACE -Wno-shadow -Wno-dangling-pointer -Wno-restrict)
endif()
if(CMAKE_BUILD_TYPE STREQUAL "Release")
  target_compile_options(caisson_options INTERFACE -D_FORTIFY_SOURCE=2 -ffunction-sections -fdata-sections)
  target_link_options(caisson_options INTERFACE -Wl,--gc-sections)
endif()
if(CAISSON_SANITIZE)
  target_compile_options(caisson_options INTERFACE -fsanitize=${CAISSON_SANITIZE} -fno-omit-frame-pointer)
  target_link_options(caisson_options INTERFACE -fsanitize=${CAISSON_SANITIZE})
endif()
if(CAISSON_FUZZ)
  target_compile_options(caisson_options INTERFACE -fsanitize=fuzzer-no-link)
endif()
find_program(CCACHE ccache)
if(CCACHE)
  set(CMAKE_CXX_COMPILER_LAUNCHER ${CCACHE})
endif()
