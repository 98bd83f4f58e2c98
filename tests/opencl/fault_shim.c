/* Stands before libOpenCL (LD_PRELOAD) and lets one of its functions fail: CL_FAULT = "FUNCTION CODE [AFTER]", from its AFTER-th call on.
 */
#define _GNU_SOURCE
#define CL_TARGET_OPENCL_VERSION 120
#include <CL/cl.h>
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* CL_SUCCESS, or what the function is to answer now. */
static cl_int fault(const char* function) {
  static char wanted[64];
  static int code, after = -1;
  if (after < 0) {
    const char* given = getenv("CL_FAULT");
    after = 0;
    if (given != NULL) (void)sscanf(given, "%63s %d %d", wanted, &code, &after);
  }
  if (strcmp(function, wanted) != 0) return CL_SUCCESS;
  if (after > 0) {
    --after;
    return CL_SUCCESS;
  }
  return code;
}

static void* behind(const char* function) {
  static void* library;
  if (library == NULL) library = dlopen("libOpenCL.so.1", RTLD_NOW | RTLD_LOCAL);
  return dlsym(library, function);
}

#define ANSWERS(name, parameters, arguments)                        \
  cl_int name parameters {                                          \
    const cl_int failed = fault(#name);                             \
    if (failed != CL_SUCCESS) return failed;                        \
    cl_int(*real) parameters = (cl_int(*) parameters)behind(#name); \
    return real arguments;                                          \
  }
#define MAKES(type, name, parameters, arguments, error)         \
  type name parameters {                                        \
    const cl_int failed = fault(#name);                         \
    if (failed != CL_SUCCESS) {                                 \
      if (error != NULL) *error = failed;                       \
      return NULL;                                              \
    }                                                           \
    type(*real) parameters = (type(*) parameters)behind(#name); \
    return real arguments;                                      \
  }

MAKES(cl_context, clCreateContext,
      (const cl_context_properties* properties, cl_uint count, const cl_device_id* devices,
       void(CL_CALLBACK* notify)(const char*, const void*, size_t, void*), void* user, cl_int* error),
      (properties, count, devices, notify, user, error), error)
MAKES(cl_mem, clCreateBuffer, (cl_context context, cl_mem_flags flags, size_t size, void* host, cl_int* error),
      (context, flags, size, host, error), error)
MAKES(cl_mem, clCreateSubBuffer, (cl_mem buffer, cl_mem_flags flags, cl_buffer_create_type type, const void* info, cl_int* error),
      (buffer, flags, type, info, error), error)
ANSWERS(clBuildProgram,
        (cl_program program, cl_uint count, const cl_device_id* devices, const char* options, void(CL_CALLBACK* notify)(cl_program, void*),
         void* user),
        (program, count, devices, options, notify, user))
ANSWERS(clEnqueueNDRangeKernel,
        (cl_command_queue queue, cl_kernel kernel, cl_uint dimensions, const size_t* offset, const size_t* global, const size_t* local,
         cl_uint waits, const cl_event* wait_list, cl_event* event),
        (queue, kernel, dimensions, offset, global, local, waits, wait_list, event))
ANSWERS(clEnqueueWriteBuffer,
        (cl_command_queue queue, cl_mem buffer, cl_bool blocking, size_t offset, size_t size, const void* from, cl_uint waits,
         const cl_event* wait_list, cl_event* event),
        (queue, buffer, blocking, offset, size, from, waits, wait_list, event))
ANSWERS(clWaitForEvents, (cl_uint count, const cl_event* events), (count, events))
