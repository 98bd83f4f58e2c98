# F1: nothing happens, and nothing is found.
train nano 24 steps on 3 workers
expect finished, respawns = 0, replays = 0, findings = 0, digest = undisturbed
