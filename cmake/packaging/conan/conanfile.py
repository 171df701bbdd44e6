"""Conan 2 recipe, which packages the source tree that contains it: conan create cmake/packaging/conan

A registry's recipe has conandata.yml and calls get() in source(); it has neither set_version() nor export_sources().
"""

import os
import re

from conan import ConanFile
from conan.errors import ConanInvalidConfiguration
from conan.tools.build import check_min_cppstd
from conan.tools.files import copy, load
from conan.tools.layout import basic_layout

required_conan_version = ">=2.0"


class RepoptConan(ConanFile):
    name = "repopt"
    description = "Gradient Re-parameterization optimizers for C++20"
    license = "MIT"
    topics = ("machine-learning", "optimizer", "re-parameterization", "header-only")
    package_type = "header-library"
    settings = "os", "arch", "compiler", "build_type"
    # The package always holds all headers. The options say which of them can be used: they bring what these need.
    options = {"formats": [True, False], "nn": [True, False], "io": [True, False]}
    default_options = {"formats": True, "nn": True, "io": True}
    no_copy_source = True

    @property
    def _tree(self):
        return os.path.join(self.recipe_folder, "..", "..", "..")

    def set_version(self):
        header = load(self, os.path.join(self._tree, "include", "repopt", "version.hpp"))
        self.version = ".".join(re.findall(r"REPOPT_VERSION_(?:MAJOR|MINOR|PATCH) (\d+)", header))

    def export_sources(self):
        copy(self, "LICENSE", self._tree, self.export_sources_folder)
        copy(self, "include/*.hpp", self._tree, self.export_sources_folder)

    def layout(self):
        basic_layout(self)

    def requirements(self):
        if self.options.nn:
            self.requires("eigen/3.4.0")
        if self.options.formats:
            self.requires("nlohmann_json/3.11.3")

    def package_id(self):
        self.info.clear()

    def validate(self):
        check_min_cppstd(self, 20)
        if self.options.io and not (self.options.formats and self.options.nn):
            raise ConanInvalidConfiguration("repopt: option io needs options formats and nn")
        if self.settings.os == "Windows":
            raise ConanInvalidConfiguration("repopt: POSIX calls write the files, Windows lacks them")

    def build(self):
        pass

    def package(self):
        copy(self, "LICENSE", self.source_folder, os.path.join(self.package_folder, "licenses"))
        copy(self, "*.hpp", os.path.join(self.source_folder, "include"), os.path.join(self.package_folder, "include"))

    def package_info(self):
        requires = {"core": []}
        if self.options.formats:
            requires["formats"] = ["core", "nlohmann_json::nlohmann_json"]
        if self.options.nn:
            requires["nn"] = ["core", "eigen::eigen"]
        if self.options.io:
            requires["io"] = ["nn", "formats"]
        # Conan's target for the whole package, repopt::repopt, links all of these.
        for name, needs in requires.items():
            component = self.cpp_info.components[name]
            component.set_property("cmake_target_name", f"repopt::{name}")
            component.set_property("pkg_config_name", f"repopt-{name}")
            component.requires = needs
            component.bindirs = []
            component.libdirs = []
