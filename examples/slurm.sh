#!/usr/bin/env bash
# A training run under Slurm that outlives the job's time limit, preemption and the death of its node: each start goes on where the last ended.
#
#   sbatch examples/slurm.sh demo.toml runs/demo          the directory of the run on a file system that all nodes see
#   godwit status runs/demo --watch
#
#SBATCH --job-name=godwit
#SBATCH --nodes=1
#SBATCH --ntasks=1
#SBATCH --cpus-per-task=16
#SBATCH --time=24:00:00
# Slurm itself queues the job again when its node fails or it is preempted.
#SBATCH --requeue
# Ten minutes before the time limit this script (B:) gets SIGTERM; the run then has time to write a checkpoint.
#SBATCH --signal=B:TERM@600
# One log through all starts.
#SBATCH --open-mode=append
#SBATCH --output=godwit-%j.log
set -u
config=${1:?usage: sbatch examples/slurm.sh CONFIG.toml RUN} run=${2:?usage: sbatch examples/slurm.sh CONFIG.toml RUN}

# SIGTERM is handed on to the supervisor alone; it makes the last commit durable, ends its workers and exits 75.
godwit train "$config" --run "$run" --workers 2 --threads "${SLURM_CPUS_PER_TASK:-2}" --quiet &
supervisor=$!
trap 'kill -TERM "$supervisor" 2> /dev/null' TERM INT
# A signal ends a wait before the supervisor has ended; what it ended with is then waited for once more.
wait "$supervisor" || true
while kill -0 "$supervisor" 2> /dev/null; do wait "$supervisor" || true; done
code=0
wait "$supervisor" || code=$?

case $code in
  0) echo "finished" ;;
  2) echo "the config or a file is wrong; nothing is queued again" >&2 ;;
  # 75: stopped on request, as at the time limit. Anything else: it died. Both are resumed by the same command, as this job once more.
  *)
    echo "exit code $code: queued again" >&2
    if [ -n "${SLURM_JOB_ID:-}" ]; then scontrol requeue "$SLURM_JOB_ID"; fi
    ;;
esac
exit "$code"
