// What runs in a keeper's and in a worker's process: takes orders, carries them out by the task's part, answers. And the checkpoint writer,
// which lives for one checkpoint.
#pragma once

#include "guard/fault.h"
#include "guard/link.h"
#include "guard/pulse.h"
#include "guard/task.h"

namespace godwit::guard {

struct Seat {
  int number = 0;  // of the worker
  int slots = 0;
  Place place;
  bool trusted = false;
  bool candidate = false;  // for now
  int threads = 1;
  std::uint64_t epoch = 0;
};

// Each returns the process's exit code: when the supervisor is gone, or nothing can be prepared. First they answer order 1, which nobody
// sends: they are ready.
int keeper_process(Task& task, const Memory& memory, const Seat& seat, Link link, PulseCell& cell, Faults& faults);
int worker_process(Task& task, const Memory& memory, const Seat& seat, Link link, PulseCell& cell, Faults& faults);

// For any child, first of all: lets go of the files its parent had open, so that a lock dies with its owner. Standard streams, sockets,
// memory and the log of faults stay.
void close_inherited_files();

}  // namespace godwit::guard
