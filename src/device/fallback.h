// A backend that stands before a library's own and makes it whole, so that a device with few ops, or one that misbehaves, can be run on:
//
//   ops       that the library refuses are done by their plain parts (Op::parts), and where it refuses those too by the CPU backend, over
//             the same bytes. A program becomes pieces (pieces.h), some on the device and some on the CPU, one after the other
//   memory    that the caller brings (wrap) and the device cannot work in has a copy on the device: state goes there at a refresh, inputs
//   at
//             each run, and what a run has written comes back behind it. Where the device does work in the host's memory its buffers lie
//             between pages that nobody may touch (guarded_memory.h), and their edges are looked at whenever work has been waited for
//   calls     are marked while they last (backend_call.h)
//
// Bits, and the numbers of ops in findings, progress, times and spoils, are those of the whole program. What the CPU does in the device's
// place is neither checked inline nor spoilt: it is the trusted one.
#pragma once

#include <string_view>

#include "godwit/backend.h"

namespace godwit::device {

// The same table for the same backend, which must outlive the process; for as many as a process ever loads.
[[nodiscard]] const godwit_backend& completed(const godwit_backend& behind);

// How kernel_for's name begins where the device itself has no kernel: who stands in for it.
inline constexpr std::string_view by_cpu = "cpu: ";
inline constexpr std::string_view by_parts = "parts: ";

}  // namespace godwit::device
