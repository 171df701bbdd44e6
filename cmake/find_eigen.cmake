# Finds Eigen 3.4 or newer. If one is found, Eigen3_FOUND is true and Eigen3::Eigen is defined. Otherwise
# repopt_no_eigen says so in words, with the versions that are too old. The build, cmake/probe and the installed package
# include this file.
set(repopt_old_eigens "")
if(TARGET Eigen3::Eigen)
  # The project that uses repopt has chosen this Eigen. Its version is known only if find_package() found it.
  set(Eigen3_FOUND TRUE)
  if(Eigen3_VERSION AND Eigen3_VERSION VERSION_LESS 3.4)
    set(Eigen3_FOUND FALSE)
    set(repopt_old_eigens "Eigen ${Eigen3_VERSION} in ${Eigen3_DIR}")
  endif()
else()
  # No request by version accepts both Eigen 3.4 and Eigen 5. This first request accepts no version: it lists them all
  # and defines no target, so that an old Eigen's target is not in the way of a newer one.
  find_package(Eigen3 0 EXACT CONFIG QUIET)
  set(repopt_eigen_configs ${Eigen3_CONSIDERED_CONFIGS})
  set(repopt_eigen_versions ${Eigen3_CONSIDERED_VERSIONS})
  while(repopt_eigen_configs AND NOT Eigen3_FOUND)
    list(POP_FRONT repopt_eigen_configs repopt_eigen_folder)
    list(POP_FRONT repopt_eigen_versions repopt_eigen_version)
    get_filename_component(repopt_eigen_folder "${repopt_eigen_folder}" DIRECTORY)
    if(repopt_eigen_version VERSION_LESS 3.4)
      list(APPEND repopt_old_eigens "Eigen ${repopt_eigen_version} in ${repopt_eigen_folder}")
    else()
      find_package(Eigen3 CONFIG QUIET PATHS "${repopt_eigen_folder}" NO_DEFAULT_PATH)
    endif()
  endwhile()
endif()
set(repopt_no_eigen "no Eigen 3.4 or newer was found")
if(repopt_old_eigens)
  list(JOIN repopt_old_eigens ", " repopt_old_eigens)
  string(APPEND repopt_no_eigen " (too old: ${repopt_old_eigens})")
endif()
