#!/usr/bin/env python3
"""Checks what no compiler does: words that must not stand in the tree, sizes of files, and that
docs/errors.md lists exactly the error reasons the sources use."""

import re
import subprocess
import sys
from pathlib import Path

# One character of each pattern is bracketed so that this file does not match itself.
FORBIDDEN = [
    (r"(?<![\w.$}/>])/(wor[k]|roo[t])/\w", "an absolute path of one machine"),
    (r"\b(d[e]b\.debian\.org|registry\.n[p]mjs|p[y]pi\.org|crates\.i[o]|proxy\.gol[a]ng)", "a package host"),
    (r"\b(T[O]DO|F[I]XME|X{2}X|H[A]CK)\b", "unfinished work"),
]
LIMITS = {".cc": 500, ".h": 250, ".py": 500}
TEXT = {".cc", ".h", ".py", ".md", ".txt", ".cmake", ".json", ".sh", ".1", ".bash", ".fish", ""}
SKIPPED = {"build", ".git", "__pycache__", ".pytest_cache", "corpus", "golden"}


def files(root):
    """What git tracks or would add; every file where there is no git."""
    listing = subprocess.run(["git", "-C", str(root), "ls-files", "-co", "--exclude-standard"],
                             capture_output=True, text=True, check=False)
    if listing.returncode == 0:
        found = [root / line for line in listing.stdout.splitlines()]
    else:
        found = [p for p in root.rglob("*")]
    return sorted(p for p in found if p.is_file() and p.suffix in TEXT
                  and not SKIPPED & set(p.relative_to(root).parts))


def word_faults(name, text):
    for number, line in enumerate(text.splitlines(), 1):
        for pattern, what in FORBIDDEN:
            match = re.search(pattern, line)
            if match:
                yield f"{name}:{number}: '{match.group(0)}' is {what}"


def size_faults(path, name, text):
    lines = text.count("\n")
    limit = LIMITS.get(path.suffix)
    if limit and lines > limit:
        yield f"{name}: {lines} lines; at most {limit} (is there a second noun in it?)"


# --- error reasons ------------------------------------------------------------------------------

def reason_functions(text):
    """{function: index of its parameter `reason`} of every function declared with one."""
    functions = {}
    for match in re.finditer(r"\b(\w+)\(([^(){};]*\b(?:std::)?string_view reason\b[^(){};]*)", text):
        parameters = match.group(2).split(",")
        functions[match.group(1)] = next(i for i, p in enumerate(parameters)
                                         if re.search(r"\breason\b", p))
    return functions


def arguments(text, start):
    """The source text of the arguments of the call whose '(' is at start - 1."""
    depth, in_string, result, piece = 1, False, [], ""
    i = start
    while i < len(text) and depth:
        c = text[i]
        if in_string:
            in_string = c != '"'
            if c == "\\":
                piece += c
                i += 1
                c = text[i]
        elif c == '"':
            in_string = True
        elif c in "([{":
            depth += 1
        elif c in ")]}":
            depth -= 1
        if c == "," and depth == 1 and not in_string:
            result.append(piece.strip())
            piece = ""
        else:
            piece += c
        i += 1
    return result + [piece.rstrip(")").strip()]


def used_reasons(sources):
    """Reasons passed as literals to a function with a `reason` parameter, or assigned.

    `sources` is {path: text}. Functions declared in a header count everywhere; a function of the
    same name that a source file defines for itself counts there instead.
    """
    shared = {}
    for path, text in sources.items():
        if str(path).endswith(".h"):
            shared.update(reason_functions(text))
    used = set()
    for text in sources.values():
        own = reason_functions(text)
        functions = {name: i for name, i in (shared | own).items()
                     if name in own or not re.search(rf"^(?!\s)[\w:<> ]+ {name}\(", text, re.M)}
        used |= set(re.findall(r'\breason = "([a-z0-9_]+)"', text))
        for match in re.finditer(r"\b(\w+)\(", text):
            if match.group(1) in functions:
                used |= literals(arguments(text, match.end()), functions[match.group(1)])
    return used


def literals(found, index):
    """The string literals that argument `index` is, or chooses between with ?:."""
    pieces = re.split(r"[?:]", found[index]) if index < len(found) else ()
    matches = (re.fullmatch(r'\s*"([a-z][a-z0-9_]+)"\s*', piece) for piece in pieces)
    return {match.group(1) for match in matches if match}


def documented_reasons(text):
    return set(re.findall(r"^\| `([a-z0-9_]+)` \|", text, re.M))


def reason_faults(root):
    sources = {p: p.read_text() for p in sorted((root / "src").rglob("*"))
               if p.suffix in (".cc", ".h") and "_test" not in p.name}
    documented = documented_reasons((root / "docs/errors.md").read_text())
    for reason in sorted(used_reasons(sources) - documented):
        yield f"docs/errors.md: reason '{reason}' is used but not listed"
    everything = "\n".join(sources.values())
    for reason in sorted(documented):
        if f'"{reason}"' not in everything:
            yield f"docs/errors.md: reason '{reason}' is listed but not used"


def check(root):
    faults = []
    for path in files(root):
        name = path.relative_to(root)
        try:
            text = path.read_text()
        except UnicodeDecodeError:
            continue
        faults += word_faults(name, text)
        faults += size_faults(path, name, text)
    return faults + list(reason_faults(root))


def main():
    faults = check(Path(__file__).resolve().parent.parent)
    for fault in faults:
        print(fault, file=sys.stderr)
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
