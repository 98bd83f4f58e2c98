# E1: nothing checks, and every weight of the optimizer's step became huge or tiny: no batch can be used any more. The newest checkpoint before the trouble
# holds it already; from the one before that, the trusted CPU gives other bits than were committed. The run is made anew from there, as if
# nothing had happened.
train nano 24 steps on 2 workers with run.checkpoint_every=3
verify off
every step: let every worker sleep for 0.05 seconds
at step 6: flip a high bit in every adamw result on the keeper
expect finished, rollbacks = 2, skipped >= 8, digest = undisturbed
