# SPDX-License-Identifier: Apache-2.0
# `cmake --install` installs two components: the programs, and the C++ client library as the CMake package
# `ese` with the target ese::client, which client/examples/cpp uses.
include(CMakePackageConfigHelpers)
include(GNUInstallDirs)

# The library's public headers are speech_client.h, resuming_stream.h and retry_after.h; they include the others.
set(ESE_CLIENT_HEADERS
  base/clock.h base/mutex.h base/retry_after.h
  client/access.h client/answer_ledger.h client/reconnect_policy.h client/replay_buffer.h client/resume_cursor.h
  client/resuming_stream.h client/speech_client.h)
set(package_dir "${CMAKE_INSTALL_LIBDIR}/cmake/ese")
set(package_files "${PROJECT_BINARY_DIR}/install")

# Our sources say "client/x.h", relative to the repository. Installed headers say "ese/client/x.h", because a
# program that uses the library may well have a "base/clock.h" of its own.
foreach(header ${ESE_CLIENT_HEADERS})
  file(READ "${header}" text)
  string(REGEX REPLACE "#include \"(base|client)/" "#include \"ese/\\1/" text "${text}")
  file(CONFIGURE OUTPUT "${package_files}/${header}" CONTENT "${text}" @ONLY)
  set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS "${header}")
  get_filename_component(folder "${header}" DIRECTORY)
  install(FILES "${package_files}/${header}"
    DESTINATION "${CMAKE_INSTALL_INCLUDEDIR}/ese/${folder}" COMPONENT client)
endforeach()
install(FILES
    "${PROJECT_SOURCE_DIR}/proto/ese/v1/speech.proto"
    "${PROJECT_BINARY_DIR}/proto/ese/v1/speech.pb.h"
    "${PROJECT_BINARY_DIR}/proto/ese/v1/speech.grpc.pb.h"
  DESTINATION "${CMAKE_INSTALL_INCLUDEDIR}/ese/v1" COMPONENT client)

foreach(name base proto client)
  set_target_properties(ese_${name} PROPERTIES EXPORT_NAME ${name})
  target_compile_features(ese_${name} INTERFACE cxx_std_20)
  install(TARGETS ese_${name} EXPORT ese-targets
    ARCHIVE DESTINATION "${CMAKE_INSTALL_LIBDIR}" COMPONENT client
    INCLUDES DESTINATION "${CMAKE_INSTALL_INCLUDEDIR}")
endforeach()
install(EXPORT ese-targets NAMESPACE ese:: DESTINATION "${package_dir}" COMPONENT client)

configure_package_config_file(cmake/ese-config.cmake.in "${package_files}/ese-config.cmake"
  INSTALL_DESTINATION "${package_dir}")
write_basic_package_version_file("${package_files}/ese-config-version.cmake" COMPATIBILITY SameMinorVersion)
install(FILES "${package_files}/ese-config.cmake" "${package_files}/ese-config-version.cmake"
  DESTINATION "${package_dir}" COMPONENT client)
