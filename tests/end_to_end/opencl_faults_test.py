#!/usr/bin/env python3
"""An OpenCL device that runs out of memory, is lost or cannot build a program could end the run, or be a riddle: each must be an error that names
the call and OpenCL's code, and the run must go on elsewhere to the CPU's digest."""
import os
import subprocess

from common import ROOT, Scratch, assert_undisturbed, digest, train

# What fails, and what the log says of it.
FAULTS = {
    "clCreateContext -2": ["open: ", "device not available (-2)"],
    "clCreateBuffer -4": ["a buffer of ", "memory object allocation failure (-4)"],
    "clCreateBuffer -61 2": ["a buffer of ", "invalid buffer size (-61)"],
    "clBuildProgram -11": ["program training: prepare: op ", "build program failure (-11)"],
    "clCreateSubBuffer -6 40": ["program training: run: op ", "out of host memory (-6)"],
    "clEnqueueWriteBuffer -4 30": ["write ", "memory object allocation failure (-4)"],
    "clEnqueueNDRangeKernel -5 300": ["program training: run: op ", "start: out of resources (-5)"],  # a device that has faulted
    "clEnqueueNDRangeKernel -2 300": ["program training: run: op ", "start: device not available (-2)"],
    "clWaitForEvents -14 300": ["program training: run: op ", "earlier work failed (-14)"],
}
LOST = ("clEnqueueNDRangeKernel -5 300", "clEnqueueNDRangeKernel -2 300", "clWaitForEvents -14 300")  # whose workers end, for the next to open the device anew


def main():
    scratch = Scratch()
    shim = scratch.path / "fault_shim.so"
    subprocess.run(["cc", "-O2", "-shared", "-fPIC", ROOT / "tests/opencl/fault_shim.c", "-o", shim, "-ldl"], check=True)
    config = scratch.config(steps=3, any_device=True)
    train(config, scratch.path / "cpu")
    train(config, scratch.path / "opencl", "--backend", "opencl")  # and what it compiles is kept
    assert_undisturbed(scratch.path / "opencl")
    assert digest(scratch.path / "opencl") == digest(scratch.path / "cpu")
    for number, (fault, expected) in enumerate(FAULTS.items()):
        directory = scratch.path / str(number)
        train(config, directory, "--backend", "opencl", env={**os.environ, "LD_PRELOAD": str(shim), "CL_FAULT": fault})
        log = (directory / "log.txt").read_text()
        assert digest(directory) == digest(scratch.path / "cpu"), f"{fault}: another digest\n{log}"
        lines = [line for line in log.splitlines() if all(each in line for each in expected)]
        assert lines, f"{fault}: no line of the log has {expected}\n{log}"
        assert ("ended with exit code 1" in log) == (fault in LOST), f"{fault}\n{log}"
        print(f"{fault:<32} {lines[0].split('] ')[-1][:180]}")
    print("ok")


main()
