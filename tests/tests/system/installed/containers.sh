# Starts the containers of deploy/containers/compose.yml, has one run made there, and asks what watches them.
#
#     unshare --mount --net --pid --fork --kill-child --mount-proc sh containers.sh REPOSITORY PROGRAM ROOT PROMETHEUS COLLECTOR
#
# In a folder of its own, with a network that has nothing but loopback: every container is in that network, for a network of
# containers needs more of the kernel than a machine that tests must have. Images are made from ROOT, a small Debian; none
# is fetched. What it prints after `== WORD` is what the test reads; status 77 = no
# container starts on this machine.
set -eu
repository=$1 program=$2 root=$3 prometheus=$4 collector=$5
here=$PWD

cat >containers.conf <<'END'
[engine]
runtime = "runc"
cgroup_manager = "cgroupfs"
events_logger = "file"
[containers]
default_ulimits = ["nofile=1024:20000", "nproc=1024:2048"]
END
cat >storage.conf <<END
[storage]
driver = "vfs"
graphroot = "$here/storage"
runroot = "$here/run"
END
cat >here.yml <<'END'
x-here: &here
  network_mode: host
  extra_hosts: ["gateway:127.0.0.1", "agent:127.0.0.1", "collector:127.0.0.1"]
services:
  gateway: *here
  agent: *here
  token: *here
  prometheus: *here
  collector: *here
END
export CONTAINERS_CONF="$here/containers.conf" CONTAINERS_STORAGE_CONF="$here/storage.conf"
export XDG_RUNTIME_DIR="$here/xdg" TMPDIR="$here/tmp" BUILDAH_ISOLATION=chroot BUILDAH_LAYERS=false
export LONGHAUL_BASE=small PROMETHEUS_IMAGE=localhost/prometheus COLLECTOR_IMAGE=localhost/collector
mkdir -p xdg tmp prometheus collector deploy
ip link set lo up

# What the page says: the program beside the Containerfile.
cp -r "$repository/deploy/containers" "$repository/deploy/prometheus" "$repository/deploy/grafana" deploy/
strip -o deploy/containers/longhaul "$program"

tar -C "$root" -cf - . | podman import --quiet - small
if ! podman run --rm --init --network=host small true; then exit 77; fi
cp "$prometheus" prometheus/program
printf 'FROM small\nCOPY program /usr/bin/prometheus\n' >prometheus/Containerfile
# The collector that the tests have takes no file of settings, and needs libraries of this machine, which has the same release.
cp -L "$collector" collector/rotel
mkdir collector/libraries
ldd "$collector" | awk '$3 ~ /^\// { print $3 }' | xargs -r -I{} cp {} collector/libraries/
cat >collector/Containerfile <<'END'
FROM small
COPY libraries /usr/lib/collector/
COPY rotel /usr/bin/
ENTRYPOINT ["/bin/sh", "-c", "LD_LIBRARY_PATH=/usr/lib/collector exec rotel start --otlp-grpc-endpoint 0.0.0.0:4317 --otlp-http-endpoint 127.0.0.1:4318 --exporter blackhole --debug-log traces --debug-log-verbosity detailed --disable-batching"]
END
podman build --quiet -t prometheus prometheus
podman build --quiet -t collector collector

cd deploy/containers
compose() { podman-compose -f compose.yml -f "$here/here.yml" "$@"; }
# The command, again and again for two minutes, until it prints a line like that.
until_printed() {
    like=$1
    shift
    for _ in $(seq 240); do
        if "$@" 2>&1 | tee "$here/printed" | grep -q "$like"; then return; fi
        sleep 0.5
    done
    cat "$here/printed"
    podman ps -a
    compose logs gateway agent
    exit 1
}
series() { curl -s "http://127.0.0.1:9090/api/v1/query?query=$1"; }

# The control: as long as the agent is not there, no host is known.
compose up -d gateway
until_printed 'no agent' compose exec -T gateway longhaul hosts
echo '== alone'
cat "$here/printed"

compose up -d collector gateway agent token prometheus
until_printed 'stata1.*up' compose exec -T gateway longhaul hosts
echo '== hosts'
cat "$here/printed"
echo '== run'
compose exec -T gateway longhaul run - <"$repository/examples/short.do"
echo '== scraped'
until_printed '"2"\]' series 'count(up%3D%3D1)'
cat "$here/printed"
echo '== spans'
until_printed 'Name *: longhaul\.run$' podman logs longhaul_collector_1
grep -o 'Name *: .*' "$here/printed" | sort -u
echo '== down'
compose down -t 1
