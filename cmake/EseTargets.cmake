# SPDX-License-Identifier: Apache-2.0
# One library per folder, its link line is its dependencies; one executable per test file.
#
#   ese_library(NAME model SRCS a.cc b.cc DEPS ese_base absl::status)   -> target ese_model
#   ese_library(... TESTING)                                            -> built only for what links it
#   ese_library(... COMPUTES)                                           -> optimised in sanitizer builds too
#   ese_test(NAME a_test SRCS a_test.cc DEPS ese_model)                 -> target and ctest a_test
#   ese_program(NAME ese-server SRCS main.cc DEPS ese_server)           -> installed program
#   ese_program(... INTERNAL)                                           -> a program of the build only

find_program(CCACHE_PROGRAM ccache)
if(CCACHE_PROGRAM)
  set(CMAKE_CXX_COMPILER_LAUNCHER "${CCACHE_PROGRAM}")
endif()

set(ESE_SANITIZE "" CACHE STRING "Sanitizers to build with, for example address,undefined or thread")
set(ESE_TEST_TIMEOUT_SECONDS 300 CACHE STRING "A test that runs longer than this has failed")

add_library(ese_flags INTERFACE)
target_include_directories(ese_flags INTERFACE "${PROJECT_SOURCE_DIR}" "${PROJECT_BINARY_DIR}")
# No contraction into fused multiply-adds: features and log-softmax must give the same bits on
# every processor.
target_compile_options(ese_flags INTERFACE -Wall -Wextra -Werror -ffp-contract=off)
if(CMAKE_CXX_COMPILER_ID STREQUAL "Clang")
  target_compile_options(ese_flags INTERFACE -Wthread-safety)
endif()
target_compile_definitions(ese_flags INTERFACE "ESE_VERSION=\"${PROJECT_VERSION}\"")
if(ESE_SANITIZE)
  target_compile_definitions(ese_flags INTERFACE ESE_SANITIZED)
  target_compile_options(ese_flags INTERFACE -fsanitize=${ESE_SANITIZE} -fno-sanitize-recover=all
                                             -fno-omit-frame-pointer)
  target_link_options(ese_flags INTERFACE -fsanitize=${ESE_SANITIZE})
endif()

function(ese_library)
  cmake_parse_arguments(ARG "TESTING;COMPUTES" "NAME" "SRCS;DEPS" ${ARGN})
  add_library(ese_${ARG_NAME} STATIC ${ARG_SRCS})
  # Optimising instrumented code takes most of a sanitizer build, so only the libraries that compute
  # much, or that fuzzers run, are optimised there.
  if(ESE_SANITIZE AND NOT ARG_COMPUTES)
    target_compile_options(ese_${ARG_NAME} PRIVATE -O0)
  endif()
  if(ARG_TESTING)
    set_target_properties(ese_${ARG_NAME} PROPERTIES EXCLUDE_FROM_ALL ON)
  endif()
  target_link_libraries(ese_${ARG_NAME} PUBLIC "$<BUILD_INTERFACE:ese_flags>" ${ARG_DEPS})
endfunction()

function(ese_program)
  cmake_parse_arguments(ARG "INTERNAL" "NAME" "SRCS;DEPS" ${ARGN})
  add_executable(${ARG_NAME} ${ARG_SRCS})
  target_link_libraries(${ARG_NAME} PRIVATE ese_flags ${ARG_DEPS})
  set_target_properties(${ARG_NAME} PROPERTIES RUNTIME_OUTPUT_DIRECTORY "${PROJECT_BINARY_DIR}/bin")
  if(NOT ARG_INTERNAL)
    install(TARGETS ${ARG_NAME} RUNTIME DESTINATION bin COMPONENT programs)
  endif()
endfunction()

function(ese_test)
  if(NOT ESE_BUILD_TESTS)
    return()
  endif()
  cmake_parse_arguments(ARG "" "NAME" "SRCS;DEPS" ${ARGN})
  add_executable(${ARG_NAME} ${ARG_SRCS})
  target_link_libraries(${ARG_NAME} PRIVATE ese_flags ${ARG_DEPS} ese_test_paths GTest::gmock
                                             GTest::gtest_main)
  # Tests define the same helpers, so their sources cannot be compiled together.
  set_target_properties(${ARG_NAME} PROPERTIES UNITY_BUILD OFF)
  # The tests' own code computes little, and optimising it takes much of a build.
  if(ESE_SANITIZE)
    target_compile_options(${ARG_NAME} PRIVATE -O0)
  else()
    target_compile_options(${ARG_NAME} PRIVATE -O1)
  endif()
  add_test(NAME ${ARG_NAME} COMMAND ${ARG_NAME})
  set_tests_properties(${ARG_NAME} PROPERTIES TIMEOUT ${ESE_TEST_TIMEOUT_SECONDS})
endfunction()
