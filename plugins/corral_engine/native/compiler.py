"""A kernel's name → object code for this computer.  The only module that needs Numba's compiler; never used on a
warm start.

A kernel is a function over int64 addresses and counts that returns nothing.  Its name is `module:what`: the module
below `corral_engine.native` whose `build(what)` gives the Python function.  Run as a program it compiles the kernels
named in its arguments into a folder, which lets a cold start use every core.
"""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path

from corral_engine.native.host import Host, detect


def symbol(name: str) -> str:
    """The symbol a kernel's object file exports."""
    return "corral_" + "".join(c if c.isalnum() else "_" for c in name)


def target_machine(host: Host):  # type: ignore[no-untyped-def]
    """LLVM's code generator for this CPU."""
    from llvmlite import binding

    binding.initialize_native_target()
    binding.initialize_native_asmprinter()
    target = binding.Target.from_default_triple()
    features = ",".join(f"+{name}" for name in sorted(host.features))
    reloc = "static" if target.name.startswith("x86") else "default"
    return target.create_target_machine(
        cpu=host.cpu, features=features, opt=3, reloc=reloc, codemodel="jitdefault", jit=True
    )


@contextmanager
def _unoptimised() -> Iterator[None]:
    """Numba gives plain code while this lasts; nobody else compiles meanwhile.

    It would optimise every part of a kernel by itself, code generation's loop rewriting included, and then the whole
    again; taking the leavings of the first time for facts, LLVM has turned loops of one round into endless ones.
    """
    from numba.core import config
    from numba.core.compiler_lock import global_compiler_lock

    with global_compiler_lock:
        level = config.OPT
        config.OPT = type(level)(0)
        try:
            yield
        finally:
            config.OPT = level


def compile_kernel(name: str) -> bytes:
    """Compile one kernel.  Raises whatever Numba raises: a kernel that does not compile is a defect."""
    import numba
    from llvmlite import binding

    module_name, _, what = name.partition(":")
    function: Callable[..., None] = import_module(f"corral_engine.native.{module_name}").build(what)
    arguments = (numba.types.int64,) * function.__code__.co_argcount
    with _unoptimised():
        compiled = numba.cfunc(numba.types.void(*arguments), error_model="numpy", nogil=True)(function)
    # The C wrapper must see that the function it wraps never fails, or it would carry error handling.
    module = binding.parse_assembly(compiled.inspect_llvm().replace("noinline", "nounwind"))
    for part in (*module.functions, *module.global_variables):
        if not part.is_declaration and part.name != compiled.native_name:
            part.linkage = "internal"
    module.get_function(compiled.native_name).name = symbol(name)
    machine = target_machine(detect())
    builder = binding.create_pass_builder(machine, binding.create_pipeline_tuning_options(speed_level=3))
    builder.getModulePassManager().run(module, builder)
    code: bytes = machine.emit_object(module)
    return code


def main(arguments: list[str]) -> int:
    """`python -m corral_engine.native.compiler FOLDER NAME…`."""
    from corral_engine.native.objects import store

    folder = Path(arguments[0])
    for name in arguments[1:]:
        store(folder, name, compile_kernel(name))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
