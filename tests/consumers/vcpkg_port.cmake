# cmake -DPORT=FOLDER -DFEATURES=A,B -DCURRENT_PACKAGES_DIR=FOLDER -P vcpkg_port.cmake: carries out the port in the
# first folder as vcpkg does. The functions below replace vcpkg's. Fails if vcpkg.json has another version than the
# library.
cmake_minimum_required(VERSION 3.24)
string(REPLACE "," ";" FEATURES "${FEATURES}")
file(REMOVE_RECURSE "${CURRENT_PACKAGES_DIR}")
set(CURRENT_PORT_DIR "${PORT}")
set(CMAKE_CURRENT_LIST_DIR "${PORT}")
set(build "${CURRENT_PACKAGES_DIR}-build")

function(run)
  execute_process(COMMAND ${ARGN} COMMAND_ERROR_IS_FATAL ANY)
endfunction()

function(vcpkg_check_features)
  cmake_parse_arguments(PARSE_ARGV 0 arg "" "OUT_FEATURE_OPTIONS" "INVERTED_FEATURES")
  while(arg_INVERTED_FEATURES)
    list(POP_FRONT arg_INVERTED_FEATURES feature variable)
    if(feature IN_LIST FEATURES)
      list(APPEND options -D${variable}=OFF)
    else()
      list(APPEND options -D${variable}=ON)
    endif()
  endwhile()
  set(${arg_OUT_FEATURE_OPTIONS} ${options} PARENT_SCOPE)
endfunction()

function(vcpkg_cmake_configure)
  cmake_parse_arguments(PARSE_ARGV 0 arg "" "SOURCE_PATH" "OPTIONS")
  run(${CMAKE_COMMAND} --fresh -S "${arg_SOURCE_PATH}" -B "${build}" "-DCMAKE_INSTALL_PREFIX=${CURRENT_PACKAGES_DIR}"
      -DFETCHCONTENT_FULLY_DISCONNECTED=ON ${arg_OPTIONS})
endfunction()

function(vcpkg_cmake_install)
  run(${CMAKE_COMMAND} --install "${build}")
endfunction()

# Moves the package one folder up and changes the relative paths in its files.
function(vcpkg_cmake_config_fixup)
  cmake_parse_arguments(PARSE_ARGV 0 arg "" "CONFIG_PATH" "")
  file(RENAME "${CURRENT_PACKAGES_DIR}/${arg_CONFIG_PATH}" "${CURRENT_PACKAGES_DIR}/share/repopt")
  file(REMOVE_RECURSE "${CURRENT_PACKAGES_DIR}/share/cmake")
  file(GLOB files "${CURRENT_PACKAGES_DIR}/share/repopt/*.cmake")
  foreach(file IN LISTS files)
    file(READ "${file}" text)
    set(up "get_filename_component(_IMPORT_PREFIX \"\${_IMPORT_PREFIX}\" PATH)\n")
    string(REPLACE "${up}${up}${up}" "${up}${up}" text "${text}")
    string(REPLACE "/../../../" "/../../" text "${text}")
    file(WRITE "${file}" "${text}")
  endforeach()
endfunction()

function(vcpkg_fixup_pkgconfig)
endfunction()

function(vcpkg_install_copyright)
  cmake_parse_arguments(PARSE_ARGV 0 arg "" "" "FILE_LIST")
  file(INSTALL ${arg_FILE_LIST} DESTINATION "${CURRENT_PACKAGES_DIR}/share/repopt" RENAME copyright)
endfunction()

set(folder "${PORT}")
set(PORT repopt)
include("${folder}/portfile.cmake")

file(READ "${folder}/vcpkg.json" manifest)
string(JSON version GET "${manifest}" version)
set(PACKAGE_FIND_VERSION "${version}")
include("${CURRENT_PACKAGES_DIR}/share/repopt/repoptConfigVersion.cmake")
if(NOT PACKAGE_VERSION STREQUAL version)
  message(FATAL_ERROR "vcpkg.json says version ${version}, the library is ${PACKAGE_VERSION}")
endif()
