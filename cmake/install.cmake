# Installs the headers, a CMake package with a component for each target of the library, and pkg-config files.
include(CMakePackageConfigHelpers)
include(GNUInstallDirs)

set(package_dir "${CMAKE_INSTALL_DATADIR}/cmake/repopt")
get_property(components GLOBAL PROPERTY REPOPT_COMPONENTS)
foreach(name IN LISTS components)
  # Each component has its own export file: repopt::core must load where Eigen or nlohmann_json is missing.
  install(TARGETS repopt_${name} EXPORT repopt_${name} FILE_SET HEADERS)
  install(EXPORT repopt_${name} NAMESPACE repopt:: DESTINATION "${package_dir}" FILE ${name}.cmake)
endforeach()

configure_package_config_file(cmake/repoptConfig.cmake.in repoptConfig.cmake INSTALL_DESTINATION "${package_dir}"
                              NO_SET_AND_CHECK_MACRO)
write_basic_package_version_file(repoptConfigVersion.cmake COMPATIBILITY SameMinorVersion ARCH_INDEPENDENT)
install(FILES "${CMAKE_CURRENT_BINARY_DIR}/repoptConfig.cmake" "${CMAKE_CURRENT_BINARY_DIR}/repoptConfigVersion.cmake"
              cmake/find_eigen.cmake DESTINATION "${package_dir}")

function(repopt_install_pkg_config name requires)
  configure_file(cmake/repopt.pc.in ${name}.pc @ONLY)
  install(FILES "${CMAKE_CURRENT_BINARY_DIR}/${name}.pc" DESTINATION "${CMAKE_INSTALL_DATADIR}/pkgconfig")
endfunction()

# Programs that use repopt::io ask pkg-config for `repopt repopt-formats`.
file(RELATIVE_PATH includedir "${CMAKE_INSTALL_FULL_DATADIR}/pkgconfig" "${CMAKE_INSTALL_FULL_INCLUDEDIR}")
repopt_install_pkg_config(repopt-core "")
if(TARGET repopt_formats)
  # nlohmann_json's own build installs nlohmann_json.pc, and distributions ship it under this name.
  repopt_install_pkg_config(repopt-formats "repopt-core, nlohmann_json")
endif()
if(TARGET repopt_repopt)
  repopt_install_pkg_config(repopt "repopt-core, eigen3 >= 3.4")
endif()
