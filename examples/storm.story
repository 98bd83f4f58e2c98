# What goes wrong in examples/storm.sh.
train micro 60 steps on 2 workers
seed 3
every step in forward with probability 0.04: kill a worker
every step in backward with probability 0.04: crash a worker
every step in forward with probability 0.08: flip a high bit in 1 matmul accumulator on a worker
every step in sending with probability 0.04: flip a bit in the gradient of a worker
every step in batch with probability 0.03: flip a bit in the state
every step in joining with probability 0.03: kill the keeper
at step 15: lose the answer of worker 1
at step 25 in committing: kill the supervisor
at step 35 in backward: stop worker 0
at step 45 in committing: disk full for 2 seconds
expect finished, digest = undisturbed
