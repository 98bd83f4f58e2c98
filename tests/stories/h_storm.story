# H: some of everything.
train nano 40 steps on 3 workers with run.checkpoint_every=5
seed 5
every step in forward with probability 0.03: kill a worker
every step in backward with probability 0.03: crash a worker
every step in sending with probability 0.03: flip a bit in the gradient of a worker
every step in forward with probability 0.04: flip a high bit in 1 matmul accumulator on a worker
every step in joining with probability 0.12: kill the keeper
every step in committing with probability 0.1: kill the supervisor
expect finished, digest = undisturbed
