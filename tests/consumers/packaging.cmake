# The vcpkg port and the Conan recipe in cmake/packaging, and other versions of CMake.

# repopt_add_vcpkg_test(FEATURES USE ABSENT): carries out the port with these features. A consumer must then find the
# components USE, and the targets ABSENT must be missing. The lists have commas.
function(repopt_add_vcpkg_test features use absent)
  set(packages "${work}/vcpkg/${features}/repopt")
  set(name "vcpkg port, ${features}")
  repopt_add_consumer_test("${name}" ${CMAKE_COMMAND} -DPORT=${PROJECT_SOURCE_DIR}/cmake/packaging/vcpkg
                           -DFEATURES=${features} -DCURRENT_PACKAGES_DIR=${packages}
                           -P "${here}/vcpkg_port.cmake")
  repopt_add_message_test("${name}, used" "Configuring done" -Drepopt_DIR=${packages}/share/repopt -DUSE=${use}
                          -DABSENT=${absent})
  set_tests_properties("consumer/${name}" PROPERTIES FIXTURES_SETUP "repopt_vcpkg_${features}")
  set_tests_properties("consumer/${name}, used" PROPERTIES FIXTURES_REQUIRED "repopt_vcpkg_${features}")
endfunction()
repopt_add_vcpkg_test(core core repopt::formats,repopt::nn,repopt::repopt,repopt::io)
repopt_add_vcpkg_test(core,formats core,formats repopt::nn,repopt::repopt,repopt::io)
repopt_add_vcpkg_test(core,nn core,nn,repopt repopt::formats,repopt::io)
repopt_add_vcpkg_test(core,formats,io,nn core,formats,nn,repopt,io "")

repopt_add_consumer_test("Conan recipe" sh "${here}/conan_recipe.sh"
                         "${PROJECT_SOURCE_DIR}/cmake/packaging/conan" "${work}/conan" "${eigen}" "${json}")
set_tests_properties("consumer/Conan recipe" PROPERTIES SKIP_RETURN_CODE 77)

repopt_add_consumer_test("oldest and newest CMake" sh "${here}/cmake_versions.sh" "${PROJECT_SOURCE_DIR}"
                         "${work}/cmake_versions" "${here}/project")
set_tests_properties("consumer/oldest and newest CMake" PROPERTIES SKIP_RETURN_CODE 77)
