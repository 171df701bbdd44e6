# An overlay port, which installs the source tree that it lies in:
#   vcpkg install repopt --overlay-ports=cmake/packaging/vcpkg
# A registry's port has vcpkg_from_github(OUT_SOURCE_PATH SOURCE_PATH ...) here, with a release's SHA512; the rest stays.
get_filename_component(SOURCE_PATH "${CURRENT_PORT_DIR}/../../.." ABSOLUTE)

set(VCPKG_BUILD_TYPE release) # header-only: no debug libraries

vcpkg_check_features(
    OUT_FEATURE_OPTIONS FEATURE_OPTIONS
    INVERTED_FEATURES
        io CMAKE_DISABLE_FIND_PACKAGE_nlohmann_json
        nn REPOPT_CORE_ONLY
)

vcpkg_cmake_configure(
    SOURCE_PATH "${SOURCE_PATH}"
    OPTIONS
        ${FEATURE_OPTIONS}
        -DREPOPT_BUILD_EXAMPLES=OFF
        -DREPOPT_BUILD_TESTS=OFF
        -DREPOPT_INSTALL=ON
    MAYBE_UNUSED_VARIABLES
        CMAKE_DISABLE_FIND_PACKAGE_nlohmann_json
)

vcpkg_cmake_install()

vcpkg_cmake_config_fixup(CONFIG_PATH share/cmake/repopt)
vcpkg_fixup_pkgconfig()

vcpkg_install_copyright(FILE_LIST "${SOURCE_PATH}/LICENSE")
file(INSTALL "${CMAKE_CURRENT_LIST_DIR}/usage" DESTINATION "${CURRENT_PACKAGES_DIR}/share/${PORT}")
