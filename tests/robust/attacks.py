#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Attacks on what a process shows of itself, from other processes and through its own input. Needs root, which
becomes nobody where an outsider is meant. The build directory is abs_top_builddir, else the current one. Prints
TAP. Reader, terminal and server have suites of their own: tests/fuzz, tests/cli, tests/web."""
import ctypes, fcntl, mmap, os, shutil, signal, stat, subprocess, sys, tempfile, time

build = os.environ.get("abs_top_builddir", os.getcwd())
tslab = os.path.join(build, "tools/tslab/tslab")
library = os.path.join(build, ".libs/libtslab.so")
work = tempfile.mkdtemp(prefix="tslab-attacks-")
os.chmod(work, 0o755)
NOBODY = 65534
number = failed = 0


def result(ok, text, *why):
    global number, failed
    number += 1
    failed += not ok
    if not ok:
        print("#", *why)
    print("%s %d - %s" % ("ok" if ok else "not ok", number, text), flush=True)


TARGET = """
import ctypes, sys
t = ctypes.CDLL(%r)
t.tslab_malloc.restype = ctypes.c_void_p
e = ctypes.c_uint64()
assert t.tslab_scope_begin(None, b"secret", ctypes.byref(e)) == 0
p = [t.tslab_malloc(100) for i in range(1000)]
print("ready", flush=True)
for line in sys.stdin:
    for i in range(3000):
        q = t.tslab_malloc(64)
        assert q
        ctypes.memset(q, i %% 256, 64)
        t.tslab_free(ctypes.c_void_p(q))
    print("alive", flush=True)
""" % library


class Target:
    """A process that uses the library: `alive` makes it work and says whether it does."""

    def __init__(self, *wrapper, **environment):
        self.err = open(os.path.join(work, "stderr"), "w+")
        self.p = subprocess.Popen([*wrapper, sys.executable, "-c", TARGET], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                  stderr=self.err, text=True, cwd=work, env=dict(os.environ, **environment))
        assert self.p.stdout.readline() == "ready\n", self.said()

    def said(self):
        self.err.seek(0)
        return self.err.read()

    def alive(self):
        self.p.stdin.write("go\n")
        self.p.stdin.flush()
        return self.p.stdout.readline() == "alive\n"

    def files(self, mark):
        names = {}
        for fd in os.listdir("/proc/%d/fd" % self.p.pid):
            path = "/proc/%d/fd/%s" % (self.p.pid, fd)
            if mark in os.readlink(path):
                names[os.readlink(path)] = path
        return names

    def end(self):
        self.p.stdin.close()
        self.p.wait()


def stats(pid, user=0):
    return subprocess.run([tslab, "stats", "--json", str(pid)], capture_output=True, text=True, user=user, cwd="/")


def refused(action):
    try:
        action()
    except OSError as e:
        return e.strerror
    return None


def nothing_in_the_file_system():
    target = Target()
    listening = subprocess.run(["ss", "-lxnpH"], capture_output=True, text=True).stdout if shutil.which("ss") else ""
    deleted = [p for p in os.listdir(work) if p != "stderr"]
    sockets = [fd for fd in os.listdir("/proc/%d/fd" % target.p.pid)
               if os.readlink("/proc/%d/fd/%s" % (target.p.pid, fd)).startswith("socket:")]
    result(not deleted and not sockets and "pid=%d," % target.p.pid not in listening,
           "by default no file is made and nothing listens", deleted, sockets)
    target.end()


def segment_cannot_be_written():
    target = Target()
    segment = [p for name, p in target.files("tslab.v1").items() if "control" not in name]
    errors = []
    for path in segment:
        fd = os.open(path, os.O_RDONLY)
        errors += [refused(lambda: mmap.mmap(fd, 4096, mmap.MAP_SHARED, mmap.PROT_READ | mmap.PROT_WRITE)),
                   refused(lambda: os.truncate(path, 0)), refused(lambda: os.ftruncate(fd, 0))]
        os.close(fd)
        # Root may open it for writing: its seals hold all the same.
        fd = os.open(path, os.O_RDWR)
        errors += [refused(lambda: os.write(fd, b"x" * 4096)),
                   refused(lambda: mmap.mmap(fd, 4096, mmap.MAP_SHARED, mmap.PROT_READ | mmap.PROT_WRITE)),
                   refused(lambda: os.ftruncate(fd, 1 << 30))]
        os.close(fd)
    result(segment and all(errors), "nobody can write, shorten or lengthen the segment, root neither", errors)
    result(target.alive() and stats(target.p.pid).returncode == 0, "and it is read as before")
    target.end()


def control_page_scribbled():
    target = Target()
    (path,) = [p for name, p in target.files("tslab.v1").items() if "control" in name]
    fd = os.open(path, os.O_RDWR)
    short = refused(lambda: os.ftruncate(fd, 0))
    page = mmap.mmap(fd, 4096)
    good = True
    for value in (b"\xff", b"\x00", b"\x80", b"\x01"):
        page[:] = value * 4096
        good = good and target.alive()
    page[:] = os.urandom(4096)
    good = good and target.alive() and stats(target.p.pid).returncode in (0, 1)
    result(short and good, "the control page may be scribbled over, but not shortened: the process goes on", short, target.said())
    page.close()
    os.close(fd)
    target.end()


def another_user_gets_nothing():
    target = Target()
    answer = stats(target.p.pid, user=NOBODY)
    result(answer.returncode != 0 and "secret" not in answer.stdout + answer.stderr,
           "another user reads nothing", answer.stdout[:200], answer.stderr)
    target.end()


def no_addresses():
    target = Target()
    ranges = []
    for line in open("/proc/%d/maps" % target.p.pid):
        low, high = (int(x, 16) for x in line.split()[0].split("-"))
        ranges.append((low, high))
    found = []
    for name, path in target.files("tslab.v1").items():
        data = open(path, "rb").read()
        for at in range(0, len(data) - 7, 8):
            word = int.from_bytes(data[at:at + 8], sys.byteorder)
            if word > 1 << 30 and any(low <= word < high for low, high in ranges):
                found.append("%s+%#x: %#x" % (name, at, word))
    result(not found, "no word of what others see is an address of the process", found[:5])
    target.end()


def killed_and_gone():
    target = Target()
    pid = target.p.pid
    target.p.send_signal(signal.SIGKILL)
    target.p.wait()
    answer = stats(pid)
    result(answer.returncode != 0 and answer.stdout == "", "a killed process shows nothing", answer.stdout[:200])
    # The number of another process that has not the library.
    other = subprocess.Popen(["sleep", "60"])
    answer = stats(other.pid)
    result(answer.returncode != 0 and answer.stderr != "", "nor does one that is no process of the library")
    other.kill()
    other.wait()


def directories():
    """TSLAB_STATS_DIR where others have a hand in it: no file there, a line that says so, memory files instead."""
    def attack(text, prepare):
        place = os.path.join(work, "dir")
        victim = os.path.join(work, "victim")
        with open(victim, "w") as f:
            f.write("precious")
        prepare(place, victim)
        target = Target(TSLAB_STATS_DIR=place)
        said, answer = target.said(), stats(target.p.pid)
        target.end()
        kept = open(victim).read() == "precious"
        result("TSLAB_STATS_DIR" in said and answer.returncode == 0 and kept, text, said, answer.stderr)
        for path in (place, place + "-real"):
            if os.path.islink(path) or os.path.isfile(path) or (os.path.exists(path) and stat.S_ISFIFO(os.stat(path).st_mode)):
                os.unlink(path)
            elif os.path.isdir(path):
                shutil.rmtree(path)

    def link(place, victim):
        os.mkdir(place + "-real")
        os.symlink(place + "-real", place)

    def writable(place, victim):
        os.mkdir(place)
        os.chmod(place, 0o1777)

    def foreign(place, victim):
        os.mkdir(place, 0o755)
        os.chown(place, NOBODY, NOBODY)

    attack("a directory that is a symbolic link is refused", link)
    attack("a directory that all may write is refused", writable)
    attack("a directory of another user is refused", foreign)
    attack("a file in its place is refused", lambda place, victim: os.link(victim, place))
    attack("a FIFO in its place is refused, and nobody waits", lambda place, victim: os.mkfifo(place))
    attack("a directory that is not there is refused", lambda place, victim: None)
    place = os.path.join(work, "own")
    os.mkdir(place, 0o700)
    target = Target(TSLAB_STATS_DIR=place)
    modes = [stat.S_IMODE(os.stat(os.path.join(place, f)).st_mode) for f in os.listdir(place)]
    locked = []
    for f in os.listdir(place):
        with open(os.path.join(place, f)) as held:
            locked.append(refused(lambda: fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)))
    result(modes and all(m == 0o600 for m in modes) and all(locked), "in an own directory: files for the owner alone, locked", modes, locked)
    target.end()
    result(not os.listdir(place), "which go with the process", os.listdir(place))


MISUSER = """
import ctypes, sys
t = ctypes.CDLL(%r)
e = ctypes.c_uint64()
class Stats(ctypes.Structure):
    _fields_ = [("struct_bytes", ctypes.c_size_t), ("words", ctypes.c_uint64 * 12)]
def segment():
    s = Stats(struct_bytes=ctypes.sizeof(Stats))
    assert t.tslab_stats_process(ctypes.byref(s)) == 0
    return list(s.words)[-1]
for i in range(2000):
    assert t.tslab_epoch_open(None, b"warm%%d" %% i, ctypes.byref(e)) == 0 and t.tslab_epoch_close(e) == 0
before = segment()
for i in range(LABELS):
    assert t.tslab_epoch_open(None, b"label-%%d-%%d" %% (i, i * 7919), ctypes.byref(e)) == 0 and t.tslab_epoch_close(e) == 0
assert segment() == before, (before, segment())
assert t.tslab_epoch_open(None, b"%%n%%s%%x%%1$n", ctypes.byref(e)) == 0
t.tslab_domain_exit(e) # the first error of all is told, and names the label
for i in range(ERRORS):
    t.tslab_free(ctypes.c_void_p(4096))
    t.tslab_domain_exit(e)
print("done")
""" % library


def only_child(pid):
    with open("/proc/%d/task/%d/children" % (pid, pid)) as f:
        return f.read().split()[0]


def another_namespace():
    target = Target("unshare", "--pid", "--fork", "--kill-child")
    pid = only_child(target.p.pid)
    ps = subprocess.run([tslab, "ps"], capture_output=True, text=True).stdout
    rows = [line.split() for line in ps.split("\n") if line.split()[:1] == [pid]]
    result(len(rows) == 1 and rows[0][1] == "1", "a process of another PID namespace is listed with both of its ids", ps)
    seen = stats(pid)
    result(seen.returncode == 0 and '"secret"' in seen.stdout, "and read from outside", seen.stderr)
    target.end()


def floods():
    labels, errors = 100000, 300000
    began = time.time()
    p = subprocess.run([sys.executable, "-c", MISUSER.replace("LABELS", str(labels)).replace("ERRORS", str(errors))],
                       capture_output=True, text=True)
    result(p.stdout == "done\n", "%d labels take no memory of the segment; a label with format marks is text" % labels, p.stderr[-500:])
    lines = p.stderr.count("\n")
    most = 10 * (time.time() - began) + 20
    result(0 < lines < most, "%d errors: %d lines on stderr" % (2 * errors, lines))
    result("%n%s%x" in p.stderr, "the label is printed as it is", p.stderr[:600])


def main():
    if os.geteuid() != 0:
        sys.exit("Bail out! not root")
    for need in (tslab, library):
        if not os.path.exists(need):
            sys.exit("Bail out! %s is not built" % need)
    try:
        for attack in (nothing_in_the_file_system, segment_cannot_be_written, control_page_scribbled,
                       another_user_gets_nothing, another_namespace, no_addresses, killed_and_gone, directories,
                       floods):
            attack()
    finally:
        shutil.rmtree(work)
    print("1..%d" % number)
    sys.exit(failed != 0)


main()
