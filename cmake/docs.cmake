# If Doxygen is installed, `cmake --build build/release --target repopt_docs` writes the reference.
find_package(Doxygen 1.9.1 QUIET)
if(Doxygen_FOUND)
  configure_file(cmake/Doxyfile.in Doxyfile @ONLY)
  add_custom_target(
    repopt_docs
    COMMAND Doxygen::doxygen "${PROJECT_BINARY_DIR}/Doxyfile"
    COMMENT "Writing ${PROJECT_BINARY_DIR}/docs/html/index.html"
    VERBATIM)
endif()
