#!/usr/bin/env bash
# A Slurm of one node, with accounting, in a folder of its own: for tests, and to try hydra/launcher=slurm without a
# cluster. Nothing outside the folder is read or written, and `down` ends only processes that `up` recorded.
#
#   scripts/local_slurm.sh up FOLDER     starts it; then: export SLURM_CONF=FOLDER/slurm.conf
#   scripts/local_slurm.sh down FOLDER   ends it; FOLDER is left for its logs
#
# Needs root, and Debian's packages: apt-get install slurm-wlm munge slurmdbd mariadb-server
set -euo pipefail

usage() { sed -n '2,9s/^# \{0,1\}//p' "$0" >&2; exit 2; }
[ $# -eq 2 ] || usage
mkdir -p "$2"
D=$(cd "$2" && pwd)
PATH=$PATH:/usr/sbin
PROGRAMS=(slurmd slurmctld slurmdbd mariadbd munged)  # in the order in which they are ended
CTLD_PORT=${CTLD_PORT:-26817} SLURMD_PORT=${SLURMD_PORT:-26818} DBD_PORT=${DBD_PORT:-26819}

die() { echo "local_slurm: $*" >&2; exit 1; }

# wait_for WHAT SECONDS COMMAND...: until the command succeeds
wait_for() {
    local what=$1 tries=$(($2 * 10)); shift 2
    until "$@" >/dev/null 2>&1; do
        tries=$((tries - 1))
        [ $tries -gt 0 ] || die "$what did not come up; see $D/log"
        sleep 0.1
    done
}

is_running() {  # PROGRAM [PID]: the process, or else the recorded one, is alive and still that program
    local pid=${2:-$(cat "$D/$1.pid" 2>/dev/null)}
    [ -n "$pid" ] || return 1
    [ "$(awk '/^Name/ {name = $2} /^State/ {state = $2} END {print name, state == "Z"}' "/proc/$pid/status" \
        2>/dev/null)" = "$1 0" ]
}

write_configs() {
    local host memory
    host=$(hostname -s)
    memory=$(awk '/MemTotal/ {print int($2 / 1024 * 0.9)}' /proc/meminfo)
    cat >"$D/slurm.conf" <<END
ClusterName=local
SlurmctldHost=$host(127.0.0.1)
SlurmctldPort=$CTLD_PORT
SlurmdPort=$SLURMD_PORT
SlurmUser=root
AuthType=auth/munge
AuthInfo=socket=$D/munge/sock,cred_expire=5
CredType=cred/munge
StateSaveLocation=$D/state
SlurmdSpoolDir=$D/spool
SlurmctldPidFile=$D/slurmctld.pid
SlurmdPidFile=$D/slurmd.pid
SlurmctldLogFile=$D/log/slurmctld.log
SlurmdLogFile=$D/log/slurmd.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/linux
JobAcctGatherFrequency=task=1
JobAcctGatherParams=OverMemoryKill
AccountingStorageType=accounting_storage/slurmdbd
AccountingStorageHost=127.0.0.1
AccountingStoragePort=$DBD_PORT
AccountingStoragePass=$D/munge/sock
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
SchedulerParameters=batch_sched_delay=0,sched_interval=1,sched_min_interval=0
MpiDefault=none
ReturnToService=2
NodeName=$host NodeAddr=127.0.0.1 CPUs=$(nproc) RealMemory=$memory State=UNKNOWN
PartitionName=local Nodes=$host Default=YES MaxTime=INFINITE State=UP
END
    (umask 077 && cat >"$D/slurmdbd.conf") <<END
AuthType=auth/munge
AuthInfo=socket=$D/munge/sock
DbdHost=localhost
DbdAddr=127.0.0.1
DbdPort=$DBD_PORT
SlurmUser=root
PidFile=$D/slurmdbd.pid
LogFile=$D/log/slurmdbd.log
StorageType=accounting_storage/mysql
StorageHost=localhost
StorageUser=root
StorageLoc=slurm_accounts
END
}

start_database() {
    [ -d "$D/database" ] || mariadb-install-db --no-defaults --datadir="$D/database" --user=root \
        --auth-root-authentication-method=normal --skip-test-db >"$D/log/install-db.log" 2>&1
    setsid mariadbd --no-defaults --datadir="$D/database" --user=root --socket="$D/database.sock" --skip-networking \
        --pid-file="$D/mariadbd.pid" --log-error="$D/log/mariadbd.log" </dev/null >/dev/null 2>&1 &
    wait_for mariadbd 30 mariadb-admin --no-defaults --socket="$D/database.sock" ping
}

up() {
    for program in "${PROGRAMS[@]}"; do
        command -v "$program" >/dev/null || die "$program is not installed: apt-get install slurm-wlm munge slurmdbd mariadb-server"
    done
    is_running slurmctld && { echo "running already: export SLURM_CONF=$D/slurm.conf"; return; }
    mkdir -p "$D"/{log,munge,state,spool}
    chmod 755 "$D" "$D/munge"
    [ -f "$D/munge/key" ] || (umask 077 && dd if=/dev/urandom of="$D/munge/key" bs=128 count=1 status=none)
    write_configs
    munged --key-file="$D/munge/key" --socket="$D/munge/sock" --pid-file="$D/munged.pid" \
        --log-file="$D/log/munged.log" --seed-file="$D/munge/seed"
    start_database
    export SLURM_CONF=$D/slurm.conf MYSQL_UNIX_PORT=$D/database.sock
    slurmdbd 2>"$D/log/slurmdbd.err"
    wait_for slurmdbd 30 sacctmgr --immediate --noheader list cluster
    slurmctld -c -f "$SLURM_CONF"
    slurmd -f "$SLURM_CONF" -N "$(hostname -s)"
    wait_for slurmd 30 bash -c '[ "$(sinfo -h -o %T)" = idle ]'
    wait_for "the cluster's account" 30 bash -c 'sacctmgr -n -P list cluster format=cluster | grep -q local'
    echo "up: export SLURM_CONF=$D/slurm.conf"
}

end_program() {  # PROGRAM: asks it to end, insists after 10 s
    local pid  # read once: slurmd removes its record as it begins to end, which takes it long where jobs are left
    pid=$(cat "$D/$1.pid" 2>/dev/null) || return 0
    for signal in TERM KILL; do
        is_running "$1" "$pid" || return 0
        kill -"$signal" "$pid" || true
        for _ in $(seq 100); do is_running "$1" "$pid" || return 0; sleep 0.1; done
    done
}

down() {
    if is_running slurmctld; then
        export SLURM_CONF=$D/slurm.conf
        timeout 10 scancel --user="$(id -un)" || true
        for _ in $(seq 100); do  # without slurmd nobody would end the jobs
            [ -n "$(timeout 10 squeue --noheader 2>/dev/null)" ] || break
            sleep 0.1
        done
    fi
    for program in "${PROGRAMS[@]}"; do end_program "$program"; done
    echo "down"
}

case $1 in up) up ;; down) down ;; *) usage ;; esac
