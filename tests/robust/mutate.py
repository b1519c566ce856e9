#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""usage: tests/robust/mutate.py [--count N] [--seed N] [--least PERCENT]

Code mutation of src/core: changes one operator, bound, constant or call at a seeded random place, builds the
library with it and runs the quick unit tests. A mutant that they notice is killed: a test fails, crashes, or
takes longer than 20 s. One that does not compile to other machine code is no mutant and is replaced. Prints
TAP with each survivor as a diff. Builds in build/mutate.
"""
import argparse, os, random, re, shutil, subprocess, sys

top = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
work = os.path.join(top, "build", "mutate")
# Quick ones that together touch every file; the first that fails is enough.
TESTS = """unit/test_object unit/test_epoch unit/test_scope unit/test_handle unit/test_misuse unit/test_bin
	unit/test_domain unit/test_heap unit/test_pool unit/test_reclaim unit/test_fork unit/test_fault
	obs/test_counters obs/test_stats""".split()
SECONDS = 20
# Not what the tests are about: assertions, texts, what other builds or other programs use.
SKIPPED_FILES = {"sys_sim.c", "sys_sim.h", "check.c", "check.h", "version.c", "words.def"}
OPERATORS = [  # pattern, replacements
    (r"(?<![<>=!+\-*/&|^~-])<(?![<=])(?= )", ["<="]), (r"<=(?!>)", ["<"]),
    (r"(?<![->=])>(?![>=])(?= )", [">="]), (r">=(?!=)", [">"]),
    (r"==", ["!="]), (r"!=", ["=="]), (r"&&", ["||"]), (r"\|\|", ["&&"]),
    (r"(?<= )\+(?= )", ["-"]), (r"(?<= )-(?= )", ["+"]), (r"(?<= )\*(?= )", ["/"]),
    (r"(?<= )<<(?= )", [">>"]), (r"(?<= )>>(?= )", ["<<"]), (r"(?<= )& ", ["| "]), (r"(?<= )\| ", ["& "]),
    (r"\+\+", ["--"]), (r"--", ["++"]), (r"\+=", ["-="]), (r"-=", ["+="]), (r"\|=", ["&="]),
    (r"\btrue\b", ["false"]), (r"\bfalse\b", ["true"]), (r"\breturn 0;", ["return -1;"]),
    (r"(?<=[ (])!(?=[a-z(])", [""]), (r"\b1(?=[;) ,])", ["2", "0"]), (r"\b0(?=;)", ["1"]),
]


def places(path):
    """Every change that can be made in a file: line, column, what, with what."""
    comment = False
    for number, line in enumerate(open(path, encoding="utf-8").read().split("\n")):
        stripped = line.strip()
        if stripped.startswith("/*"):
            comment = True
        if not comment and not stripped.startswith(("#", "*", "//", "extern")) and line[:1] in "\t ":
            code = re.sub(r'"[^"]*"|/\*.*?\*/|\'.\'', lambda m: "_" * len(m.group()), line)
            if not re.search(r"TS_ASSERT|TS_CHECK|TS_WALK|__builtin_expect\(0|__attribute__", code):
                for pattern, replacements in OPERATORS:
                    for m in re.finditer(pattern, code):
                        for new in replacements:
                            yield number, m.start(), m.group(), new
                # A call whose result nobody looks at.
                if re.fullmatch(r"\t+[a-z_0-9]+\([^=]*\);", code) and "return" not in code:
                    yield number, len(line) - len(line.lstrip()), line.lstrip(), ";"
        if "*/" in line:
            comment = False


def run(command, seconds, **kwargs):
    """The exit status; None after too long a time. Its children go with it."""
    child = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True, **kwargs)
    try:
        return child.wait(seconds)
    except subprocess.TimeoutExpired:
        os.killpg(child.pid, 9)
        child.wait()
        return None


class Tree:
    """A copy of the sources with a build of its own."""

    def __init__(self, name):
        self.dir = os.path.join(work, name)
        self.source, self.build = os.path.join(self.dir, "source"), os.path.join(self.dir, "build")
        os.makedirs(self.build)
        ignore = shutil.ignore_patterns(".git", "build", "autom4te.cache")
        shutil.copytree(top, self.source, ignore=ignore, symlinks=True)
        for command in ([os.path.join(self.source, "configure"), "--quiet", "--disable-shared", "CFLAGS=-O1"],
                        ["make", "-s"] + ["tests/" + t for t in TESTS]):
            if run(command, 900, cwd=self.build) != 0:
                sys.exit("Bail out! %s fails" % " ".join(command[:2]))
        self.original = self.code()

    def code(self):
        return open(os.path.join(self.build, ".libs/libtslab.a"), "rb").read()

    def killer(self):
        """The test that notices, or None."""
        if run(["make", "-s"] + ["tests/" + t for t in TESTS], 300, cwd=self.build) != 0:
            return "the compiler"
        if self.code() == self.original:
            return "nothing changed"
        env = dict(os.environ, TSLAB_RANGE="4G")
        for test in TESTS:
            if run([os.path.join(self.build, "tests", test)], SECONDS, env=env) != 0:
                return test
        return None

    def mutant(self, path, place):
        number, column, old, new = place
        file = os.path.join(self.source, path)
        text = open(file, encoding="utf-8").read()
        lines = text.split("\n")
        line = lines[number]
        lines[number] = line[:column] + new + line[column + len(old):]
        open(file, "w", encoding="utf-8").write("\n".join(lines))
        killer = self.killer()
        open(file, "w", encoding="utf-8").write(text)
        return killer, "%s:%d\n#   -%s\n#   +%s" % (path, number + 1, line.strip(), lines[number].strip())


def main():
    options = argparse.ArgumentParser()
    options.add_argument("--count", type=int, default=10)
    options.add_argument("--seed", type=int, default=20261121)
    options.add_argument("--least", type=float, default=80)
    args = options.parse_args()
    shutil.rmtree(work, ignore_errors=True)
    files = sorted(f for f in os.listdir(os.path.join(top, "src/core")) if f.endswith((".c", ".h")) and f not in SKIPPED_FILES)
    everything = [("src/core/" + f, p) for f in files for p in places(os.path.join(top, "src/core", f))]
    random.Random(args.seed).shuffle(everything)
    print("# seed %d, %d places in %d files" % (args.seed, len(everything), len(files)), flush=True)
    tree = Tree("tree")
    if tree.killer() not in (None, "nothing changed"):
        sys.exit("Bail out! the tests fail without a mutation")
    killed, survivors = 0, []
    for path, place in everything:
        if killed + len(survivors) == args.count:
            break
        killer, diff = tree.mutant(path, place)
        if killer in ("the compiler", "nothing changed"):
            continue
        killed += killer is not None
        if killer is None:
            survivors.append(diff)
        print("# %s %s" % ("killed by " + killer if killer else "SURVIVES", diff.split("\n")[0]), flush=True)
    percent = 100.0 * killed / max(1, killed + len(survivors))
    for diff in survivors:
        print("# survivor " + diff)
    ok = percent >= args.least and killed
    print("%s 1 - %d of %d mutants killed: %.0f %%\n1..1" % ("ok" if ok else "not ok", killed, killed + len(survivors), percent))
    sys.exit(not ok)


main()
