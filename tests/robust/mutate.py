#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""usage: tests/robust/mutate.py [--count N] [--minutes N] [--seed N] [--least PERCENT] [--again] [--jobs N]

Code mutation of src/core: changes one operator, bound, constant or call at a seeded random place, builds the
library with it and runs the quick unit tests. A mutant that they notice is killed: a test fails, crashes, or
takes longer than 20 s of a CPU. One that does not compile to other machine code is no mutant and is replaced.

The sample is kept in tests/robust/mutants.txt, a line a mutant: what became of it, where and what it is. A
run goes on where the last one stopped, until COUNT mutants are known (0: says what is known) or the minutes
are over; --again tries those that survived once more. A mutant whose line of code is gone is dropped. Prints
TAP with each survivor as a diff. Builds in build/mutate, a tree for each job: as many as CPUs, or as told.
"""
import argparse, hashlib, os, re, resource, shutil, subprocess, sys, threading, time

top = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
work = os.path.join(top, "build", "mutate")
KEPT = os.path.join(top, "tests", "robust", "mutants.txt")
# Quick ones that together touch every file; the first that fails is enough.
TESTS = """unit/test_object unit/test_epoch unit/test_scope unit/test_scope_threads unit/test_handle unit/test_misuse unit/test_bin
	unit/test_domain unit/test_heap unit/test_pool unit/test_reclaim unit/test_fork unit/test_fault
	obs/test_counters obs/test_stats obs/test_sample unit/test_environment unit/test_abort unit/test_syscall
	obs/test_segment obs/test_shown obs/test_resident unit/test_sys compat/test_compat unit/test_thread""".split() + [
    "robust/guards", "obs/snapshots --count 20000", "stress/stress --threads 4 --seconds 2"]
PROGRAMS = ["tests/" + test.split()[0] for test in TESTS]
SECONDS = 20
NO_MUTANT = ("the compiler", "nothing changed")
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


def limit_time():
    """Of the CPU: the machine may have other things to do."""
    resource.setrlimit(resource.RLIMIT_CPU, (SECONDS, SECONDS))


class Tree:
    """A copy of the sources with a build of its own."""

    def __init__(self, name):
        self.dir = os.path.join(work, name)
        self.source, self.build = os.path.join(self.dir, "source"), os.path.join(self.dir, "build")
        os.makedirs(self.build)
        ignore = shutil.ignore_patterns(".git", "build", "autom4te.cache")
        shutil.copytree(top, self.source, ignore=ignore, symlinks=True)
        for command in ([os.path.join(self.source, "configure"), "--quiet", "--disable-shared", "CFLAGS=-O1"],
                        ["make", "-s"] + PROGRAMS):
            if run(command, 900, cwd=self.build) != 0:
                sys.exit("Bail out! %s fails" % " ".join(command[:2]))
        self.original = self.code()

    def code(self):
        return open(os.path.join(self.build, ".libs/libtslab.a"), "rb").read()

    def killer(self):
        """The test that notices, or None."""
        if run(["make", "-s"] + PROGRAMS, 300, cwd=self.build) != 0:
            return "the compiler"
        if self.code() == self.original:
            return "nothing changed"
        return self.test_that_fails()

    def test_that_fails(self):
        env = dict(os.environ, TSLAB_RANGE="4G")
        for test in TESTS:
            program, *options = test.split()
            command = [os.path.join(self.build, "tests", program), *options]
            if run(command, 3 * SECONDS, env=env, preexec_fn=limit_time) != 0:
                return program
        return None

    def mutant(self, mutant):
        """What notices it, or None."""
        file = os.path.join(self.source, mutant.path)
        text = open(file, encoding="utf-8").read()
        lines = text.split("\n")
        lines[mutant.number] = mutant.changed
        open(file, "w", encoding="utf-8").write("\n".join(lines))
        killer = self.killer()
        open(file, "w", encoding="utf-8").write(text)
        return killer


class Mutant:
    def __init__(self, path, line, place, seen):
        self.path, self.line = path, line
        self.number, column, old, new = place
        self.changed = line[:column] + new + line[column + len(old):]
        # The same line may stand in a file more than once: by its number it would be another one after any change.
        self.name = "%s: %s -> %s" % (path, line.strip(), self.changed.strip())
        nth = seen[self.name] = seen.get(self.name, 0) + 1
        if nth > 1:
            self.name += " (%d)" % nth

    def diff(self):
        return "%s:%d\n#   -%s\n#   +%s" % (self.path, self.number + 1, self.line.strip(), self.changed.strip())


def all_mutants(seed):
    """In the order of the sample: a change of one place leaves that of all others as it is."""
    found = []
    for file in sorted(os.listdir(os.path.join(top, "src/core"))):
        if not file.endswith((".c", ".h")) or file in SKIPPED_FILES:
            continue
        path, seen = "src/core/" + file, {}
        lines = open(os.path.join(top, path), encoding="utf-8").read().split("\n")
        found += [Mutant(path, lines[place[0]], place, seen) for place in places(os.path.join(top, path))]
    return sorted(found, key=lambda m: hashlib.sha256(("%d %s" % (seed, m.name)).encode()).digest())


def read_kept(mutants):
    known = {}
    if os.path.exists(KEPT):
        names = {m.name for m in mutants}
        for line in open(KEPT, encoding="utf-8"):
            verdict, _, name = line.rstrip("\n").partition("\t")
            if name in names:
                known[name] = verdict
    return known


def keep(known):
    with open(KEPT + ".new", "w", encoding="utf-8") as file:
        file.write("# SPDX-License-Identifier: MIT\n# Written by mutate.py: what noticed the mutant, the file, the line -> what became of it\n")
        file.writelines("%s\t%s\n" % (known[name], name) for name in sorted(known))
    os.replace(KEPT + ".new", KEPT)


def judged(known):
    return sum(verdict not in NO_MUTANT for verdict in known.values())


class Exploration:
    """What several threads do, each in a tree of its own: they take mutants in turn and keep what became of them."""

    def __init__(self, mutants, known, args):
        self.mutants, self.known, self.args = iter(mutants), known, args
        self.until, self.lock, self.taken = time.time() + 60 * args.minutes, threading.Lock(), 0

    def next(self):
        """The next to try, or None. Those under way count as judged."""
        with self.lock:
            for mutant in self.mutants:
                verdict = self.known.get(mutant.name)
                if time.time() > self.until:
                    return None
                if verdict == "SURVIVES" and self.args.again:
                    return mutant
                if not verdict and judged(self.known) + self.taken < self.args.count:
                    self.taken += 1
                    return mutant
        return None

    def work_in(self, tree):
        while (mutant := self.next()):
            verdict = tree.mutant(mutant) or "SURVIVES"
            with self.lock:
                self.taken -= mutant.name not in self.known
                self.known[mutant.name] = verdict
                print("# %s: %s" % (verdict, mutant.diff().split("\n")[0]), flush=True)
                keep(self.known)


def explore(mutants, known, args):
    trees = [Tree("tree%d" % i) for i in range(args.jobs)]
    if trees[0].test_that_fails():
        sys.exit("Bail out! the tests fail without a mutation")
    exploration = Exploration(mutants, known, args)
    threads = [threading.Thread(target=exploration.work_in, args=(tree,)) for tree in trees]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def main():
    options = argparse.ArgumentParser()
    options.add_argument("--count", type=int, default=300)
    options.add_argument("--minutes", type=float, default=1e6)
    options.add_argument("--seed", type=int, default=20261121)
    options.add_argument("--least", type=float, default=80)
    options.add_argument("--again", action="store_true")
    options.add_argument("--jobs", type=int, default=os.cpu_count())
    args = options.parse_args()
    mutants = all_mutants(args.seed)
    print("# seed %d, %d places" % (args.seed, len(mutants)), flush=True)
    known = read_kept(mutants)
    if args.count:
        shutil.rmtree(work, ignore_errors=True)
        explore(mutants, known, args)
    survivors = [m for m in mutants if known.get(m.name) == "SURVIVES"]
    killed = judged(known) - len(survivors)
    percent = 100.0 * killed / max(1, judged(known))
    for mutant in survivors:
        print("# survivor " + mutant.diff())
    ok = percent >= args.least and killed
    print("%s 1 - %d of %d mutants killed: %.0f %%\n1..1" % ("ok" if ok else "not ok", killed, judged(known), percent))
    sys.exit(not ok)


main()
