#!/usr/bin/env python3
"""Checks every #include against the layer table in ARCHITECTURE.md.

The table has the columns: layer | module | may include | third-party it owns. A module is a
folder of src/. It may include itself, the modules named in its row, the public headers, standard
C and C++ headers, and the third-party headers its row owns. A module whose row says "public
headers only" sees none of src/ but its own folder.
"""

import re
import sys
from pathlib import Path

# Header (prefix) -> the library it belongs to, as the table spells it.
THIRD_PARTY = {
    "fmt/": "fmt", "nlohmann/": "nlohmann-json", "seccomp.h": "libseccomp",
    "sqlite3.h": "sqlite3", "sha2.h": "libmd", "sha256.h": "libmd",
    "sha512.h": "libmd", "md5.h": "libmd", "gtest/": "gtest", "gmock/": "gtest",
    "benchmark/": "benchmark", "archive.h": "libarchive", "archive_entry.h": "libarchive",
    "isa-l/": "libisal", "zstd.h": "libzstd", "zstd_errors.h": "libzstd", "openssl/": "libcrypto",
    "curl/": "libcurl", "yaml.h": "libyaml",
}
LIBC = set("""
alloca.h assert.h ctype.h dirent.h dlfcn.h elf.h endian.h err.h errno.h execinfo.h fcntl.h fenv.h
fnmatch.h ftw.h getopt.h glob.h grp.h iconv.h ifaddrs.h inttypes.h langinfo.h libgen.h limits.h link.h
locale.h malloc.h math.h mntent.h mqueue.h netdb.h poll.h pthread.h pty.h pwd.h regex.h sched.h
semaphore.h setjmp.h shadow.h signal.h spawn.h stdarg.h stddef.h stdint.h stdio.h stdlib.h
string.h strings.h syscall.h syslog.h termios.h time.h ucontext.h unistd.h utime.h utmp.h wchar.h
""".split())
LIBC_FOLDERS = ("sys/", "linux/", "asm/", "asm-generic/", "net/", "netinet/", "arpa/", "bits/")
INCLUDE = re.compile(r'^[ \t]*#[ \t]*include[ \t]*([<"])([^>"]+)[>"]', re.M)
PUBLIC_ONLY = "public headers only"


class Module:
    def __init__(self, layer, may_include, owns):
        self.layer = layer
        self.public_only = may_include == PUBLIC_ONLY
        self.may_include = set() if self.public_only else words(may_include)
        self.owns = words(owns)


def words(cell):
    return set(re.findall(r"[\w.+-]*\w", cell.replace("`", "")))


def read_table(text):
    """The table as {module: Module}; raises ValueError when there is none."""
    modules = {}
    for line in text.splitlines():
        cells = [cell.strip() for cell in line.strip().strip("|").split("|")]
        if len(cells) == 4 and cells[0].isdigit():
            modules[cells[1].strip("`/")] = Module(int(cells[0]), cells[2], cells[3])
    if not modules:
        raise ValueError("ARCHITECTURE.md: no layer table")
    return modules


def table_faults(modules):
    """Rows that do not go down, or whose edges within a layer form a cycle."""
    faults = []
    for name, module in modules.items():
        for target in sorted(module.may_include):
            if target not in modules:
                faults.append(f"ARCHITECTURE.md: '{name}' may include unknown module '{target}'")
            elif modules[target].layer > module.layer:
                faults.append(f"ARCHITECTURE.md: '{name}' may include '{target}' of a higher layer")
            elif name in reachable(modules, target):
                faults.append(f"ARCHITECTURE.md: '{name}' and '{target}' include each other")
    return faults


def reachable(modules, start):
    seen, todo = set(), [start]
    while todo:
        for target in modules[todo.pop()].may_include & modules.keys():
            if target not in seen:
                seen.add(target)
                todo.append(target)
    return seen


def library_of(header):
    for prefix, library in THIRD_PARTY.items():
        if header == prefix or (prefix.endswith("/") and header.startswith(prefix)):
            return library
    return None


def is_standard(header):
    return bool(re.fullmatch(r"[a-z_0-9]+", header)) or header in LIBC or header.startswith(LIBC_FOLDERS)


def system_fault(module, header, is_test):
    """Why `header` in angle brackets may not stand in a file of `module`, or None."""
    if is_standard(header):
        return None
    library = library_of(header)
    if library is None:
        return f"<{header}> belongs to no library that tools/check_layers.py knows"
    if library == "gtest":
        return None if is_test else f"<{header}> outside a unit test"
    if library not in module.owns:
        return f"<{header}>: the module does not own {library}"
    return None


def project_fault(name, module, header, modules):
    """Why `header` in quotes may not stand in a file of module `name`, or None."""
    target = header.split("/")[0]
    if target in ("caisson", name):
        return None
    if target not in modules:
        return f'"{header}" is in no module of the layer table'
    if module.public_only:
        return f'"{header}": {name} may include only the public headers'
    if target not in module.may_include:
        return f'"{header}": {name} may not include {target}'
    return None


def check_module_file(path, relative, modules):
    name = relative.parts[1]
    module = modules.get(name)
    if module is None:
        return [f"{relative}: module '{name}' is not in the layer table"]
    is_test = bool(re.search(r"(_test|test_support)\.(cc|h)$", relative.name))
    faults = []
    for bracket, header in INCLUDE.findall(path.read_text()):
        if bracket == "<":
            fault = system_fault(module, header, is_test)
        else:
            fault = project_fault(name, module, header, modules)
        if fault:
            faults.append(f"{relative}: {fault}")
    return faults


def check_public_file(path, relative):
    """Public headers and examples: the C++ standard library and caisson/*.h, nothing else."""
    faults = []
    for bracket, header in INCLUDE.findall(path.read_text()):
        standard = bracket == "<" and re.fullmatch(r"[a-z_0-9]+", header)
        if not standard and not header.startswith("caisson/"):
            faults.append(f"{relative}: '{header}' is neither standard C++ nor a public header")
    return faults


def cxx_files(folder):
    return sorted(p for p in folder.rglob("*") if p.suffix in (".h", ".cc"))


def check(root):
    modules = read_table((root / "ARCHITECTURE.md").read_text())
    faults = table_faults(modules)
    for path in cxx_files(root / "src"):
        relative = path.relative_to(root)
        if len(relative.parts) > 2:
            faults += check_module_file(path, relative, modules)
    for folder in ("include", "examples"):
        for path in cxx_files(root / folder):
            faults += check_public_file(path, path.relative_to(root))
    return faults


def main():
    faults = check(Path(__file__).resolve().parent.parent)
    for fault in faults:
        print(fault, file=sys.stderr)
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
