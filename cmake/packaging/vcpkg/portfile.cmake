# An overlay port, which installs the source tree that contains it:
#   vcpkg install repopt --overlay-ports=cmake/packaging/vcpkg
# A registry's port replaces the next line by vcpkg_from_github(OUT_SOURCE_PATH SOURCE_PATH ...) with a release's
# SHA512.
get_filename_component(SOURCE_PATH "${CURRENT_PORT_DIR}/../../.." ABSOLUTE)

set(VCPKG_BUILD_TYPE release) # header-only: no debug libraries

# repopt::io has no option of its own: it is installed where both formats and nn are.
vcpkg_check_features(
    OUT_FEATURE_OPTIONS FEATURE_OPTIONS
    INVERTED_FEATURES
        formats CMAKE_DISABLE_FIND_PACKAGE_nlohmann_json
        nn      CMAKE_DISABLE_FIND_PACKAGE_Eigen3
)

vcpkg_cmake_configure(
    SOURCE_PATH "${SOURCE_PATH}"
    OPTIONS
        ${FEATURE_OPTIONS}
        -DREPOPT_BUILD_EXAMPLES=OFF
        -DREPOPT_BUILD_TESTS=OFF
        -DREPOPT_FETCH_EIGEN=OFF
        -DREPOPT_INSTALL=ON
)

vcpkg_cmake_install()

vcpkg_cmake_config_fixup(CONFIG_PATH share/cmake/repopt)
vcpkg_fixup_pkgconfig()

vcpkg_install_copyright(FILE_LIST "${SOURCE_PATH}/LICENSE")
file(INSTALL "${CMAKE_CURRENT_LIST_DIR}/usage" DESTINATION "${CURRENT_PACKAGES_DIR}/share/${PORT}")
