# What goes wrong while the parity model learns to think (examples/parity.sh).
train micro 40 steps on 2 workers
seed 7
every step in forward with probability 0.05: kill a worker
every step in backward with probability 0.05: crash a worker
every step in forward with probability 0.08: flip a high bit in 1 matmul accumulator on a worker
every step in sending with probability 0.05: flip a bit in the gradient of a worker
every step in batch with probability 0.04: flip a bit in the state
every step in joining with probability 0.04: kill the keeper
at step 8: lose the answer of worker 1
at step 15 in committing: kill the supervisor
at step 22 in backward: stop worker 0
at step 30 in committing: disk full for 1 seconds
expect finished, digest = undisturbed
