# F1: every core is busy with other work: nobody is killed for it.
train nano 24 steps on 2 workers
beside 4 busy threads
expect finished, respawns = 0, findings = 0, quarantined = 0, digest = undisturbed
