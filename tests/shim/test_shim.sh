#!/bin/sh
# SPDX-License-Identifier: MIT
# shellcheck disable=SC2317 # the programs are called by name
# Programs under a preloaded libtslab-malloc.so: each has to print what it prints without, no pointer may
# come from another allocator (fallbacks), and the C library's own heap has to stay empty. probe.c tells
# both at the end of each process. Prints TAP. Cross-built, only the programs made here are run.
set -u
: "${abs_top_builddir:?}" "${abs_top_srcdir:?}" "${TEST_RUNNER=}"
shim=$abs_top_builddir/.libs/libtslab-malloc.so
probe=$abs_top_builddir/tests/shim/.libs/probe.so
here=$abs_top_srcdir/tests/shim
built=$abs_top_builddir/tests/shim
work=$(mktemp -d) || exit 99
redis_pid=
trap '[ -z "$redis_pid" ] || kill "$redis_pid"; rm -rf "$work"' EXIT
trap 'exit 1' INT TERM
LC_ALL=C
export LC_ALL TEST_RUNNER
count=0
failed=0

result() { # result STATUS NAME
	count=$((count + 1))
	if [ "$1" -eq 0 ]; then
		echo "ok $count - $2"
	else
		failed=1
		head -n 60 "$work/log" | sed 's/^/# /'
		echo "not ok $count - $2"
	fi
}

# The tests that a program prints become tests of this script.
taken_over() { # taken_over NAME COMMAND...: under the preloaded library
	name=$1
	shift
	# shellcheck disable=SC2086 # the runner is a command line
	QEMU_SET_ENV=LD_PRELOAD=$shim NATIVE_PRELOAD=$shim "$work/preloaded" $TEST_RUNNER "$@" >"$work/out" 2>"$work/err"
	status=$?
	sed 's/^/# err: /' "$work/err" >"$work/log"
	while read -r line; do
		case $line in
		'ok '* | 'not ok '*)
			count=$((count + 1))
			case $line in not*) failed=1 ;; esac
			echo "$line" | sed "s/^\(.*ok\) [0-9]* - /\1 $count - $name: /"
			;;
		'# '*) echo "$line" ;;
		esac
	done <"$work/out"
	[ "$status" -eq 0 ] && grep -q '^1\.\.' "$work/out"
	result $? "$name: ends well"
}

# The runner itself, an emulator or a script, is not to be preloaded.
cat >"$work/preloaded" <<'END'
#!/bin/sh
if [ -n "$TEST_RUNNER" ]; then
	exec "$@"
fi
LD_PRELOAD=$NATIVE_PRELOAD exec "$@"
END
chmod +x "$work/preloaded"

taken_over family "$built/family"
grep -c 'tslab: double free' "$work/err" >"$work/log" && grep -q 'not memory of this library' "$work/err"
result $? 'refusals are told on stderr'
taken_over lives "$built/lives" "$built/.libs/plugin.so"

if [ -n "$TEST_RUNNER" ]; then
	echo "1..$count"
	exit $failed
fi

# -- programs of the system ----------------------------------------------------------------------------

need() {
	for tool; do
		command -v "$tool" >/dev/null || {
			echo "Bail out! $tool is missing (see ci/packages)"
			exit 1
		}
	done
}
need bash python3 perl git sqlite3 redis-check-rdb redis-cli "${CXX:=c++}" sort awk xz

# both NAME PROCESS FUNCTION: equal output with and without, and PROCESS was among those that told the probe.
both() {
	name=$1
	process=$2
	function=$3
	: >"$work/probe"
	mkdir -p "$work/without" "$work/with"
	(cd "$work/without" && "$function") >"$work/plain" 2>"$work/log"
	status=$?
	(cd "$work/with" && LD_PRELOAD="$shim $probe" SHIM_PROBE=$work/probe "$function") >"$work/shimmed" 2>>"$work/log" ||
		status=1
	rm -rf "$work/without" "$work/with"
	diff "$work/plain" "$work/shimmed" >>"$work/log" || status=1
	[ -s "$work/plain" ] || status=1
	# "NAME FALLBACKS BYTES": both numbers 0, for every process
	grep -v ' 0 0$' "$work/probe" >>"$work/log" && status=1
	grep -q "^$process" "$work/probe" || {
		echo "no line of $process in the probe:"
		sort "$work/probe" | uniq -c
		status=1
	} >>"$work/log"
	result $status "$name: same output, no fallback, nothing in the C library's heap"
}

in_true() {
	env true && echo "true: $?"
}

in_bash() {
	bash -c 'declare -A squares; for ((i = 0; i < 2000; i++)); do squares[$i]=$((i * i)); done
		echo "${#squares[@]} ${squares[1999]}"; text=; for i in {1..3000}; do text+="word$i "; done
		echo "${#text} ${text//word/}" | cksum; for i in {1..20}; do (echo "in $i") | cat; done
		mapfile -t lines < <(seq 5000); echo "${#lines[@]} $(printf "%s\n" "${lines[@]}" | tail -n 1)"
		coproc cat; echo through >&"${COPROC[1]}"; read -r back <&"${COPROC[0]}"; echo "$back"'
}

in_python() {
	python3 "$abs_top_srcdir/bench/programs/outline.py" "$(python3 -c 'import os; print(os.path.dirname(os.__file__))')" 25
	python3 -c 'if True:
		import ctypes, decimal, multiprocessing, re, subprocess, threading, zlib
		def work(n): return sum(len(re.sub("[aeiou]", str(i), "the quick brown fox")) for i in range(n))
		threads = [threading.Thread(target=work, args=(2000,)) for _ in range(8)]
		[t.start() for t in threads]; [t.join() for t in threads]
		print(len(zlib.compress(bytes(range(256)) * 9999)), decimal.Decimal(2) ** 500)
		print(subprocess.check_output(["echo", "from a child"]))
		# Ended in order: left to the end of the interpreter a pool may wait for itself, whatever malloc it has.
		pool = multiprocessing.get_context("fork").Pool(4)
		print(pool.map(work, [1, 10, 100]))
		pool.close(); pool.join()'
	PYTHONMALLOC=malloc python3 -c 'import json; print(len(json.dumps([{str(i): [i] * 9} for i in range(20000)])))'
}

in_perl() {
	perl -e 'my %h; $h{$_ * 7 % 1009} .= "v$_," for 1 .. 30000; print join(";", map { "$_=" . length $h{$_} } sort keys %h), "\n";
		my @sorted = sort { $b <=> $a } map { ($_ * 7919) % 100003 } 1 .. 50000; print "@sorted[0 .. 9]\n";
		my $text = "abc" x 20000; (my $copy = $text) =~ s/b(c)/$1$1/g; print length $copy, "\n";
		for my $n (1 .. 5) { my $pid = fork // die; if (!$pid) { my @a = (1 .. 5000); exit scalar(@a) % 256 } waitpid $pid, 0; print $? >> 8, "\n" }'
}

in_git() {
	GIT_AUTHOR_DATE='1600000000 +0000' GIT_COMMITTER_DATE='1600000000 +0000' GIT_CONFIG_NOSYSTEM=1 HOME=$PWD
	export GIT_AUTHOR_DATE GIT_COMMITTER_DATE GIT_CONFIG_NOSYSTEM HOME
	git init -q -b main . && git config user.name a && git config user.email a@example.org || return 1
	cp "$abs_top_srcdir"/src/core/*.c . && git add . && git commit -qm one || return 1
	for file in *.c; do
		sed -i 's/static/STATIC/; 5,9d' "$file"
	done
	git commit -qam two && git log -p --stat && git blame api.c && git gc -q --aggressive && git fsck --full &&
		git grep -c return && git diff --word-diff HEAD~1 | cksum
}

in_sqlite() {
	sqlite3 :memory: 'CREATE TABLE t (a INTEGER PRIMARY KEY, b TEXT, c REAL);
		WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 40000)
		INSERT INTO t SELECT i, hex(i * 7919 % 40009), i / 3.0 FROM n;
		CREATE INDEX tb ON t (b); SELECT count(*), max(b), sum(t.c) FROM t JOIN t AS u USING (b);
		SELECT group_concat(b) FROM (SELECT b FROM t ORDER BY b DESC LIMIT 50); DELETE FROM t WHERE a % 3 = 0;
		VACUUM; PRAGMA integrity_check; SELECT count(*), json_array(min(a), max(c)) FROM t;'
}

in_redis() {
	socket=$work/redis.socket
	# The program is both; the package redis-server would start a server of the system.
	ln -s "$(command -v redis-check-rdb)" redis-server
	./redis-server --port 0 --unixsocket "$socket" --save '' --dir . >server.log 2>&1 &
	redis_pid=$!
	waited=0
	until redis-cli -s "$socket" ping >/dev/null 2>&1; do
		waited=$((waited + 1))
		[ "$waited" -lt 2400 ] || { cat server.log; return 1; }
		sleep 0.05
	done
	redis-cli -s "$socket" eval 'for i = 1, 20000 do
		redis.call("set", "key" .. i, string.rep("v", i % 700)); redis.call("lpush", "list" .. i % 50, i)
		redis.call("hset", "hash" .. i % 20, "f" .. i, i); redis.call("zadd", "sorted", i * 7919 % 10007, i)
		if i % 3 == 0 then redis.call("del", "key" .. i / 3) end end return redis.call("dbsize")' 0
	redis-cli -s "$socket" zrange sorted 0 20
	redis-cli -s "$socket" lrange list7 0 20
	redis-cli -s "$socket" bgsave
	redis-cli -s "$socket" flushall
	redis-cli -s "$socket" shutdown nosave
	wait "$redis_pid"
	status=$?
	redis_pid=
	return "$status"
}

in_statics() {
	"$CXX" -O1 -pthread -o statics "$here/statics.cc" && ./statics
}

in_compiler() {
	"$CXX" -std=c++17 -O2 -S -o - "$here/statics.cc"
}

in_tools() {
	seq 200000 | sort -R --random-source=/bin/sh --parallel=4 -S 2M | awk '{ s += NR % 7 * $1; a[$1 % 1000] = a[$1 % 1000] $1 }
		END { print s, length(a[7]) }'
	seq 300000 | xz -T4 --block-size=200KiB | xz -dc | cksum
	find "$abs_top_srcdir/src" -name '*.c' | sort | xargs cat | tr -cs '[:lower:]' '\n' | sort | uniq -c | sort -rn | head -n 40
}

both true true in_true
both bash bash in_bash
both python3 python3 in_python
both perl perl in_perl
both git git in_git
both sqlite3 sqlite3 in_sqlite
both redis redis-server in_redis
both 'C++ program' statics in_statics
both 'C++ compiler' cc1plus in_compiler
both 'sort, awk, xz, find' sort in_tools

# A program that uses the library keeps its epochs apart from what it gets from malloc.
"${CC:-cc}" -o "$work/apart" -I"$abs_top_srcdir/include" "$here/apart.c" -L"$abs_top_builddir/.libs" -ltslab 2>"$work/log" &&
	LD_LIBRARY_PATH=$abs_top_builddir/.libs LD_PRELOAD=$shim "$work/apart" >>"$work/log" 2>&1
result $? 'a program with epochs: malloc and epochs do not mix, under one preload'

# What other processes see.
LD_PRELOAD=$shim python3 -c 'import time; kept = [bytes(5000) for _ in range(2000)]; print("ready", flush=True); time.sleep(60)' \
	>"$work/ready" &
sleeper=$!
until grep -q ready "$work/ready"; do sleep 0.05; done
if grep -q 'define TSLAB_STATS 1' "$abs_top_builddir/config.h"; then
	"$abs_top_builddir/tools/tslab/tslab" stats --json "$sleeper" >"$work/json" 2>"$work/log" &&
		python3 -c 'import json, sys; s = json.load(open(sys.argv[1])); e = s["epochs"]
assert len(e) == 1 and e[0]["label"] == "default" and e[0]["live_objects"] >= 2000, e' "$work/json" 2>>"$work/log"
	result $? 'the tool shows the default epoch of a preloaded process'
fi
kill "$sleeper"
wait "$sleeper" 2>/dev/null
echo "1..$count"
exit $failed
