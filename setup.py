"""Build the compiled core: one source, `_core.pyx`, compiled once per SIMD variant.

Every variant is a module of its own (`_core`, `_core_v3`, `_core_v4`), so that each function is compiled whole for its
instruction set; `backprop._dispatch` picks one at import. A variant that the compiler cannot build is left out with a
warning: the baseline alone is a complete library.

The kernels need the vector extensions of GCC and Clang. Microsoft's compiler has none; Windows takes LLVM's clang-cl,
which must be on the PATH, and gets the baseline. Nobody has tried that build yet.

For tests of the library itself: BACKPROP_CFLAGS holds more options for compiler and linker, such as sanitizers;
BACKPROP_BOUNDSCHECK=1 has Cython check every index, `None` and uninitialized view.
"""

import os
import platform
import shutil
import sys
import tempfile

from Cython.Build import cythonize
from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext

CHECKED = os.environ.get("BACKPROP_BOUNDSCHECK") == "1"
DIRECTIVES = {
    "language_level": 3,
    "boundscheck": CHECKED,
    "wraparound": False,             # in a checked build, too: there a negative index is an error, not the end
    "cdivision": True,
    "initializedcheck": CHECKED,
    "nonecheck": CHECKED,
    "embedsignature": True,
    "embedsignature.format": "python",
    "freethreading_compatible": True,
}
# -ffp-contract=off: only the FMAs that the source asks for, so that every variant rounds alike (docs/design.md).
COMMON = ["-O3", "-g0", "-ffp-contract=off", "-fno-math-errno", "-fno-trapping-math", "-fvisibility=hidden",
          "-Wno-unused-function"]
# -fno-trapping-math only allows speculation of operations whose exception flags nobody reads; no value changes.
WINDOWS = sys.platform == "win32"
if WINDOWS:
    COMMON = ["/clang:" + flag for flag in COMMON if flag.startswith(("-O", "-ff", "-fno"))]
VARIANTS = {
    "_core": [],
    "_core_v3": ["-march=x86-64-v3"],
    "_core_v4": ["-march=x86-64-v4", "-mprefer-vector-width=512"],
}


def extension(name, flags):
    extra = os.environ.get("BACKPROP_CFLAGS", "").split()
    return Extension(f"backprop.{name}", [f"src/backprop/{name}.pyx"], include_dirs=["src/backprop/kernels"],
                     extra_compile_args=COMMON + flags + extra, extra_link_args=extra,
                     depends=[os.path.join("src/backprop/kernels", f) for f in os.listdir("src/backprop/kernels")]
                     + ["src/backprop/_core.pyx"])


def is_x86_64():
    return platform.machine().lower() in ("x86_64", "amd64")


class BuildExt(build_ext):
    """Drop the SIMD variants that this compiler cannot build, and say so."""

    def build_extensions(self):
        if self.compiler.compiler_type == "msvc":
            self._take_clang_cl()
        self.extensions = [e for e in self.extensions if self._can_compile(e)]
        super().build_extensions()

    def _take_clang_cl(self):
        """Compile with clang-cl, which takes the options and makes the objects of Microsoft's compiler."""
        found = shutil.which("clang-cl")
        if found is None:
            raise SystemExit("backprop cannot be built by Microsoft's C compiler: put LLVM's clang-cl on the PATH")
        self.compiler.initialize()
        self.compiler.cc = found

    def _can_compile(self, ext):
        march = [f for f in ext.extra_compile_args if f.startswith("-m")]
        if not march:
            return True
        with tempfile.TemporaryDirectory() as folder:
            source = os.path.join(folder, "probe.c")
            with open(source, "w") as f:
                f.write("#include <immintrin.h>\nint main(void) { return 0; }\n")
            try:
                self.compiler.compile([source], output_dir=folder, extra_postargs=march)
            except Exception as error:       # distutils raises its own CompileError, which moved between modules
                print(f"warning: {ext.name} is left out: this compiler does not take {' '.join(march)} ({error})",
                      file=sys.stderr)
                return False
        return True


def extensions():
    names = VARIANTS if is_x86_64() and not WINDOWS else {"_core": []}
    modules = []
    for name, flags in names.items():        # one call each: cythonize refuses two extensions on shared sources
        modules += cythonize([extension(name, flags)], compiler_directives=DIRECTIVES, quiet=True)
    return modules + cythonize([extension("_cpu", [])], compiler_directives=DIRECTIVES, quiet=True)


if __name__ == "__main__":               # cover/ and mutate/ read the settings above for builds of their own
    setup(ext_modules=extensions(), cmdclass={"build_ext": BuildExt})
