#!/bin/sh
# SPDX-License-Identifier: MIT
# Executes the commands of docs/MONITORING_SETUP.md; checks units, containers' configuration, and that the service's
# rights are enough. Prints TAP. There is no systemd to talk to here: `systemctl` is a script that does what the
# units say.
# shellcheck disable=SC2013,SC2317 # words without spaces; functions that run() calls
set -u
# shellcheck source=tests/monitoring/lib.sh
. "$(dirname "$0")/lib.sh"
# shellcheck source=tests/monitoring/server.sh
. "$(dirname "$0")/server.sh"
need promtool prometheus prometheus-node-exporter curl jq python3 systemd-analyze docker-compose setpriv
guide=$abs_top_srcdir/docs/MONITORING_SETUP.md
: >"$work/err"

# -- as installed ------------------------------------------------------------------------------------
share=$work/share/tslab
mkdir -p "$share" "$work/units" "$work/etc" "$work/text" "$work/bin"
cp -r "$abs_top_srcdir/monitoring" "$abs_top_srcdir/dashboards" "$share"
units=$share/monitoring/systemd
cp "$abs_top_builddir"/monitoring/systemd/*.service "$units"
service=$units/tslab-textfile.service
# The same units with the tool and the directory of this test.
sed -i "s|^ExecStart=[^ ]*|ExecStart=$tslab|; s|/var/lib/prometheus/node-exporter|$work/text|" "$units"/*.service
run 0 systemd-analyze verify --man=no "$service" "$units/tslab-textfile.timer" "$units/tslab-serve.socket" \
	"$units/tslab-serve.service" && ! grep -v '^status' "$work/err"
ok 'the units are valid'
exposure() {
	systemd-analyze security --offline=true --threshold=45 "$1"
}
run 0 exposure "$service" && run 0 exposure "$units/tslab-serve.service"
ok 'the services are confined: an exposure of 4.5 of 10 at most'
mounts_exist() {
	for path in $(sed -n 's/^ *- \(\.[^:]*\):.*/\1/p' "$share/monitoring/compose.yaml"); do
		[ -e "$share/monitoring/$path" ] || return 1
	done
}
run 0 docker-compose -f "$share/monitoring/compose.yaml" config && mounts_exist && shows 'prom/prometheus:v2' 'grafana/grafana:'
ok 'the compose file is valid, and what it mounts exists'
run 0 /usr/bin/python3 -c 'import sys, yaml
for path in sys.argv[1:]:
    assert yaml.safe_load(open(path))["apiVersion"] == 1, path' "$share"/monitoring/grafana/*.yml
ok 'what Grafana is given is YAML'

# -- the service's rights ----------------------------------------------------------------------------
start "$generations"
capabilities=$(sed -n 's/^CapabilityBoundingSet=//p' "$service" | sed 's/CAP_/+/g; s/ /,/g' | tr '[:upper:]' '[:lower:]')
as_service() { # as_service CAPABILITIES: another user with these, as the service's root is without the others
	setpriv --reuid=65534 --regid=65534 --clear-groups --inh-caps="-all,$1" --ambient-caps="-all,$1" \
		--bounding-set="-all,$1" "$tslab" export prometheus "$watched"
}
if [ "$(id -u)" -eq 0 ]; then
	chmod 755 "$work"
	run 0 as_service "$capabilities" && shows '^temporal_slab_up 1'
	ok "the service's capabilities are enough to read another user's program"
	! as_service +chown >"$work/out" 2>"$work/err"
	ok 'and are needed'
fi

# -- the guide ---------------------------------------------------------------------------------------
start_node_exporter "$work/text"
PROGRAM=$name SHARE=$share TEXTFILES=$work/text UNITS=$work/units ETC=$work/etc NODE=http://$node
prometheus_address=127.0.0.1:$(free_port)
PROMETHEUS=http://$prometheus_address
PATH=$work/bin:$(dirname "$tslab"):$PATH
export PROGRAM SHARE TEXTFILES UNITS ETC NODE PROMETHEUS PATH
cat >"$work/bin/systemctl" <<END
#!/bin/sh
# What the guide asks of systemd: the timer's service every second, and Prometheus with its configuration.
case "\$*" in
daemon-reload) ;;
'enable --now tslab-textfile.timer')
	[ -e "$work/units/tslab-textfile.timer" ] || exit 1
	command=\$(sed -n 's/^ExecStart=//p' "$work/units/tslab-textfile.service")
	(while sleep 1; do \$command; done) >/dev/null 2>"$work/timer.err" &
	echo \$! >"$work/timer.pid"
	;;
'disable --now tslab-textfile.timer') kill "\$(cat "$work/timer.pid")" ;;
'restart prometheus')
	prometheus --config.file="$work/etc/prometheus.yml" --storage.tsdb.path="$work/data" \\
		--web.listen-address="$prometheus_address" --log.level=warn >/dev/null 2>"$work/prometheus.err" &
	echo \$! >"$work/prometheus.pid"
	;;
*) exit 1 ;;
esac
END
chmod 755 "$work/bin/systemctl"
# Targets and pace of this test.
sed -i "s|localhost:9100|$node|" "$share/monitoring/targets/node-example.yml"
sed -i 's/15s/1s/' "$share/monitoring/prometheus.yml"

stop_daemons() {
	for daemon in timer prometheus; do
		[ ! -e "$work/$daemon.pid" ] || kill "$(cat "$work/$daemon.pid")" 2>/dev/null
	done
	leave
}
trap stop_daemons EXIT
awk -v dir="$work" '/^```sh$/ { n++; inside = 1; next } /^```/ { inside = 0 }
	inside { print >(dir "/block" n) } END { print n }' "$guide" >"$work/blocks"
blocks=$(cat "$work/blocks")
block=1
: >"$work/before"
while [ "$block" -le "$blocks" ]; do
	# A shell each, as if typed later; the variables of the first block hold for all.
	run 0 timeout 300 sh -eu -c ". '$work/block1'; . '$work/block$block'"
	ok "$(sed 's/  *#.*//; q' "$work/block$block")"
	[ "$block" -ne 2 ] || cp "$work/out" "$work/first"
	block=$((block + 1))
done
[ "$blocks" -ge 8 ] && grep -q 'label="request-handler"' "$work/first" && [ ! -e "$work/text/tslab.prom" ]
ok 'the commands showed the program, and the last ones cleaned up'
systemctl restart nothing 2>"$work/err"
[ $? -eq 1 ]
ok 'an unknown command of systemctl would have failed'
finish
