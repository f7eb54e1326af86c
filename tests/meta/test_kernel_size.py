"""The kernel stays small, knows no numbers and no plugin."""

import ast
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
KERNEL = [path for path in (ROOT / "kernel" / "corral").rglob("*.py") if "testing" not in path.parts]
PLUGINS = sorted(path.name for path in (ROOT / "plugins").iterdir() if (path / "__init__.py").is_file())


def imports(path: Path) -> set[str]:
    """The top-level names of the packages a module imports, anywhere in it."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            found.add(node.module.partition(".")[0])
    return found


def test_the_kernel_is_under_2000_lines() -> None:
    """Every line counts, blank ones too."""
    lines = {path.name: len(path.read_text(encoding="utf-8").splitlines()) for path in KERNEL}
    assert sum(lines.values()) < 2000, lines


def test_the_kernel_imports_only_what_it_may() -> None:
    allowed = set(sys.stdlib_module_names) | {"corral", "pluggy", "msgspec", "structlog", "aiohttp"}
    for path in KERNEL:
        assert imports(path) <= allowed, path


def test_a_plugins_entry_module_imports_only_corral_and_the_standard_library() -> None:
    for name in PLUGINS:
        module = ROOT / "plugins" / name / "plugin.py"
        top_level = {
            alias
            for node in ast.parse(module.read_text(encoding="utf-8")).body
            if isinstance(node, ast.Import | ast.ImportFrom)
            for alias in ([a.name for a in node.names] if isinstance(node, ast.Import) else [node.module or ""])
        }
        packages = {alias.partition(".")[0] for alias in top_level} - {"msgspec", "pluggy"}
        assert packages <= set(sys.stdlib_module_names) | {"corral", name}, (name, packages)


def test_a_plugin_imports_of_others_only_what_their_readme_publishes() -> None:
    """The package itself is published; a module of it is when the README names it in full: `corral_http.names`."""
    for name in PLUGINS:
        for path in (ROOT / "plugins" / name).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                module = (node.module or "") if isinstance(node, ast.ImportFrom) and not node.level else ""
                package, _, inside = module.partition(".")
                if inside and package in PLUGINS and package != name:
                    readme = (ROOT / "plugins" / package / "README.md").read_text(encoding="utf-8")
                    assert re.search(rf"\b{re.escape(module)}\b", readme), (path, module)


def test_discovery_loads_neither_numpy_nor_numba_nor_aiohttp() -> None:
    code = (
        "import sys; from corral.config import Config; from corral.kernel import Kernel\n"
        "kernel = Kernel(Config()); kernel.plugins.require()\n"
        "heavy = {'numpy', 'numba', 'llvmlite', 'aiohttp', 'tokenizers', 'jinja2', 'rich', 'structlog'}\n"
        "sys.exit(', '.join(heavy & set(sys.modules)) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_every_package_is_shipped_and_has_an_entry_point() -> None:
    import tomllib

    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    shipped = project["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]
    assert sorted(Path(package).name for package in shipped) == sorted(["corral", *PLUGINS])
    entries = project["project"]["entry-points"]["corral"]
    assert sorted(entries.values()) == sorted(f"{name}.plugin:Plugin" for name in PLUGINS)
    assert all(value == f"corral_{name}.plugin:Plugin" for name, value in entries.items())


def test_no_module_is_longer_than_400_lines() -> None:
    for root in ("kernel", "plugins"):
        for path in (ROOT / root).rglob("*.py"):
            assert len(path.read_text(encoding="utf-8").splitlines()) <= 400, path


def test_the_top_level_holds_nothing_else() -> None:
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    names = {line.partition("/")[0] for line in listed.splitlines()}
    allowed = {"pyproject.toml", "README.md", "LICENSE", "CHANGELOG.md", "kernel", "plugins", "tests", "config"}
    assert {name for name in names if not name.startswith(".")} <= allowed
