# SPDX-License-Identifier: Apache-2.0
# Flags that make faults of memory harder to exploit, for the programs and libraries of release builds.
# docs/security.md lists them, and hardened_programs_test looks for their effects in the programs. Sanitizer
# builds do without them: sanitizers find the same faults, and FORTIFY's functions bypass their interceptors.
#
# ESE_HARDENED says whether this build has the flags.
set(ESE_HARDENED OFF)
if(NOT ESE_SANITIZE AND CMAKE_BUILD_TYPE MATCHES "^(Release|RelWithDebInfo|MinSizeRel)$")
  set(ESE_HARDENED ON)
  # CMAKE_POSITION_INDEPENDENT_CODE alone leaves it to the compiler whether it links programs with -pie.
  include(CheckPIESupported)
  check_pie_supported(LANGUAGES CXX)
  add_compile_options(-fstack-protector-strong -fstack-clash-protection)
  # glibc accepts this only with optimisation, which all these build types have. Some distributions' compilers
  # define another level, hence -U.
  add_compile_options(-U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=2)
  if(CMAKE_SYSTEM_PROCESSOR MATCHES "^(x86_64|AMD64|amd64)$")
    add_compile_options(-fcf-protection=full)
  endif()
  add_link_options("LINKER:-z,relro,-z,now,-z,noexecstack")
endif()
